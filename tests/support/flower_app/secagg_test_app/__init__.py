"""An app for the tests with real processes: each node moves the model by a step that its node config states."""
