"""What the tensor passes share: a body spliced into another at other indices, and questions about computes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce

from xdsl.dialects import arith, math
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, Region, SSAValue

from ..dialects.tensor import Compute, Index, Read, WithBody, Yield
from ..dialects.tensor.body import body_block
from ..ir.expr import ONE, OPERATIONS, ZERO, Atom, Expr, Range, maximum, product
from ..ir.indexed import Indexed
from ..ir.nodes import nodes_of
from ..ir.operands import copied, put_before, walk
from ..ir.types import TensorType, is_float

# Scalar operations that take an order of magnitude longer than an addition.
EXPENSIVE: tuple[type[Operation], ...] = (
    arith.DivfOp, arith.DivSIOp, arith.DivUIOp, arith.RemSIOp, arith.RemUIOp, arith.FloorDivSIOp,
    arith.CeilDivSIOp,
)  # fmt: skip
CHEAP_MATH: tuple[type[Operation], ...] = (
    math.AbsFOp,
    math.AbsIOp,
    math.FmaOp,
    math.CopySignOp,
    math.FloorOp,
    math.CeilOp,
)


def computes_in(module: ModuleOp) -> list[Compute]:
    """The computes of a module in the order of the program."""
    return [op for op in walk(module) if isinstance(op, Compute)]


def bodies_in(module: ModuleOp) -> list[WithBody]:
    """The computes and updates of a module in the order of the program."""
    return [op for op in walk(module) if isinstance(op, WithBody)]


# ---- splicing


def splice(
    source: Block,
    exprs: Sequence[Expr],
    operands: Sequence[SSAValue],
    ranges: Mapping[SSAValue, Range],
    before: Operation,
    known: Mapping[SSAValue, SSAValue] | None = None,
    otherwise: SSAValue | None = None,
    take: bool = False,
) -> SSAValue:
    """Copy the body `source` in front of `before`, with its first arguments, the index variables, replaced by `exprs`
    over `operands`; the value that it yields. Indices are simplified by what `ranges` says about operands.

    `known` maps other values of the source, which are not copied; `otherwise` is the `else` of reads without one.
    `take`: nobody needs the source any more, so that its operations are moved instead, which is cheaper."""
    mapped = dict(known or {})
    position: dict[SSAValue, int] = {arg: k for k, arg in enumerate(source.args[: len(exprs)])}
    block = before.parent
    assert block is not None

    def indices(op: Indexed) -> tuple[list[Expr], list[SSAValue]]:
        values, replaced = list(operands), dict[int, Expr]()
        for dim, value in op.dims.items():
            if value in position:
                replaced[dim] = exprs[position[value]]
            else:
                replaced[dim] = Expr.dim(len(values))
                values.append(mapped.get(value, value))
        limits = {i: ranges[v] for i, v in enumerate(values) if v in ranges}
        return [e.substitute(replaced).simplify(limits) for e in op.exprs], values

    def index_value(value: SSAValue) -> SSAValue:
        """An index variable that something other than an index expression uses."""
        made = Index(exprs[position[value]], operands)
        block.insert_op_before(made, before)
        mapped[value] = made.value
        return made.value

    for op in list(source.ops):
        match op:
            case _ if op.results and op.results[0] in mapped:
                continue
            case Yield():
                return mapped.get(op.value, op.value) if op.value not in position else index_value(op.value)
            case Read():
                other = otherwise if op.otherwise is None else mapped.get(op.otherwise, op.otherwise)
                copy: Operation = Read(mapped.get(op.tensor, op.tensor), indices(op), other)
            case Index():
                values, arguments = indices(op)
                copy = Index(values[0], arguments)
            case _:
                for operand in op.operands:
                    if operand in position and operand not in mapped:
                        index_value(operand)
                if take and not op.regions:
                    op.detach()
                    for i, operand in enumerate(op.operands):
                        if operand in mapped:
                            op.operands[i] = mapped[operand]
                    put_before(op, before)
                    continue
                copy = copied(op, mapped)
        mapped.update(zip(op.results, copy.results, strict=True))
        for old, new in zip(op.results, copy.results, strict=True):
            new.name_hint = old.name_hint
        put_before(copy, before)
    raise AssertionError("a body ends with tensor.yield")


def inline(read: Read, producer: Compute, consumer: WithBody, keep_else: bool = False) -> None:
    """Replace a read of `producer` in a body of `consumer` by the producer's formula at that index:
    `%p[e0, e1]` where `%p = [d0, d1] → body(d0, d1)` is `body(e0, e1)`. With `keep_else` the read's `else` goes to the
    reads of the formula; without it the caller knows that the index is inside."""
    otherwise = read.otherwise if keep_else else None
    source, alone = producer.body.block, single_use(producer.result)
    value = splice(source, read.exprs, list(read.indices), consumer.ranges, read, otherwise=otherwise, take=alone)
    block = read.parent
    assert block is not None
    read.value.replace_all_uses_with(value)
    block.erase_op(read)


def rebuilt(
    op: Compute, extents: Sequence[Expr], rank: int, exprs: Sequence[Expr], names: Iterable[str | None] = ()
) -> Compute:
    """The compute over another domain: its index variables are `exprs` over those of the new one, whose first `rank`
    dims are the parallel ones. The caller answers for that being a bijection of the domains."""
    bodies: list[Region] = []
    for region, count in ((op.body, len(extents)), (op.finish, rank)):
        if not region.blocks:
            bodies.append(Region())
            continue
        old = region.block
        inner = len(op.sizes) if region is op.body else op.rank
        extra = old.args[inner:]
        block = body_block(count, *(a.type for a in extra))
        end = Yield.create(operands=[])
        block.add_op(end)
        limits: dict[SSAValue, Range] = {
            a: (ZERO, s - ONE) for a, s in zip(block.args[:count], extents[:count], strict=True)
        }
        known: dict[SSAValue, SSAValue] = dict(zip(extra, block.args[count:], strict=True))
        for hint, arg in zip(names, block.args[:count], strict=False):
            arg.name_hint = hint
        value = splice(old, exprs[:inner], list(block.args[:count]), limits, end, known)
        end.operands = [value]
        bodies.append(Region(block))
    body, finish = bodies
    type_ = TensorType.of(extents[:rank], op.type.element_type)
    return Compute(extents, rank, type_, body, finish, op.combiner if len(extents) > rank else None, nodes_of(op))


def movement(source: SSAValue, sizes: Sequence[Expr], exprs: Sequence[Expr], nodes: Sequence[str] = ()) -> Compute:
    """`out[d0, d1, ...] = source[exprs]`."""
    assert isinstance(source.type, TensorType)
    block = body_block(len(sizes))
    read = Read(source, (exprs, list(block.args)))
    block.add_ops([read, Yield(read.value)])
    type_ = TensorType.of(sizes, source.type.element_type)
    return Compute(sizes, len(sizes), type_, Region(block), nodes=nodes)


# ---- questions


@dataclass(frozen=True)
class Formula:
    """What is worth knowing about the body of a compute without reduction."""

    operations: int  # operations, reads and constants not counted
    expensive: bool  # a division or a function among them
    reads: int
    conditional: bool  # a read has an `else`
    movement: bool  # one read and nothing else
    tensors: frozenset[SSAValue]


def formula_of(op: Compute) -> Formula:
    """The `Formula` of a compute's body."""
    ops = list(op.body.block.ops)[:-1]
    reads = [o for o in ops if isinstance(o, Read)]
    work = [o for o in ops if not isinstance(o, Read | Index | arith.ConstantOp | arith.IndexCastOp)]
    conditional = any(r.otherwise is not None for r in reads)
    moves = len(reads) == 1 and reads[0].value is op.yielded and not work and _of_indices(reads[0], op)
    return Formula(
        operations=len(work),
        expensive=any(is_expensive(o) for o in work),
        reads=len(reads),
        conditional=conditional,
        movement=moves,
        tensors=frozenset(r.tensor for r in reads),
    )


