"""A training run: settings, folder, ledger and model."""
