"""What runs an engine: NumPy and ctypes, nothing of the compiler."""
