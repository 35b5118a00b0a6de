"""The same simulation on a graphics card: `CudaSimulator`, and torch's face of it in `torch_env`.

The kernels are those of `kalshi_sim.kernels`, compiled for the card (docs/cuda.md).
"""
