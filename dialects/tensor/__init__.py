"""The tensor dialect: HOW each value is computed, as structured operations on immutable tensors."""

from xdsl.ir import Dialect

from ...ir.types import TensorType
from .body import Index, Put, Read, Yield
from .ops import Compute, Constant, Empty
from .update import Update

WithBody = Compute | Update
"""What has a body that passes look into."""

Tensor = Dialect("tensor", [Compute, Constant, Empty, Index, Put, Read, Update, Yield], [TensorType])
