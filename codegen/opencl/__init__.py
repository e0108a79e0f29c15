"""Devices with OpenCL: GPUs of many makers, and CPUs by way of PoCL."""
