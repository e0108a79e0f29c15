"""Random modules of the tensor dialect: chains of computes and updates, with inputs that they accept.

`random_program` takes any source of random choices with the methods of `random.Random`; `programs` is the Hypothesis
strategy. Inputs come from `graph_programs.random_inputs`. `exact` programs compute with small whole numbers, by
operations whose results are such numbers again: given `whole` inputs, the bits are the same in whatever order they are
computed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from xdsl.dialects import math
from xdsl.dialects.builtin import (
    ArrayAttr,
    DictionaryAttr,
    IntegerAttr,
    ModuleOp,
    StringAttr,
    f32,
    f64,
    i1,
    i32,
    i64,
)
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Region, SSAValue

from ..dialects.tensor import Constant, Index, Put, Read, WithBody
from ..dialects.tensor.builder import Body, Place, Scalar, compute, update
from ..ir.expr import ONE, Expr, ExprLike, product
from ..ir.types import ExprAttr, TensorType, dtype_of, is_bool, is_float
from ..ir.weights import Weight
from .graph_builder import EXAMPLE, SYMBOLS, numpy_rng, random_array, type_of

LARGEST = 600  # elements of a tensor that is used again, in the example
ELEMENTS = (f32, f32, f32, f32, f64, i32, i64, i1)


@dataclass
class ProgramBuilder:
    """A function under construction, and the random choices."""

    rng: random.Random
    exact: bool = False
    symbolic: bool = True
    elements: Sequence[Attribute] = ELEMENTS
    block: Block = field(default_factory=Block)
    symbols: dict[str, int] = field(default_factory=dict[str, int])  # example sizes
    arg_attrs: list[DictionaryAttr] = field(default_factory=list[DictionaryAttr])
    values: list[SSAValue] = field(default_factory=list[SSAValue])

    def __post_init__(self) -> None:
        self.symbols.update({name: self.rng.choice((0, 1, 2, 3, 3, 4, 5)) for name in SYMBOLS})

    # ---- choices

    def flip(self, chance: float = 0.5) -> bool:
        return self.rng.random() < chance

    def number(self, size: ExprLike) -> int:
        """The size in the example."""
        return int(Expr.of(size).evaluate(symbols=self.symbols))

    def size(self) -> Expr:
        """A size: odd, one, symbolic, rarely empty."""
        if self.symbolic and self.flip(0.35):
            return Expr.symbol(self.rng.choice(SYMBOLS))
        return Expr.const(self.rng.choice((1, 1, 2, 2, 3, 3, 4, 5, 6, 7, 0)))

    # ---- operands

    def input(
        self, shape: Sequence[ExprLike], element: Attribute, low: ExprLike | None = None, high: ExprLike | None = None
    ) -> SSAValue:
        """A new input, with whole values in [low, high] if they are given."""
        attributes: dict[str, Attribute] = {"ircc.name": StringAttr(f"x{len(self.arg_attrs)}")}
        if low is not None and high is not None:
            attributes |= {"ircc.low": ExprAttr(Expr.of(low)), "ircc.high": ExprAttr(Expr.of(high))}
        self.arg_attrs.append(DictionaryAttr(attributes))
        return self.block.insert_arg(TensorType.of(shape, element), len(self.block.args))

    def constant(self, shape: Sequence[int], element: Attribute) -> SSAValue:
        """Constant data: random, or one number everywhere."""
        rng, dtype = numpy_rng(self.rng), dtype_of(element)
        array = random_array(rng, dtype, shape)
        if self.exact:
            array = random_array(rng, dtype_of(i32), shape).astype(dtype)
        if self.flip(0.3) and array.size:
            array[...] = self.rng.choice((0, 1, array.reshape(-1)[0]))
        op = Constant(Weight.of(array), TensorType.of(shape, element))
        self.block.add_op(op)
        return op.result

    def fresh(self, shape: Sequence[ExprLike], element: Attribute) -> SSAValue:
        """A new tensor of this shape: an input or a constant."""
        numbers = [Expr.of(s).constant for s in shape]
        if self.flip(0.3) and None not in numbers:
            return self.constant([n or 0 for n in numbers], element)
        value = self.input(shape, element, *((-2, 2) if self.exact else ()))
        self.values.append(value)
        return value

    def tensor(self, fits: Callable[[TensorType], bool] = lambda _: True) -> SSAValue:
        """A tensor that is there and small enough, or a new one."""
        found = [v for v in self.values if fits(type_of(v)) and self.number(type_of(v).elements) <= LARGEST]
        if found and self.flip(0.85):
            return self.rng.choice(found[-4:] if self.flip() else found)
        for _ in range(8):
            shape = [self.size() for _ in range(self.rng.choice((0, 1, 2, 2, 3, 3)))]
            type_ = TensorType.of(shape, self.rng.choice(self.elements))
            if fits(type_):
                return self.fresh(shape, type_.element_type)
        return self.fresh([Expr.const(2), Expr.const(3)], f32)

    def alike(self, shape: Sequence[Expr], element: Attribute) -> SSAValue:
        """A tensor of this type, or of one that broadcasts to it."""
        found = [v for v in self.values if type_of(v) == TensorType.of(shape, element)]
        if found and self.flip(0.7):
            return self.rng.choice(found)
        cut = shape[self.rng.randint(0, len(shape)) :] if self.flip(0.3) else shape
        return self.fresh([ONE if self.flip(0.2) else s for s in cut], element)

    # ---- bodies

    def read(self, b: Body, value: SSAValue, dims: Sequence[Expr]) -> Scalar:
        """An element of a tensor that broadcasts to the domain of `dims`."""
        sizes = type_of(value).sizes
        dims = dims[len(dims) - len(sizes) :]
        return b.read(value, *(Expr.const(0) if s == ONE else d for d, s in zip(dims, sizes, strict=True)))

    def formula(self, b: Body, xs: Sequence[Scalar], length: int) -> Scalar:
        """A scalar formula of one type, with operands of that type."""
        pool = list(xs)
        x = pool[0]
        for _ in range(length):
            x, y = self.rng.choice(pool[-2:]), self.rng.choice(pool)
            pool.append(self.step(b, x, y))
        return pool[-1]

    def step(self, b: Body, x: Scalar, y: Scalar) -> Scalar:
        if is_bool(x.element):
            return self.rng.choice((lambda: x & y, lambda: x | y, lambda: x ^ y, lambda: ~x, lambda: x.where(y, x)))()
        small, zero = self.rng.choice((0, 1, -1, 2)), self.rng.choice((0.0, -0.0))
        choices: list[Callable[[], Scalar]] = [
            lambda: x + y, lambda: x - y, lambda: x.maximum(y), lambda: x.minimum(y), lambda: -x,
            lambda: x + (zero if small == 0 and is_float(x.element) else small), lambda: x * small,
            lambda: x.maximum(small), lambda: x.lt(y).where(x, y), lambda: x.eq(small).where(y, x),
            lambda: x - 0, lambda: b.constant(2, x.element) - x,
            lambda: b.constant(bool(small), i1).where(x, y), lambda: x.cast(i64).cast(x.element) if self.exact else x,
        ]  # fmt: skip
        if not self.exact and is_float(x.element):
            choices += [
                lambda: x * y, lambda: x.math(math.TanhOp), lambda: x.math(math.AbsFOp), lambda: x / 4,
                lambda: x.minimum(3).math(math.ExpOp), lambda: x / (y * y + 1), lambda: x.cast(f64).cast(x.element),
            ]  # fmt: skip
        return self.rng.choice(choices)()

    # ---- the function

    def add(self, op: WithBody) -> SSAValue:
        self.block.add_op(op)
        op.attributes["nodes"] = ArrayAttr([StringAttr(f"n{len(self.values)}")])
        self.values.append(op.result)
        return op.result

    def module(self) -> ModuleOp:
        """The module; its outputs are all results that nothing uses, and sometimes another."""
        used = {s for a in self.block.args for s in type_of(a).symbols}
        used |= {s for d in self.arg_attrs for a in d.data.values() if isinstance(a, ExprAttr) for s in a.data.symbols}
        for op in self.block.ops:
            used |= {
                s
                for inner in op.walk()
                if isinstance(inner, Read | Index | Put)
                for e in inner.exprs
                for s in e.symbols
            }
            used |= {s for e in getattr(op, "sizes", ()) for s in e.symbols}
        plain = {size for a in self.block.args for size in type_of(a).sizes}
        for name in sorted(used):
            if Expr.symbol(name) not in plain:
                self.input([Expr.symbol(name)], i1)
        results: list[SSAValue] = [op.result for op in self.block.ops if isinstance(op, WithBody)]
        outputs = [v for v in results if v.first_use is None] or [self.values[-1]]
        if results and self.flip(0.2):
            outputs.append(self.rng.choice(results))
        self.block.add_op(ReturnOp(*outputs))
        types = [a.type for a in self.block.args], [v.type for v in outputs]
        names = [DictionaryAttr({"ircc.name": StringAttr(f"y{i}")}) for i in range(len(outputs))]
        main = FuncOp(
            "main", types, Region(self.block), arg_attrs=ArrayAttr(self.arg_attrs), res_attrs=ArrayAttr(names)
        )
        example = {name: IntegerAttr(size, i64) for name, size in self.symbols.items()}
        return ModuleOp([main], attributes={EXAMPLE: DictionaryAttr(example)})


# ---- computes


def elementwise(p: ProgramBuilder) -> None:
    x = p.tensor()
    shape, element = type_of(x).sizes, type_of(x).element_type
    others = [p.alike(shape, element) for _ in range(p.rng.choice((0, 1, 1, 2)))]

    def body(b: Body, *dims: Expr) -> Scalar:
        return p.formula(b, [p.read(b, v, dims) for v in (x, *others)], p.rng.randint(1, 4))

    p.add(compute(shape, body, element))


def cast(p: ProgramBuilder) -> None:
    x = p.tensor()
    to = p.rng.choice(p.elements)
    p.add(compute(type_of(x).sizes, lambda b, *dims: p.read(b, x, dims).cast(to), to))


def permutation(p: ProgramBuilder) -> None:
    x = p.tensor(lambda t: t.rank > 1)
    sizes = type_of(x).sizes
    perm = p.rng.sample(range(len(sizes)), len(sizes))
    shape = [sizes[i] for i in perm]
    p.add(compute(shape, lambda b, *dims: b.read(x, *(dims[perm.index(i)] for i in range(len(perm)))), element(x)))


def padding(p: ProgramBuilder) -> None:
    x = p.tensor(lambda t: t.rank > 0)
    pads = [(p.rng.choice((0, 0, 1, 2)), p.rng.choice((0, 0, 1, 3))) for _ in type_of(x).sizes]
    shape = [s + a + b for s, (a, b) in zip(type_of(x).sizes, pads, strict=True)]
    fill = p.rng.choice((0, 0, 1))

    def body(b: Body, *dims: Expr) -> Scalar:
        return b.read(x, *(d - a for d, (a, _) in zip(dims, pads, strict=True)), otherwise=fill)

    p.add(compute(shape, body, element(x)))


def slicing(p: ProgramBuilder) -> None:
    """Every second element, from behind, or all but the first."""
    x = p.tensor(lambda t: t.rank > 0)
    shape: list[Expr] = []
    indices: list[Callable[[Expr], Expr]] = []
    for size in type_of(x).sizes:
        match p.rng.randint(0, 3):
            case 0:
                shape.append((size + 1) // 2)
                indices.append(lambda d: d * 2)
            case 1:
                shape.append(size)
                indices.append(lambda d, s=size: s - 1 - d)
            case 2 if size.constant:
                shape.append(size - 1)
                indices.append(lambda d: d + 1)
            case _:
                shape.append(size)
                indices.append(lambda d: d)
    p.add(compute(shape, lambda b, *dims: b.read(x, *(f(d) for f, d in zip(indices, dims, strict=True))), element(x)))


def flattening(p: ProgramBuilder) -> None:
    """Two neighbouring dims as one."""
    x = p.tensor(lambda t: t.rank > 1)
    sizes = type_of(x).sizes
    k = p.rng.randrange(len(sizes) - 1)
    a, c = sizes[k], sizes[k + 1]

    def body(b: Body, *dims: Expr) -> Scalar:
        return b.read(x, *dims[:k], dims[k] // c, dims[k] % c, *dims[k + 1 :])

    p.add(compute([*sizes[:k], a * c, *sizes[k + 2 :]], body, element(x)))


def splitting(p: ProgramBuilder) -> None:
    """One dim as two."""
    x = p.tensor(lambda t: any(s.constant in (4, 6) or len(next(iter(s.terms), ())) > 1 for s in t.sizes))
    sizes = type_of(x).sizes
    for k, size in enumerate(sizes):
        factor = Expr.const(2) if size.constant in (4, 6) else None
        if factor is None and size.constant is None and len(size.terms) == 1:
            monomial = next(iter(size.terms))
            factor = Expr({monomial[:1]: 1}) if len(monomial) > 1 else None
        if factor is None:
            continue
        c, i = factor, k

        def body(b: Body, *dims: Expr, i: int = i, c: Expr = c) -> Scalar:
            return b.read(x, *dims[:i], dims[i] * c + dims[i + 1], *dims[i + 2 :])

        p.add(compute([*sizes[:k], size // c, c, *sizes[k + 1 :]], body, element(x)))
        return


def expansion(p: ProgramBuilder) -> None:
    x = p.tensor(lambda t: t.rank < 3)
    shape = [p.size(), *(p.size() if s == ONE else s for s in type_of(x).sizes)]
    if p.number(product(shape)) <= LARGEST:
        p.add(compute(shape, lambda b, *dims: p.read(b, x, dims), element(x)))


def counting(p: ProgramBuilder) -> None:
    shape = [p.size(), p.size()]
    to = p.rng.choice((i64, i32, f32))
    extra = p.rng.choice([Expr.const(3), Expr.symbol("N") if p.symbolic else Expr.const(1)])
    p.add(compute(shape, lambda b, i, j: b.from_index(i * 2 + j + extra).cast(to), to))


def reduction(p: ProgramBuilder) -> None:
    x = p.tensor(lambda t: t.rank > 0)
    sizes = type_of(x).sizes
    reduced = sorted(p.rng.sample(range(len(sizes)), p.rng.randint(1, len(sizes))))
    kept = [i for i in range(len(sizes)) if i not in reduced]
    order = [*kept, *reduced]
    if p.flip(0.2):  # a tensor with nothing to reduce
        sizes = [ONE if i in reduced else s for i, s in enumerate(sizes)]
        x = p.fresh(sizes, element(x))
    combine = p.rng.choice(("add", "add", "max", "min", "mul"))
    if combine == "mul" and (p.exact or not is_float(element(x))):
        combine = "max"
    shape = [sizes[i] for i in kept]
    y = p.alike(shape, element(x)) if p.flip(0.3) else None

    def body(b: Body, *dims: Expr) -> Scalar:
        found = b.read(x, *(dims[order.index(i)] for i in range(len(sizes))))
        return p.formula(b, [found], p.rng.choice((0, 0, 1)))

    def finish(b: Body, *given: Any) -> Scalar:
        *dims, total = given
        xs = [total] if y is None else [total, p.read(b, y, dims)]
        return p.formula(b, xs, p.rng.randint(1, 2))

    end = finish if p.flip(0.4) else None
    p.add(compute(shape, body, element(x), reduce=[sizes[i] for i in reduced], combine=combine, finish=end))


def contraction(p: ProgramBuilder) -> None:
    """A matrix product; either operand may lie transposed, or have its reduced dim in two digits."""
    x = p.tensor(lambda t: t.rank == 2 and not is_bool(t.element_type))
    if type_of(x).rank != 2 or is_bool(element(x)):
        return
    turned = p.flip()
    m, k = type_of(x).sizes[::-1] if turned else type_of(x).sizes
    n = p.size()
    y = p.fresh([k, n], element(x))
    if p.exact and p.number(k) > 8:
        return

    def body(b: Body, i: Expr, j: Expr, r: Expr) -> Scalar:
        a = b.read(x, r, i) if turned else b.read(x, i, r)
        return (a.maximum(-2).minimum(2) if p.exact else a) * b.read(y, r, j)

    bias = p.fresh([n], element(x)) if p.flip(0.4) else None

    def finish(b: Body, i: Expr, j: Expr, total: Scalar) -> Scalar:
        assert bias is not None
        return (total + b.read(bias, j)).maximum(0)

    p.add(compute([m, n], body, element(x), reduce=[k], combine="add", finish=finish if bias is not None else None))


def window(p: ProgramBuilder) -> None:
    """A padding and a pooling or a convolution along the first dim."""
    x = p.tensor(lambda t: t.rank > 0 and not is_bool(t.element_type))
    if type_of(x).rank == 0 or is_bool(element(x)):
        return
    size, *rest = type_of(x).sizes
    taps, stride = p.rng.choice((2, 3)), p.rng.choice((1, 2))
    padded = compute([size + taps - 1, *rest], lambda b, i, *dims: b.read(x, i - 1, *dims, otherwise=0), element(x))
    source = p.add(padded)
    weight = p.fresh([Expr.const(taps)], element(x)) if p.flip() and not p.exact else None

    def body(b: Body, *dims: Expr) -> Scalar:
        *place, k = dims
        found = b.read(source, place[0] * stride + k, *place[1:])
        return found if weight is None else found * b.read(weight, k)

    combine = "max" if weight is None else "add"
    shape = [(size + stride - 1) // stride, *rest]
    p.add(compute(shape, body, element(x), reduce=[taps], combine=combine))


def gathering(p: ProgramBuilder) -> None:
    x = p.tensor(lambda t: t.rank > 0)
    if type_of(x).rank == 0:
        return
    size, *rest = type_of(x).sizes
    count = p.size()
    inside = p.number(size) > 0 and size.constant is not None
    places = p.input([count], p.rng.choice((i64, i32)), 0 if inside else -2, size - 1 if inside else size + 1)

    def body(b: Body, i: Expr, *dims: Expr) -> Scalar:
        place = b.as_index(b.read(places, i))
        return b.read(x, place, *dims, otherwise=None if inside else 1)

    p.add(compute([count, *rest], body, element(x)))


def joining(p: ProgramBuilder) -> None:
    """Two or three tensors one after the other, along any dim."""
    x = p.tensor(lambda t: t.rank > 0)
    if (rank := type_of(x).rank) == 0:
        return
    axis = p.rng.randrange(rank)

    def fits(t: TensorType) -> bool:
        same = t.rank == rank and t.element_type == element(x)
        return same and all(d == axis or s == n for d, (s, n) in enumerate(zip(t.sizes, type_of(x).sizes, strict=True)))

    parts = [x, *(v for v in (p.tensor(fits) for _ in range(p.rng.randint(1, 2))) if fits(type_of(v)))]

    def body(b: Body, *dims: Expr) -> Scalar:
        found = b.constant(0, element(x))
        low = sum((type_of(v).sizes[axis] for v in parts), Expr.const(0))
        for v in reversed(parts):
            low = low - type_of(v).sizes[axis]
            found = b.read(v, *dims[:axis], dims[axis] - low, *dims[axis + 1 :], otherwise=found)
        return found

    long = sum((type_of(v).sizes[axis] for v in parts), Expr.const(0))
    sizes = type_of(x).sizes
    p.add(compute([*sizes[:axis], long, *sizes[axis + 1 :]], body, element(x)))


def epilogue(p: ProgramBuilder) -> None:
    """A reduction, and a formula of its result that is laid out in another way."""
    x = p.tensor(lambda t: t.rank > 1)
    if type_of(x).rank < 2:
        return
    *shape, last = type_of(x).sizes
    total = p.add(compute(shape, lambda b, *dims: b.read(x, *dims), element(x), reduce=[last], combine="max"))
    if len(shape) == 2 and p.flip():
        sizes, place = [shape[0] * shape[1]], lambda i: (i // shape[1], i % shape[1])
    elif p.flip():
        sizes, place = shape[::-1], lambda *dims: dims[::-1]
    else:
        sizes, place = shape, lambda *dims: dims
    other = p.alike(sizes, element(x))

    def body(b: Body, *dims: Expr) -> Scalar:
        return p.formula(b, [b.read(total, *place(*dims)), p.read(b, other, dims)], 2)

    p.add(compute(sizes, body, element(x)))


# ---- updates


def running(p: ProgramBuilder) -> None:
    """Each element and the one before it become the next one, forwards or backwards."""
    x = p.tensor(lambda t: t.rank > 0 and not is_bool(t.element_type))
    if type_of(x).rank == 0 or is_bool(element(x)):
        return
    sizes, back = type_of(x).sizes, p.flip(0.3)
    axis = p.rng.randrange(len(sizes))
    size, rest = sizes[axis], [*sizes[:axis], *sizes[axis + 1 :]]
    y = p.alike(rest, element(x)) if p.flip(0.4) else None

    def body(b: Body, now: SSAValue, *dims: Expr) -> Place:
        *others, k = dims
        old, new = (size - 1 - k, size - 2 - k) if back else (k, k + 1)
        before, here = ([*others[:axis], i, *others[axis:]] for i in (old, new))
        total = b.read(now, *before) + b.read(now, *here)
        if y is not None:
            total = total.maximum(p.read(b, y, others))
        return total.maximum(-8).minimum(8), here

    p.add(update(x, rest, [size - 1], body))


def scattering(p: ProgramBuilder) -> None:
    """Slices of a tensor are written, or added to, where other data says; some of that lies outside."""
    x = p.tensor(lambda t: t.rank > 0)
    if type_of(x).rank == 0:
        return
    (size, *rest), count = type_of(x).sizes, p.size()
    places = p.input([count], p.rng.choice((i64, i32)), -2, size + 1)
    y, adds = p.alike([count, *rest], element(x)), p.flip() and not is_bool(element(x))

    def body(b: Body, now: SSAValue, *dims: Expr) -> Place:
        *others, k = dims
        place = [b.as_index(b.read(places, k)), *others]
        value = p.read(b, y, [k, *others])
        if adds:
            value = (b.read(now, *place, otherwise=0) + value).maximum(-8).minimum(8)
        return value, place

    p.add(update(x, rest, [count], body))


def compacting(p: ProgramBuilder) -> None:
    """The positions of positive elements side by side, and behind them their number."""
    x = p.tensor(lambda t: t.rank == 1 and not is_bool(t.element_type))
    if type_of(x).rank != 1 or is_bool(element(x)):
        return
    (size,) = type_of(x).sizes
    start = p.add(compute([size + 1], lambda b, i: b.constant(0, i64), i64))

    def body(b: Body, now: SSAValue, k: Expr) -> list[Place]:
        count, found = b.read(now, size), b.read(x, k).gt(0)
        place = b.as_index(found.where(count, -1))
        return [(b.from_index(k), [place]), (count + found.cast(i64), [size])]

    p.add(update(start, [], [size], body))


def element(value: SSAValue) -> Attribute:
    return type_of(value).element_type


COMPUTES: tuple[Callable[[ProgramBuilder], None], ...] = (
    elementwise, elementwise, elementwise, permutation, permutation, reduction, reduction, contraction, padding,
    slicing, flattening, splitting, expansion, counting, cast, window, gathering, joining, epilogue, epilogue,
    running, scattering, compacting,
)  # fmt: skip


def random_program(
    rng: random.Random,
    *,
    length: tuple[int, int] = (1, 8),
    exact: bool = False,
    symbolic: bool = True,
    computes: Sequence[Callable[[ProgramBuilder], None]] = COMPUTES,
) -> ModuleOp:
    """A module with about `length` (least, most) of `computes` in `func.func @main`, chained as it comes."""
    elements = tuple(e for e in ELEMENTS if not (exact and e == i32)) if exact else ELEMENTS
    builder = ProgramBuilder(rng, exact=exact, symbolic=symbolic, elements=elements)
    for _ in range(rng.randint(*length)):
        rng.choice(computes)(builder)
    if not builder.values:
        elementwise(builder)
    return builder.module()


def programs(**options: Any) -> st.SearchStrategy[ModuleOp]:
    """Modules as `random_program` draws them, with its options."""
    return st.randoms(use_true_random=False).map(lambda rng: random_program(rng, **options))
