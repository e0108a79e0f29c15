"""Backends: one folder each. Kept empty, so that a device can be loaded without the compiler."""
