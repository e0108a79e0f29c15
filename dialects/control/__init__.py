"""The control dialect: what depends on data, which part of a model runs, and how often.

Its operations stand at graph and at tensor level."""

from xdsl.ir import Dialect

from .ops import If, Loop, called, callee
from .sizes import ReadSizes, SetSizes

Control = Dialect("control", [If, Loop, ReadSizes, SetSizes], [])

__all__ = ["Control", "If", "Loop", "ReadSizes", "SetSizes", "called", "callee"]