def is_expensive(op: Operation) -> bool:
    """Divisions and functions."""
    return isinstance(op, EXPENSIVE) or (op.name.startswith("math.") and not isinstance(op, CHEAP_MATH))


def _of_indices(read: Read, op: Compute) -> bool:
    """Whether the index depends on index variables only, and not on data."""
    args = set(op.indices)
    return all(v in args for v in read.indices)


def is_contraction(op: WithBody) -> bool:
    """A sum of products of different values: what matrix units and register tiles are for."""
    if not isinstance(op, Compute) or not op.is_reduction or op.combiner != "add":
        return False
    product_ = op.yielded.owner
    return (
        isinstance(product_, arith.MulfOp | arith.MuliOp)
        and product_.operands[0] is not product_.operands[1]
        and len({r.tensor for r in op.body.block.ops if isinstance(r, Read)}) > 1
    )


def in_body(read: Read, op: WithBody) -> bool:
    """Whether a read stands in the body (once per point of the whole domain) and not in `finish`."""
    return read.parent is op.body.block


def within(e: Expr, size: Expr, ranges: Mapping[int, Range]) -> bool:
    """Whether an index provably lies in [0, size)."""
    return e.nonnegative(ranges) and (size - 1 - e).nonnegative(ranges)


def limits_of(op: Indexed, ranges: Mapping[SSAValue, Range]) -> dict[int, Range]:
    """Ranges of the dims of an indexed operation."""
    return {i: ranges[v] for i, v in op.dims.items() if v in ranges}


