"""The CPU backend. Kept empty, so that its device half can be loaded without the compiler."""
