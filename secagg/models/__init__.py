"""Models for federated training, behind one interface: Keras models and a numpy reference."""
