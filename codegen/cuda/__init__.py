"""NVIDIA GPUs: kernels by way of LLVM and PTX, and the driver."""
