"""The numeric check between passes: the reference evaluator runs the module before and after every pass.

Inputs are random, symbols drawn. Results may differ by rounding only: by `eps` of the element type times the number of
rounded operations that an element depends on (the bound of a sum of n terms in any order is n * eps, Higham, Accuracy
and Stability of Numerical Algorithms, section 4.2), relative to the largest element. The first pass that goes beyond
that is named, and a file is written with which `ircc opt` replays it.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from xdsl.dialects.builtin import ArrayAttr, IntAttr, ModuleOp, SymbolRefAttr
from xdsl.dialects.func import FuncOp
from xdsl.ir import Operation, SSAValue

from ..errors import Error, InputError, IRError, PassError
from .evaluator import Array, evaluate, main_function, names_of
from .expr import Expr, product
from .pipeline import Instrument, Step, text_of
from .types import BufferType, ExprAttr, TensorType, is_float
from .weights import Content, Weight, inline_weights, keep

Inputs = dict[str, Array]
Outputs = Mapping[str, Array]
Types = Mapping[str, "TensorType | BufferType"]


class TooLarge(Error):
    """The reference evaluator would take too long."""


def function_inputs(module: ModuleOp) -> Types:
    """The types of the inputs of a graph or tensor module, by name."""
    main = main_function(module)
    args = main.body.block.args
    names = names_of(main.arg_attrs, len(args), "input_")
    return {n: a.type for n, a in zip(names, args, strict=True) if isinstance(a.type, TensorType)}


# Rounding errors per rounded operation, in eps: what one evaluation of an operation may be off by. Where a name is not
# here, the operation counts as 1 (arithmetic is correctly rounded).
ERRORS = {
    "math.exp": 2, "math.log": 2, "math.tanh": 4, "math.erf": 4, "math.sin": 2, "math.cos": 2, "math.powf": 8,
    "graph.softmax": 8, "graph.layer_normalization": 8, "graph.batch_normalization": 8, "graph.gelu": 8,
    "graph.instance_normalization": 8, "graph.group_normalization": 8,
}  # fmt: skip
COARSE = 0.01  # of the largest element: what differs by more is no rounding, however long the chain
MARGIN = 8  # orders of evaluation differ between before and after, and errors are amplified by what follows
INLINE_ELEMENTS = 1 << 20  # longest constant that a reproducer holds in full


@dataclass
class CheckEach(Instrument):
    """Evaluate the module before and after every pass on random inputs; stop at the first pass that changes the value
    by more than rounding, name it and write a reproducer. A pass that reports no change must not have made one.

    `evaluator` and `signature` know the levels: the defaults are for graph and tensor modules, dialects/reference.py
    has those for all. Where the evaluator would take too long, only what passes report is checked from there on."""

    seed: int = 0
    folder: Path = Path()
    evaluator: Callable[[ModuleOp, Mapping[str, Array]], Outputs] = evaluate
    signature: Callable[[ModuleOp], Types] = function_inputs
    _inputs: Inputs | None = None
    _text: str = ""
    _before: Outputs = field(default_factory=dict[str, Array])
    _bound: float = 0.0

    def begin(self, module: ModuleOp) -> None:
        self._inputs, self._before = draw_inputs(module, self.seed, self.evaluator, self.signature)
        if self._inputs is None:
            warnings.warn(
                "check-each: no inputs found that the module takes, or too large for NumPy: only its text is checked",
                stacklevel=2,
            )
        self._bound = relative_bound(module)

    def before(self, step: Step) -> None:
        self._text = reproducer_text(step.module)

    def after(self, step: Step) -> None:
        if not step.changed:
            if reproducer_text(step.module) != self._text:
                raise self._guilty(step, "says that it changed nothing, but the module is another")
            return
        if self._inputs is None:
            return
        try:
            after = self.evaluator(step.module, self._inputs)
        except TooLarge as error:
            warnings.warn(f"check-each: numbers are not checked from {step} on: {error}", stacklevel=2)
            self._inputs = None
            return
        except Exception as error:  # whatever the reference meaning trips over: an index outside, a missing value
            raise self._guilty(step, f"made a module that cannot be evaluated: {error}") from error
        bound = max(self._bound, relative_bound(step.module))
        if fault := difference(self._before, after, bound):
            raise self._guilty(step, f"changed the value of {fault}")
        self._before, self._bound = after, bound

    def _guilty(self, step: Step, what: str) -> PassError:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"check-each-{step.pass_.name}.mlir"
        command = f"ircc opt {path} --passes='{text_of(step.pass_)}' --check-each"
        summary = " ".join(what.split())
        path.write_text(f"// {step} {summary}\n// {command}\n// seed: {self.seed}\n{self._text}\n")
        return PassError(f"{step} {what}", hint=f"replay it with: {command}")


def seed_of(text: str) -> int | None:
    """The seed that a reproducer's header names, None for other text."""
    found = re.match(r"(?://.*\n)*?// seed: (\d+)\n", text)
    return int(found[1]) if found else None


