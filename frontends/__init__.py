"""Frontends: foreign models to graph IR. Kept empty, so that nothing is imported by accident."""
