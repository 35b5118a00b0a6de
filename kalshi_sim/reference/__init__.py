"""The reference simulator: slow, obvious Python written from the contract, not from the kernels."""
