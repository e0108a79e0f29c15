"""The choices that a random model is made of: sizes, element types, values, operands that are there or new."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np

Array: TypeAlias = "np.ndarray[Any, Any]"

# how often an element type is drawn, relative to the others that are allowed
WEIGHTS = {
    "float32": 24, "float64": 5, "float16": 4, "bfloat16": 2, "int64": 6, "int32": 5, "int8": 2, "uint8": 3,
    "int16": 1, "uint16": 1, "uint32": 1, "uint64": 1, "bool": 3,
}  # fmt: skip
DTYPES = {**{name: np.dtype(name) for name in WEIGHTS if name != "bfloat16"}, "bfloat16": np.dtype(ml_dtypes.bfloat16)}
ONNX_NAMES = {"float": "float32", "double": "float64"}
SIZES = (1, 1, 2, 2, 3, 3, 4, 5, 6, 7, 8, 9, 13, 16, 17)
LARGEST = 600  # elements of a value that is used again
SPECIAL = (0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 1e-30, 1e30, -1e30, 3.4e38, math.inf, -math.inf, math.nan)


class Misfit(Exception):
    """The draw does not fit the operator: another is tried."""


class Unjudged(Misfit):
    """The draw is legal, but neither peer says what is right."""


def is_float(dtype: Any) -> bool:
    return np.dtype(dtype).kind == "f" or np.dtype(dtype) == DTYPES["bfloat16"]


def allowed(type_strings: Sequence[str]) -> list[Any]:
    """The element types in a schema's list that values are drawn of."""
    found: list[Any] = []
    for text in type_strings:
        if text.startswith("tensor(") and (name := text[7:-1]):
            name = ONNX_NAMES.get(name, name)
            if name in DTYPES:
                found.append(DTYPES[name])
    return sorted(found, key=lambda d: list(WEIGHTS).index(d.name))


@dataclass
class Variable:
    """A value of the model under construction: its elements in the example, and whether every implementation has the
    same bits."""

    name: str
    array: Array
    exact: bool
    constant: bool = False
    rigid: bool = False  # its length says how many axes there are, and is a number


@dataclass
class Draw:
    """Random choices, and the values that are there."""

    rng: random.Random
    zero: bool = False  # sizes of 0 occur
    special: bool = False  # values of SPECIAL occur
    variables: list[Variable] = field(default_factory=list[Variable])
    count: int = 0

    def flip(self, chance: float = 0.5) -> bool:
        return self.rng.random() < chance

    def numbers(self) -> np.random.Generator:
        return np.random.default_rng(self.rng.getrandbits(32))

    def size(self, low: int = 0) -> int:
        if self.zero and low == 0 and self.flip(0.15):
            return 0
        return max(self.rng.choice(SIZES), low)

    def shape(self, ranks: Sequence[int] = (0, 1, 2, 2, 3, 3, 4), low: int = 0) -> list[int]:
        rank = self.rng.choice(ranks)
        sizes = [self.size(low) for _ in range(rank)]
        while math.prod(sizes) > LARGEST:
            sizes[sizes.index(max(sizes))] = max(low, self.rng.choice((1, 2, 3)))
        return sizes

    def dtype(self, types: Sequence[Any]) -> Any:
        if not types:
            raise Misfit("no element type")
        return self.rng.choices(types, [WEIGHTS[t.name] for t in types])[0]

    def values(self, shape: Sequence[int], dtype: Any, low: float | None = None, high: float | None = None) -> Array:
        """Random elements; in [low, high] where they are given."""
        rng, dtype = self.numbers(), np.dtype(dtype)
        if dtype == np.bool_:
            return np.asarray(rng.random(shape) < 0.5)
        if not is_float(dtype):
            info = np.iinfo(dtype)
            first = max(info.min, -6) if low is None else int(low)
            found = rng.integers(first, 10 if high is None else int(high), shape, endpoint=True)
            if low is None and high is None and self.special:
                found = np.where(rng.random(shape) < 0.1, rng.choice([info.min, info.max], shape), found)
            return np.asarray(found).astype(dtype)
        if low is not None and high is not None:
            return np.asarray(rng.uniform(low, high, shape)).astype(dtype)
        found = np.asarray(rng.normal(0, self.rng.choice((0.5, 1, 1, 3)), shape))
        if self.special:
            found = np.where(rng.random(shape) < 0.15, rng.choice(SPECIAL, shape), found)
        with np.errstate(over="ignore"):
            return found.astype(dtype)

    def named(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}{self.count}"

    def new(
        self, shape: Sequence[int], dtype: Any, low: float | None = None, high: float | None = None, *,
        constant: float = 0.2, array: Any = None,
    ) -> Variable:  # fmt: skip
        """A new input, or with this chance a constant."""
        if math.prod(shape) > 8 * LARGEST:
            raise Misfit("too large")
        data = self.values(shape, dtype, low, high) if array is None else np.asarray(array, dtype)
        fixed = self.flip(constant)
        return Variable(self.named("w" if fixed else "x"), data, True, fixed)

    def fixed(self, array: Any, dtype: Any = np.int64, constant: float = 0.85) -> Variable:
        """Integers that say something about shapes: a constant, or now and then an input."""
        data = np.asarray(array, dtype)
        made = self.new(data.shape, dtype, array=data, constant=constant)
        made.rigid = self.flip(0.97)
        return made

    def value(
        self, types: Sequence[Any], ranks: Sequence[int] = (0, 1, 2, 2, 3, 3, 4), *, low: int = 0, exact: bool = False,
        fits: Callable[[Array], bool] = lambda _: True, shape: Sequence[int] | None = None,
    ) -> Variable:  # fmt: skip
        """A value of one of these types and ranks, each size at least `low`: one that is there, or a new one."""
        found = [
            v for v in self.variables
            if v.array.dtype in types and (v.exact or not exact) and fits(v.array)
            and (list(v.array.shape) == list(shape) if shape is not None
                 else v.array.ndim in ranks and min(v.array.shape, default=low) >= low)
        ]  # fmt: skip
        if found and self.flip(0.85):
            return found[-1] if self.flip(0.6) else self.rng.choice(found)
        for _ in range(8):
            sizes = list(shape) if shape is not None else self.shape(ranks, low)
            made = self.new(sizes, self.dtype(types))
            if fits(made.array):
                return made
        raise Misfit("nothing fits")

    def partner(self, shape: Sequence[int], types: Sequence[Any], exact: bool = False) -> Variable:
        """A value that broadcasts with this shape."""
        sizes = list(shape)
        if self.flip(0.25):
            sizes = sizes[self.rng.randint(0, len(sizes)) :]
        sizes = [1 if self.flip(0.2) else s for s in sizes]
        return self.value(types, shape=sizes, exact=exact)