def own_indices(read: Read, op: WithBody) -> list[Expr] | None:
    """The index of a read over the positions of the index variables of the body it stands in, None when it depends on
    data."""
    args = op.finish.block.args[: op.rank] if isinstance(op, Compute) and not in_body(read, op) else op.indices
    position: dict[SSAValue, int] = {a: i for i, a in enumerate(args)}
    if any(v not in position for v in read.indices):
        return None
    moved = {d: Expr.dim(position[v]) for d, v in read.dims.items()}
    return [e.substitute(moved) for e in read.exprs]


@lru_cache(maxsize=1 << 14)
def length(e: Expr) -> int:
    """Number of atoms of an expression, nested ones included: how long it takes to compute, and to think about it."""
    nested = [a for monomial in e.terms for a in monomial if a.kind not in ("symbol", "dim")]
    return sum(map(len, e.terms)) + sum(length(arg) for atom in nested for arg in atom.args)


def digits_only(e: Expr, dims: Iterable[int]) -> bool:
    """Whether what is not linear in an index expression are digits (floordiv, mod) of one of `dims` each."""
    for monomial in e.terms:
        others = [a for a in monomial if a.kind != "symbol"]
        plain = all(a.kind == "dim" for a in others) and len(others) < 2
        if not plain and not (len(others) == 1 and any(_digit_weight(others[0], d) is not None for d in dims)):
            return False
    return True


def single_use(value: SSAValue) -> bool:
    """Whether a value has exactly one use."""
    return value.has_one_use()


def inverse(exprs: Sequence[Expr], sizes: Sequence[Expr], target: Sequence[Expr]) -> Sequence[Expr] | None:
    """The inverse of the map `i → exprs(i)` from the box `sizes` onto the box `target`, None unless it is provably one.

    Each expression may be an index, a row-major combination of indices, or digits of one (floordiv and mod). The guess
    is proven by putting the map into it: when that is the identity and both boxes have as many points, it is one."""
    return _inverse(tuple(exprs), tuple(sizes), tuple(target))


