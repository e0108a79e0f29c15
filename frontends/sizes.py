"""What a caller says about a module's symbolic sizes: their values, or the range they will be in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, IntAttr, ModuleOp

from ..dialects.loop import Program
from ..dialects.reference import inputs_of, main_of
from ..errors import InputError, IRError
from ..ir.evaluator import names_of
from ..ir.expr import Expr, maximum, minimum
from ..ir.types import Check, TensorType
from ..passes.fix_sizes import FixSizes

RANGES = "ircc.ranges"  # of a module: symbol -> least, typical, most


def ports_of(module: ModuleOp) -> list[tuple[str, str, str]]:
    """Inputs and outputs of a graph or tensor module: kind, name and type as `f32[N, 3]`."""
    main = main_of(module)
    if isinstance(main, Program):
        raise IRError("the module is at level loop already")
    args, results = main.body.block.arg_types, main.function_type.outputs.data
    names = [*names_of(main.arg_attrs, len(args), "input_"), *names_of(main.res_attrs, len(results), "output_")]
    kinds = ["input"] * len(args) + ["output"] * len(results)
    types = [
        f"{t.element_type}[{', '.join(map(str, t.sizes))}]" if isinstance(t, TensorType) else str(t)
        for t in (*args, *results)
    ]
    return list(zip(kinds, names, types, strict=True))


def fix_shapes(module: ModuleOp, shapes: Mapping[str, int | Sequence[int | str | None]]) -> None:
    """Fix sizes of a module of any level, in place: by input (`{"x": (1, 3, None, 224)}`) or by symbol (`{"N": 8}`).

    Raises InputError for names that are not there and sizes that contradict the module."""
    inputs = inputs_of(module)
    symbols = {s for type_ in inputs.values() for s in type_.symbols}
    values: dict[str, Expr] = {}
    claims: list[tuple[str, Expr, Expr]] = []  # where, the module's size, the given one
    for name, given in shapes.items():
        if isinstance(given, int) and name not in symbols and name in inputs:
            given = (given,)  # of an input with one dimension
        if isinstance(given, int):
            if name not in symbols:
                raise InputError(f"the module has no size '{name}'", hint=f"its sizes are {_listed(symbols)}")
            claims.append((f"size '{name}'", Expr.symbol(name), Expr.const(given)))
            continue
        if name not in inputs:
            raise InputError(f"the module has no input '{name}'", hint=f"its inputs are {_listed(inputs)}")
        sizes = inputs[name].sizes
        if len(sizes) != len(given):
            raise InputError(f"input '{name}' has {len(sizes)} dimensions; {len(given)} sizes are given")
        for i, (size, new) in enumerate(zip(sizes, given, strict=True)):
            if new is not None:
                wanted = Expr.symbol(new) if isinstance(new, str) else Expr.const(new)
                claims.append((f"dimension {i} of input '{name}'", size, wanted))
    for where, size, wanted in claims:
        if wanted.constant is not None and wanted.constant < 0:
            raise InputError(f"{where}: {wanted} is no size")
        if size.symbols and size == Expr.symbol(symbol := next(iter(size.symbols))):
            values.setdefault(symbol, wanted)
    for where, size, wanted in claims:
        if (found := size.substitute(symbols=values)) != wanted:
            raise InputError(f"{where} is {found}; {wanted} is given")
    FixSizes(tuple(f"{name}={value}" for name, value in values.items())).run(module)


def declare_ranges(module: ModuleOp, ranges: Mapping[str, tuple[int, int, int]]) -> None:
    """Note in the module that sizes are in ranges (least, typical, most), and let every run check it.

    Schedules may count on it. Raises InputError for a symbol that is not there and a range that is none."""
    symbols = {s for type_ in inputs_of(module).values() for s in type_.symbols}
    checks: list[Check] = []
    for name, (least, typical, most) in ranges.items():
        if name not in symbols:
            raise InputError(f"the model has no size '{name}'", hint=f"its sizes are {_listed(symbols)}")
        if not 0 <= least <= typical <= most:
            raise InputError(
                f"{least}:{typical}:{most} is no range for '{name}'", hint="least:typical:most, as in 1:8:64"
            )
        size = Expr.symbol(name)
        checks.append(Check.of(minimum(size, least) - least, f"{name} is below {least}, the least it was compiled for"))
        checks.append(Check.of(maximum(size, most) - most, f"{name} is above {most}, the most it was compiled for"))
    main = main_of(module)
    place = main.properties if isinstance(main, Program) else main.attributes
    name = "checks" if isinstance(main, Program) else "ircc.checks"
    old = place.get(name)
    place[name] = ArrayAttr([*(old if isinstance(old, ArrayAttr) else ()), *checks])
    module.attributes[RANGES] = DictionaryAttr({n: ArrayAttr(map(IntAttr, r)) for n, r in ranges.items()})


def ranges_of(module: ModuleOp) -> dict[str, list[int]]:
    """The ranges that were declared: least, typical and most by symbol."""
    found = module.attributes.get(RANGES)
    ranges = found.data if isinstance(found, DictionaryAttr) else {}
    return {
        name: [value.data for value in values if isinstance(value, IntAttr)]
        for name, values in ranges.items()
        if isinstance(values, ArrayAttr)
    }


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "all fixed"


def typical_of(module: ModuleOp) -> dict[str, int]:
    """The sizes for which a model was declared to run most often."""
    return {name: sizes[1] for name, sizes in ranges_of(module).items()}
