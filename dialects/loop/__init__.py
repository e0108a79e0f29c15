"""The loop dialect: WHEN and WHERE, as loop nests over buffers and a host program that calls them."""

from xdsl.ir import Dialect

from ...ir.types import BufferType
from .alloc import Alloc
from .host import Copy, If, Transfer, View, While, defined_symbols, root_of
from .instruction import Instruction, Invoke, Wait
from .lanes import Lanewise
from .ops import For, Index, Load, Store
from .prefetch import Prefetch
from .program import ARENA, HOST_CALL, ON, WHY, Call, Constant, Kernel, Program

Loop = Dialect(
    "loop",
    [
        *(
            Alloc,
            Call,
            Constant,
            Copy,
            For,
            If,
            Index,
            Instruction,
            Invoke,
            Kernel,
            Lanewise,
            Load,
            Prefetch,
            Program,
            Store,
            Transfer,
            View,
            Wait,
        ),
        While,
    ],
    [BufferType],
)

__all__ = [
    "ARENA",
    "HOST_CALL",
    "ON",
    "WHY",
    "Alloc",
    "Call",
    "Constant",
    "Copy",
    "For",
    "If",
    "Index",
    "Instruction",
    "Invoke",
    "Kernel",
    "Lanewise",
    "Load",
    "Loop",
    "Prefetch",
    "Program",
    "Store",
    "Transfer",
    "View",
    "Wait",
    "While",
    "defined_symbols",
    "root_of",
]