def reproducer_text(module: ModuleOp) -> str:
    """The module's text with its weights in it; very large ones stay references, found in ircc's cache folder."""
    held = [w.data for op in module.walk() for w in op.properties.values() if isinstance(w, Weight)]
    if sum(elements_of(c) for c in held) > INLINE_ELEMENTS:
        for content in held:
            keep(content)
        return str(module)
    with inline_weights():
        return str(module)


def elements_of(content: Content) -> int:
    """Number of elements of a constant whose data is in memory."""
    array = content.held
    return 0 if array is None else array.size


# ---- inputs


def draw_inputs(
    module: ModuleOp,
    seed: int,
    evaluator: Callable[[ModuleOp, Mapping[str, Array]], Outputs] = evaluate,
    signature: Callable[[ModuleOp], Types] = function_inputs,
) -> tuple[Inputs | None, Outputs]:
    """Random inputs that the module accepts, and its outputs for them; `(None, {})` where none are found.

    Size checks and tables that are indexed refuse some: sizes and integers become tamer with every attempt."""
    types = signature(module)
    symbols = sorted({s for t in types.values() for s in t.symbols})
    for attempt in range(12):
        random = np.random.default_rng([seed, attempt])
        largest = (5, 5, 5, 5, 2, 2, 8, 8, 1, 16, 32, 64)[attempt]
        if attempt % 2:  # symbols that must be equal, or broadcast, often are when all of them are
            sizes = dict.fromkeys(symbols, int(random.integers(1, largest + 1)))
        else:
            sizes = {s: int(random.integers(1, largest + 1)) for s in symbols}
        top = (4, 4, 2, 2, 1, 1, 4, 2, 1, 1, 1, 1)[attempt]
        inputs = {n: draw(t, sizes, random, top) for n, t in types.items()}
        try:
            return inputs, evaluator(module, inputs)
        except (InputError, IndexError, ValueError, ArithmeticError):
            continue
        except (IRError, TooLarge):
            return None, {}
    return None, {}


def draw(type_: TensorType | BufferType, symbols: Mapping[str, int], random: np.random.Generator, top: int) -> Array:
    """A random array of a type: normal floats, integers from 0 and below `top`, bools."""
    shape = tuple(int(s.evaluate(symbols=symbols)) for s in type_.sizes)
    if is_float(type_.element_type):
        return random.standard_normal(shape).astype(type_.dtype)
    if type_.dtype.kind == "b":
        return random.integers(0, 2, shape).astype(np.bool_)
    return random.integers(0, top, shape).astype(type_.dtype)


# ---- comparison


def relative_bound(module: ModuleOp) -> float:
    """How far rounding may take an element, in units of eps and of the largest element: the longest chain of operations
    from an input to an output, each with the errors it makes and the length of its reduction. Infinite for modules of
    the loop level, which do not say what depends on what: there only `COARSE` counts."""
    functions = {op.sym_name.data: op for op in module.body.ops if isinstance(op, FuncOp)}
    if not functions:
        return float("inf")
    return MARGIN * longest_chain(next(iter(functions.values())), functions)


