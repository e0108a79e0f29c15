"""Kernels as C-like source for machines of many lanes: one printer, and a table of words per dialect of C."""