@lru_cache(maxsize=1024)  # the layers of a model ask the same again and again
def _inverse(exprs: tuple[Expr, ...], sizes: tuple[Expr, ...], target: tuple[Expr, ...]) -> tuple[Expr, ...] | None:
    if product(sizes) != product(target):
        return None
    unit = {j: ZERO for j, s in enumerate(sizes) if s == ONE}
    exprs = tuple(e.substitute(unit) for e in exprs)
    found: dict[int, Expr] = {}
    for k, e in enumerate(exprs):
        here = Expr.dim(k) if target[k] != ONE else ZERO
        if not e.dims or target[k] == ONE:
            continue
        form = e.linear()
        if form is not None and not form[1].terms:
            for j, weight in form[0].items():
                top = all(not (weight % other).terms for other in form[0].values())
                digit = here // weight
                found[j] = digit if top else digit % sizes[j]
            continue
        if len(e.terms) != 1 or len(e.dims) != 1:
            return None
        (j,), ((monomial, factor),) = e.dims, e.terms.items()
        weight = _digit_weight(monomial[0], j) if len(monomial) == 1 and factor == 1 else None
        if weight is None:
            return None
        found[j] = found.get(j, ZERO) + here * weight
    ranges = {j: (ZERO, s - ONE) for j, s in enumerate(sizes)}
    limits = {k: (ZERO, s - ONE) for k, s in enumerate(target)}
    out: list[Expr] = []
    for j in range(len(sizes)):
        guess = found.get(j, ZERO).simplify(limits)
        back = guess.substitute(dict(enumerate(exprs))).simplify(ranges)
        if without_mod(back) != (ZERO if j in unit else Expr.dim(j)):
            return None
        out.append(guess)
    return tuple(out)


def _digit_weight(atom: Atom, j: int) -> Expr | None:
    """The weight of a digit of index j: of `d floordiv c` it is c, of `d mod c` it is 1, and so on inwards."""
    if atom.kind == "dim" and atom.args[0] == j:
        return ONE
    if atom.kind not in ("floordiv", "mod") or len(atom.args[0].terms) != 1:
        return None
    ((monomial, factor),) = atom.args[0].terms.items()
    inner = _digit_weight(monomial[0], j) if factor == 1 and len(monomial) == 1 else None
    if inner is None or atom.kind == "mod":
        return inner
    return inner * atom.args[1]


def without_mod(e: Expr) -> Expr:
    """The expression with `x mod c` written as `x - c * (x floordiv c)`, which holds for every c but 0 (and a size of 0
    leaves no index). Two spellings of the same digits become equal."""

    def plain(atom: Atom) -> Expr:
        if atom.kind in ("symbol", "dim"):
            return Expr({(atom,): 1})
        args = [without_mod(a) for a in atom.args]
        if atom.kind == "mod":
            return args[0] - args[1] * (args[0] // args[1])
        return OPERATIONS[atom.kind](*args)

    if all(a.kind != "mod" for a in e.atoms()):
        return e
    return sum(
        (reduce(lambda p, a: p * plain(a), monomial, Expr.const(c)) for monomial, c in e.terms.items()), start=ZERO
    )


def positive(size: Expr) -> Expr:
    """An extent as the end of a loop, which may be cut in parts: not negative."""
    return size if size.nonnegative() else maximum(size, 0)


def flops(op: WithBody) -> Expr:
    """Floating-point operations of a compute or update: of its body, of each step of its reduction, of its finish."""

    def count(block: Block) -> int:
        return sum(
            1
            for o in block.ops
            if o.name.startswith(("arith.", "math.")) and o.name != "arith.constant" and is_float(o.results[0].type)
        )

    steps = count(op.body.block)
    if isinstance(op, Compute) and op.is_reduction and is_float(op.yielded.type):
        steps += 1
    total = product(map(positive, op.sizes)) * steps
    if isinstance(op, Compute) and op.finish.blocks:
        total = total + product(op.sizes[: op.rank]) * count(op.finish.block)
    return total
