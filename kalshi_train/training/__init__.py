"""A training run: from a configuration to a trained model and its results."""
