"""How to draw operators that compute: operands and properties that their constraints allow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xdsl.dialects.builtin import f32, i64
from xdsl.ir import SSAValue

from ..dialects.graph import OPERATORS, GraphOp
from ..dialects.graph.binary import Binary, Comparison, Variadic
from ..dialects.graph.normalization import AlongAxis
from ..dialects.graph.pooling import GlobalPool
from ..dialects.graph.reduction import Reduction
from ..dialects.graph.unary import Predicate, Unary
from ..ir.expr import ONE, Expr
from ..ir.types import DTYPES, bits_of, is_small_float
from .graph_builder import GraphBuilder, Recipe, kind_of, type_of
from .graph_table import RECIPES, STEEP, axis_of, drawn, make, recipe

# ---- elementwise


def simple(cls: type[GraphOp], ranks: Sequence[int], kinds: str, axis: bool = False) -> Recipe:
    """An operator with one operand, drawn properties and, if need be, an axis."""

    def draw(g: GraphBuilder) -> GraphOp:
        x = g.tensor(kinds, ranks, exact=cls.__name__ in STEEP)
        given: dict[str, Any] = drawn(g, cls.__name__) | ({"axis": axis_of(g, type_of(x).rank)} if axis else {})
        return cls.make(x, **given)

    return draw


def binary(cls: type[Binary]) -> Recipe:
    def draw(g: GraphBuilder) -> GraphOp:
        name = cls.__name__
        a = g.tensor(cls.KINDS, exact=name in STEEP or issubclass(cls, Comparison))
        element = type_of(a).element_type
        kind = kind_of(element)
        if name in ("Div", "Mod") and kind in "iu":
            low, high = (-4, -1) if kind == "i" and g.flip(0.3) else (1, 4)
            b = g.input(type_of(a).sizes, element, low, high)
        elif name == "BitShift":
            b = g.input(type_of(a).sizes, element, 0, 7)
        else:
            b = g.partner(a, exact=name in STEEP or issubclass(cls, Comparison))
        if name == "Mod":
            return make("Mod", a, b, fmod=kind == "f" or g.flip())
        return cls.make(*((a, b) if g.flip() or name in ("Div", "BitShift") else (b, a)), **drawn(g, name))

    return draw


def variadic(cls: type[Variadic]) -> Recipe:
    def draw(g: GraphBuilder) -> GraphOp:
        first = g.tensor(cls.KINDS)
        others = [g.partner(first) for _ in range(g.rng.randrange(3))]
        shapes = {str(type_of(v).sizes) for v in others}
        # partners of one value need not broadcast with each other once a symbol stands for another
        return cls.make([first, *(others if len(shapes) < 2 else others[:1])])

    return draw


for _op in OPERATORS:
    if issubclass(_op, Unary | Predicate):
        RECIPES[_op.__name__] = simple(_op, (0, 1, 2, 3, 4), "f" if _op.__name__ == "Erf" else _op.KINDS)
    elif issubclass(_op, Binary):
        RECIPES[_op.__name__] = binary(_op)
    elif issubclass(_op, Variadic):
        RECIPES[_op.__name__] = variadic(_op)
    elif issubclass(_op, GlobalPool):
        RECIPES[_op.__name__] = simple(_op, (3, 4, 5), "f")
    elif issubclass(_op, AlongAxis):
        RECIPES[_op.__name__] = simple(_op, (1, 2, 3, 4), "f", axis=True)


@recipe
def pow_(g: GraphBuilder) -> GraphOp:
    element = g.element("f") if g.flip(0.7) else g.rng.choice([i64])
    whole = kind_of(element) == "i"
    shape = g.sizes(g.rng.randrange(4))
    a = g.input(shape, element, -3 if whole else 0, 3)
    if whole or g.flip(0.2):
        return make("Pow", a, g.input(shape, element if whole else i64, 0, 3))
    return make("Pow", a, g.partner(a, exact=True))


@recipe
def cast(g: GraphBuilder) -> GraphOp:
    to = g.element("fiubs")
    if is_small_float(to):
        options: dict[str, Any] = {"saturate": False} if g.flip(0.3) else {}
        if g.flip():
            options["round_mode"] = g.rng.choice(("up", "down", "nearest"))
        x = g.tensor("fiubs", exact=True)
        return make("Cast", x, to=f32) if type_of(x).element_type == to else make("Cast", x, to=to, **options)
    if kind_of(to) == "s":
        return make("Cast", g.input(g.sizes(g.rng.randrange(4)), g.element("fiub"), 0, 100), to=to)
    if kind_of(to) in "iu" and g.flip():
        # floats beyond an integer's range are undefined
        return make("Cast", g.input(g.sizes(g.rng.randrange(4)), g.element("f"), 0, 100), to=to)
    if kind_of(to) == "f":
        return make("Cast", g.tensor("fiubs"), to=to)
    return make("Cast", g.tensor("fiub" if kind_of(to) == "b" else "iub", exact=True), to=to)


@recipe
def bit_cast(g: GraphBuilder) -> GraphOp:
    x = g.tensor("iub", exact=True)
    bits = bits_of(type_of(x).element_type)
    to = [t for t, d in DTYPES.items() if d.name in g.elements and bits_of(t) == bits]
    return make("BitCast", x, to=g.rng.choice(to))


@recipe
def where(g: GraphBuilder) -> GraphOp:
    a = g.tensor("fiub")
    condition = g.partner(a, g.element("b"), exact=True)
    return make("Where", condition, a, g.shaped(type_of(a).sizes, type_of(a).element_type))


@recipe
def prelu(g: GraphBuilder) -> GraphOp:
    x = g.tensor("f")
    shape = [ONE if g.flip(0.3) else s for s in type_of(x).sizes]
    return make("PRelu", x, g.shaped(shape[g.rng.randint(0, len(shape)) :], type_of(x).element_type))


@recipe
def clip(g: GraphBuilder) -> GraphOp:
    x = g.tensor("fiu")
    low, high = (g.shaped([], type_of(x).element_type) if g.flip(0.7) else None for _ in range(2))
    return make("Clip", x, low, high)


# ---- contractions


@recipe
def matmul(g: GraphBuilder) -> GraphOp:
    a = g.tensor("f" if g.flip(0.9) else "iu", (1, 2, 3, 4))
    sizes, element = type_of(a).sizes, type_of(a).element_type
    if g.flip(0.15):
        return make("MatMul", a, g.shaped([sizes[-1]], element))
    lead = [ONE if g.flip(0.2) else s for s in sizes[:-2]] if g.flip() else []
    return make("MatMul", a, g.shaped([*lead, sizes[-1], g.size()], element))


@recipe
def gemm(g: GraphBuilder) -> GraphOp:
    a = g.tensor("f", (2,))
    trans_a, trans_b = g.flip(), g.flip()
    m, k = type_of(a).sizes[:: -1 if trans_a else 1]
    n = g.size()
    b = g.shaped([n, k] if trans_b else [k, n], type_of(a).element_type)
    c = g.shaped([[m, n], [n], [ONE, n], [m, ONE], []][g.rng.randrange(5)], type_of(a).element_type)
    given = {"alpha": g.rng.choice((1.0, 0.5)), "beta": g.rng.choice((1.0, 0.25, 0.0))}
    return make("Gemm", a, b, c if g.flip(0.7) else None, trans_a=trans_a, trans_b=trans_b, **given)


def spatial(g: GraphBuilder, sizes: Sequence[Expr], dilated: bool = True) -> dict[str, list[int]]:
    """Kernel, strides, dilations and pads with which each axis has room for the kernel."""
    kernel, strides, dilations, before, after = ([g.rng.randint(1, 3) for _ in sizes] for _ in range(5))
    for i, size in enumerate(sizes):
        dilations[i] = g.rng.choice((1, 1, 2)) if dilated else 1
        strides[i] = g.rng.choice((1, 1, 2, 3))
        before[i], after[i] = (g.rng.randrange(kernel[i]) for _ in range(2))
        least = min(g.number(size), size.constant if size.constant is not None else 0)
        if least + before[i] + after[i] < dilations[i] * (kernel[i] - 1) + 1:
            kernel[i], before[i], after[i] = 1, 0, 0
    return {"kernel": kernel, "strides": strides, "dilations": dilations, "pads": [*before, *after]}


def groups(g: GraphBuilder, channels: Expr) -> int:
    known = channels.constant
    return g.rng.choice([d for d in range(1, known + 1) if known % d == 0]) if known else 1


@recipe
def conv(g: GraphBuilder) -> GraphOp:
    x = g.tensor("f", (3, 4, 4, 5))
    sizes, element = type_of(x).sizes, type_of(x).element_type
    given, group = spatial(g, sizes[2:]), groups(g, sizes[1])
    out = group * g.rng.randint(1, 3)
    w = g.shaped([out, sizes[1] // group, *given.pop("kernel")], element)
    return make("Conv", x, w, g.shaped([out], element) if g.flip() else None, group=group, **given)


@recipe
def conv_transpose(g: GraphBuilder) -> GraphOp:
    x = g.tensor("f", (3, 4), low=1)
    sizes, element = type_of(x).sizes, type_of(x).element_type
    given, group = spatial(g, sizes[2:]), groups(g, sizes[1])
    kernel, n = given.pop("kernel"), len(sizes) - 2
    extra = [g.rng.randrange(s) for s in given["strides"]]
    for i in range(n):
        if given["dilations"][i] * (kernel[i] - 1) + 1 < given["pads"][i] + given["pads"][n + i]:
            given["pads"][i] = given["pads"][n + i] = 0
    out = g.rng.randint(1, 3)
    w = g.shaped([sizes[1], out, *kernel], element)
    b = g.shaped([out * group], element) if g.flip() else None
    return make("ConvTranspose", x, w, b, group=group, output_padding=extra, **given)


EQUATIONS = (
    "ij,jk->ik", "bij,bjk->bik", "bhid,bhjd->bhij", "ij->ji", "ij->", "i,j->ij", "ij,ij->i", "...ij,...jk->...ik",
    "ij,jk", "bi,bj->bij", "ii->i", "i,i", "abc->cb", "ij,j,i->",
)  # fmt: skip


@recipe
def einsum(g: GraphBuilder) -> GraphOp:
    equation = g.rng.choice(EQUATIONS)
    terms = equation.partition("->")[0].split(",")
    dots = g.sizes(g.rng.randrange(3))
    sizes = {letter: g.size() for letter in sorted(set("".join(terms)) - {"."})}
    element = g.element("f")
    operands: list[SSAValue] = []
    for term in terms:
        shape = [*dots] if "..." in term else []
        operands.append(g.shaped([*shape, *(sizes[c] for c in term.replace("...", ""))], element))
    return make("Einsum", operands, equation=equation)


# ---- pools


def pool(g: GraphBuilder, operator: str, kinds: str, **properties: Any) -> GraphOp:
    x = g.tensor(kinds, (3, 4, 4, 5), fits=lambda t: kind_of(t.element_type) == "f" or t.dtype.itemsize == 1)
    if kind_of(type_of(x).element_type) in "iu" and type_of(x).dtype.itemsize > 1:
        x = g.tensor("f", (3, 4))
    return make(operator, x, ceil_mode=g.flip(0.3), **spatial(g, type_of(x).sizes[2:]), **properties)


@recipe
def max_pool(g: GraphBuilder) -> GraphOp:
    x = g.tensor("f", (3, 4, 4, 5), exact=True)
    given = {"indices": g.flip(0.2), "storage_order": 0, "ceil_mode": g.flip(0.3)}
    return make("MaxPool", x, **spatial(g, type_of(x).sizes[2:]), **given)


@recipe
def average_pool(g: GraphBuilder) -> GraphOp:
    return pool(g, "AveragePool", "f", count_include_pad=g.flip())


@recipe
def lp_pool(g: GraphBuilder) -> GraphOp:
    return pool(g, "LpPool", "f", p=g.rng.choice((1, 2, 3)))


# ---- along axes


def reduction(cls: type[Reduction]) -> Recipe:
    steep = cls.__name__ in ("ReduceLogSum", "ReduceL2")

    def draw(g: GraphBuilder) -> GraphOp:
        x = g.tensor("f" if g.flip(0.8) else cls.KINDS, exact=steep)
        if kind_of(type_of(x).element_type) in "iu" and "Log" in cls.__name__:
            x = g.tensor("f", exact=steep)
        rank = type_of(x).rank
        axes = [a for a in range(rank) if g.flip(0.6)]
        if kind_of(type_of(x).element_type) != "f" and cls.__name__ == "ReduceMean":
            axes = [a for a in axes if g.number(type_of(x).sizes[a]) > 0]
        return cls.make(x, axes=[a - rank if g.flip(0.3) else a for a in axes], keepdims=g.flip())

    return draw


for _op in OPERATORS:
    if issubclass(_op, Reduction):
        RECIPES[_op.__name__] = reduction(_op)


def position(operator: str) -> Recipe:
    def draw(g: GraphBuilder) -> GraphOp:
        x = g.tensor("fiu", (1, 2, 3, 4), exact=True, low=1)
        given = {"keepdims": g.flip(), "select_last_index": g.flip(0.3)}
        return make(operator, x, axis=axis_of(g, type_of(x).rank), **given)

    return draw


def running(operator: str) -> Recipe:
    def draw(g: GraphBuilder) -> GraphOp:
        x = g.tensor("f" if g.flip(0.8) else "iu", (1, 2, 3, 4))
        return make(operator, x, axis=axis_of(g, type_of(x).rank), exclusive=g.flip(), reverse=g.flip())

    return draw


RECIPES.update(ArgMax=position("ArgMax"), ArgMin=position("ArgMin"))
RECIPES.update(CumSum=running("CumSum"), CumProd=running("CumProd"))


@recipe
def top_k(g: GraphBuilder) -> GraphOp:
    x = g.tensor("fiu", (1, 2, 3), exact=True)
    axis = axis_of(g, type_of(x).rank)
    size = type_of(x).sizes[axis]
    k = size if g.flip(0.2) else Expr.const(g.rng.randint(0, g.number(size)))
    return make("TopK", x, k=k, axis=axis, largest=g.flip(), sorted=True)


# ---- normalisation


@recipe
def batch_normalization(g: GraphBuilder) -> GraphOp:
    x = g.tensor("f", (2, 3, 4, 5))
    channels, element = [type_of(x).sizes[1]], type_of(x).element_type
    vectors = [g.shaped(channels, element) for _ in range(3)]
    return make("BatchNormalization", x, *vectors, g.input(channels, element, 1, 2), epsilon=2**-10)


@recipe
def instance_normalization(g: GraphBuilder) -> GraphOp:
    x = g.tensor("f", (3, 4, 5))
    vectors = [g.shaped([type_of(x).sizes[1]], type_of(x).element_type) for _ in range(2)]
    return make("InstanceNormalization", x, *vectors, epsilon=2**-7)


@recipe
def layer_normalization(g: GraphBuilder) -> GraphOp:
    x = g.tensor("f", (1, 2, 3, 4))
    axis = axis_of(g, type_of(x).rank)
    shape, element = type_of(x).sizes[axis:], type_of(x).element_type
    bias = g.shaped(shape, element) if g.flip() else None
    return make("LayerNormalization", x, g.shaped(shape, element), bias, axis=axis, epsilon=2**-7)


@recipe
def rms_normalization(g: GraphBuilder) -> GraphOp:
    x = g.tensor("f", (1, 2, 3, 4))
    axis = axis_of(g, type_of(x).rank)
    return make(
        "RMSNormalization", x, g.shaped(type_of(x).sizes[axis:], type_of(x).element_type), axis=axis, epsilon=2**-7
    )


@recipe
def lrn(g: GraphBuilder) -> GraphOp:
    return make(
        "LRN", g.tensor("f", (2, 3, 4, 4, 4)), size=g.rng.choice((1, 2, 3, 3, 5)), alpha=g.rng.choice((1e-4, 0.5))
    )
