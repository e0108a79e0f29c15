"""The attributes that all levels share, as xDSL wants them registered."""

from xdsl.ir import Dialect

from .types import Check, ExprAttr
from .weights import Weight

Ir = Dialect("ir", [], [ExprAttr, Check, Weight])
