"""Federated averaging on digits: a Keras model, an app for Flower, and the same training for a resident station."""
