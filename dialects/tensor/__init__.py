"""The tensor dialect: HOW each value is computed, as structured operations on immutable tensors."""

from xdsl.ir import Dialect

from ...ir.types import TensorType
from .body import Index, Read, Yield
from .ops import Compute, Constant

Tensor = Dialect("tensor", [Compute, Constant, Index, Read, Yield], [TensorType])
