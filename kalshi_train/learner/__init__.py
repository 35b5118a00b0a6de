"""The parts of a faster PPO and A2C: rollout storage, networks, optimiser and their kernels."""
