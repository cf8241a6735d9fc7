"""The tests that hold for every protocol, one module for each subject."""