def longest_chain(function: FuncOp, functions: Mapping[str, FuncOp]) -> float:
    """The most errors, in eps, on a way through a function, those of the bodies that it calls included: a body counts
    as often as a loop runs it."""
    depth: dict[SSAValue, float] = {}
    longest = 0.0
    for op in function.body.block.ops:
        inner = [o for o in op.walk() if o is not op]
        sources = [v for o in (op, *inner) for v in o.operands if isinstance(v.type, TensorType)]
        names = [a.root_reference.data for a in op.properties.values() if isinstance(a, SymbolRefAttr)]
        if names:
            trip = op.properties.get("trip")
            times = number(trip.data) if isinstance(trip, ExprAttr) else 64.0
            own = times * max(longest_chain(functions[name], functions) for name in names)
        else:
            own = ERRORS.get(op.name, 1) * reduction_length(op) + sum(ERRORS.get(o.name, 1) for o in inner)
        total = max((depth.get(v, 0.0) for v in sources), default=0.0) + own
        depth.update(dict.fromkeys(op.results, total))
        longest = max(longest, total)
    return longest


def number(size: Expr) -> float:
    """A size, where symbols count as 64."""
    return abs(float(size.evaluate(symbols=dict.fromkeys(size.symbols, 64))))


def reduction_length(op: Operation) -> float:
    """How many terms an element of the result may be a sum of; symbols count as 64. An operator of the graph level does
    not say: the root of its largest operand's size is taken, which is exact for square matrices."""
    extents = op.properties.get("extents")
    parallel = op.properties.get("parallel")
    if isinstance(extents, ArrayAttr) and isinstance(parallel, IntAttr):  # a tensor.compute or update: all others
        rank = parallel.data
        return number(product(e.data for e in list(extents)[rank:] if isinstance(e, ExprAttr)))
    return max([1.0, *(number(t.elements) ** 0.5 for t in op.operand_types if isinstance(t, TensorType))])


def difference(before: Outputs, after: Outputs, bound: float) -> str | None:
    """What differs between two sets of outputs by more than rounding, None when nothing does."""
    if list(before) != list(after):
        return f"the outputs: {list(before)} became {list(after)}"
    for name, a in before.items():
        b = after[name]
        if a.dtype != b.dtype or a.shape != b.shape:
            return f"output {name!r}: {a.dtype}{list(a.shape)} became {b.dtype}{list(b.shape)}"
        if fault := array_difference(np.asarray(a), np.asarray(b), bound):
            return f"output {name!r}: {fault}"
    return None


def unit(dtype: np.dtype[Any]) -> float:
    """The distance from 1 to the next number of a float type; 0 for small integers, which are exact."""
    try:
        return float(ml_dtypes.finfo(dtype).eps)
    except ValueError:
        return 0.0


def array_difference(a: Array, b: Array, bound: float) -> str | None:
    """Where two arrays of a type differ by more than `bound` eps of the largest element, None where nowhere."""
    if a.dtype.kind in "biu":
        wrong = a != b
    else:
        eps = unit(a.dtype)
        x, y = a.astype(np.float64), b.astype(np.float64)
        finite = np.isfinite(x) & np.isfinite(y)
        scale = float(np.abs(x[finite]).max(initial=0.0))
        same = (x == y) | (np.isnan(x) & np.isnan(y))
        with np.errstate(invalid="ignore"):
            wrong = ~same & ~(finite & (np.abs(x - y) <= min(bound * eps, COARSE) * scale))
    if not wrong.any():
        return None
    at: Any = tuple(int(i) for i in np.argwhere(wrong)[0])
    return f"{np.count_nonzero(wrong)} of {a.size} elements, {a[at]} became {b[at]} at {list(at)}"
