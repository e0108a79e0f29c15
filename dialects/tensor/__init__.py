"""The tensor dialect: a few structured ops that say how each value is computed."""
