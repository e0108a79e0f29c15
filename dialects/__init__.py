"""The three levels of IR, control flow between their parts, and the context in which their text is read."""

from collections.abc import Callable
from importlib import import_module

from xdsl.context import Context
from xdsl.dialects.builtin import Builtin
from xdsl.ir import Dialect

from ..ir.dialect import Ir
from ..ir.types import BufferType, TensorType

SHARED = (TensorType, BufferType)  # types of more than one level
PLACES = {
    "func": ("xdsl.dialects.func", "Func"),
    "arith": ("xdsl.dialects.arith", "Arith"),
    "math": ("xdsl.dialects.math", "Math"),
    "vector": ("xdsl.dialects.vector", "Vector"),
    "graph": (f"{__name__}.graph", "Graph"),
    "control": (f"{__name__}.control", "Control"),
    "tensor": (f"{__name__}.tensor", "Tensor"),
    "loop": (f"{__name__}.loop", "Loop"),
}


def context() -> Context:
    """A context that reads every level. A dialect is imported when its first operation is read."""
    found = Context()
    found.load_dialect(Builtin)
    found.load_dialect(Ir)
    for shared in SHARED:
        found.load_attr_or_type(shared)
    for name, (module, attribute) in PLACES.items():
        found.register_dialect(name, _loader(module, attribute))
    return found


def _loader(module: str, attribute: str) -> Callable[[], Dialect]:
    def load() -> Dialect:
        dialect: Dialect = getattr(import_module(module), attribute)
        own = [a for a in dialect.attributes if a not in SHARED]
        return Dialect(dialect.name, [*dialect.operations], own)

    return load
