"""The control dialect: what depends on data, which part of a model runs, and how often.

Its operations stand at graph and at tensor level."""

from xdsl.ir import Dialect

from .sizes import ReadSizes, SetSizes

Control = Dialect("control", [ReadSizes, SetSizes], [])

__all__ = ["Control", "ReadSizes", "SetSizes"]
