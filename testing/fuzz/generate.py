"""A random model that is legal by construction, from a seed: operators by their schemas, node after node.

Each is run by the reference when it is drawn, so that the shapes and values of what is there are known."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import onnx
from onnx import ModelProto, NodeProto, helper, numpy_helper

from . import recipes_control, recipes_microsoft, recipes_ml, recipes_nets
from .draw import DTYPES, Array, Draw, Misfit, Unjudged, Variable, allowed, is_float
from .evaluate import JUMPS, Tracks
from .operators import DEAR, EXCLUDED, SMOOTH, WITHIN, attribute, integers, open_question
from .peers import MICROSOFT, ML, finish, graphs, reads, version
from .recipes import RECIPES

OPSETS = (9, 11, 13, 13, 15, 17, 17, 18, 19, 20, 21, 21, 22, 23, 24, 25)
NEWEST = onnx.defs.onnx_opset_version()
MOST_NODES, TRIES = 12, 40
TOGETHER = 16  # cases in a row have one opset, so that they can be compiled as one
HUGE = 6000  # elements of a result


assert recipes_control and recipes_ml and recipes_nets  # their recipes are entered by their import


@dataclass
class Case:
    """A model, inputs for it, and what the reference makes of them."""

    seed: int
    model: ModelProto
    inputs: dict[str, Array]
    tracks: Tracks = field(default_factory=Tracks)
    dropped: list[str] = field(default_factory=list[str])  # draws that no peer can judge: operator, and why

    @property
    def operators(self) -> list[str]:
        return operators(self.model.graph.node)


def operators(nodes: Sequence[NodeProto]) -> list[str]:
    """The operators of nodes, and of those in their bodies, with their domains."""
    found: list[str] = []
    for node in nodes:
        found += [name_of(node.domain, node.op_type), *(n for g in graphs(node) for n in operators(g.node))]
    return found


@cache
def schemas(opset: int) -> Mapping[str, Any]:
    """The schemas of operators at an opset by their names with domains, but for those that are not drawn."""
    found: dict[str, Any] = {}
    names = {(s.domain, s.name) for s in onnx.defs.get_all_schemas() if s.domain in ("", ML)}
    left_out = {*EXCLUDED.split(), *WITHIN.split()}
    for domain, name in sorted(names):
        try:
            schema = onnx.defs.get_schema(name, version(domain, opset), domain)
        except onnx.defs.SchemaError:
            continue
        if not schema.deprecated and name not in left_out:
            found[name_of(domain, name)] = schema
    return found | recipes_microsoft.foreign()


def name_of(domain: str, operator: str) -> str:
    return f"{domain}.{operator}".lstrip(".")


def generate(seed: int, only: Sequence[str] = ()) -> Case:
    """The case of a seed: always the same. `only`: names of operators to draw from."""
    rng = random.Random(seed)
    opset = random.Random(seed // TOGETHER).choice((*OPSETS, NEWEST, NEWEST))
    d = Draw(rng, zero=rng.random() < 0.15, special=rng.random() < 0.15)
    known = {k: s for k, s in schemas(opset).items() if not only or k in only}
    depth = rng.choice((*6 * [1], *4 * [2], *3 * [3], 4, 6, MOST_NODES))
    nodes: list[NodeProto] = []
    tracks = Tracks()
    dropped: list[str] = []
    used: dict[str, Variable] = {}
    for _ in range(TRIES):
        if len(nodes) >= depth or not known:
            break
        schema = known[rng.choice(list(known))]
        if schema.name in DEAR.split() and not only and d.flip(0.8):
            continue
        for _ in range(4):
            try:
                node, operands = draw_node(d, schema, opset)
                add(d, schema, node, operands, tracks, opset)
            except Unjudged as why:
                dropped.append(f"{schema.name}: {why}")
                continue
            except Misfit:
                continue
            nodes.append(node)
            used.update({v.name: v for v in operands if v is not None and not v.name.startswith("v")})
            break
    return Case(seed, model_of(d, nodes, used, tracks, opset), {
        k: v.array for k, v in used.items() if not v.constant
    }, tracks, dropped)  # fmt: skip


def add(d: Draw, schema: Any, node: NodeProto, operands: Sequence[Variable | None], tracks: Tracks, opset: int) -> None:
    """Run the node by the reference and name its results. Raises Misfit when it will not run."""
    tracks.start({v.name: v.array for v in operands if v is not None and v.name not in tracks.values})
    try:
        names = tracks.step(node, opset)
    except Exception as error:  # of many types: the draw was not legal
        raise Misfit(str(error)) from None
    found = [tracks.values[name] for name in names]
    same = {i.type_str: v.array.dtype for i, v in zip(schema.inputs, operands, strict=False) if v is not None}
    if any(same.get(o.type_str, f.dtype) != f.dtype for o, f in zip(schema.outputs, found, strict=False)):
        raise Misfit("the reference gives another type")
    if any(f.dtype not in DTYPES.values() or f.size > HUGE or f.ndim > 6 for f in found):
        raise Misfit("a result that is not drawn on")
    known = {v.name for v in d.variables}
    d.variables += [v for v in operands if v is not None and v.name not in known]
    if not tracks.second.keys() & set(names):  # what has two answers is compared with both, and not drawn on
        d.variables += [Variable(n, f, n in tracks.exact) for n, f in zip(names, found, strict=True)]


# ---- nodes


def draw_node(d: Draw, schema: Any, opset: int) -> tuple[NodeProto, Sequence[Variable | None]]:
    """A node of this operator on values that are there or new."""
    first = allowed(types_of(schema, schema.inputs[0])) if schema.inputs else []
    recipe = RECIPES.get(name_of(schema.domain, schema.name))
    operands, attributes = recipe(d, first, opset) if recipe else generic(d, schema)
    operands = list(operands)
    while operands and operands[-1] is None:
        operands.pop()
    count, captures = attributes.pop("outputs", 0), attributes.pop("captures", [])
    if schema.domain != MICROSOFT:  # a recipe may give attributes that an older opset had not
        attributes = {k: v for k, v in attributes.items() if k in schema.attributes}
    rank = operands[0].array.ndim if operands and operands[0] is not None else 0
    if rank == 0 and recipe is None and ({"axis", "axes"} & {*schema.attributes, *(i.name for i in schema.inputs)}):
        raise Misfit("no axis of a scalar")
    if why := open_question(schema.name, operands, opset, attributes):
        raise Unjudged(why)
    for name, a in schema.attributes.items():
        if name in attributes or (recipe and not d.flip(0.3) and not a.required):
            continue
        if recipe and not a.required:
            continue
        if a.required or d.flip(0.6):
            value = attribute(d, schema.name, name, a.type.name, rank)
            if value is not None:
                attributes[name] = value
            elif a.required:
                raise Misfit(f"attribute {name} is not known")
    if jumps(schema) and not all(v is None or v.exact or not is_float(v.array.dtype) for v in operands):
        raise Misfit("it jumps")
    optional = schema.max_output - schema.min_output
    if not count:
        count = schema.min_output + (d.rng.randint(0, optional) if 0 < optional < 5 else 0)
        count = max(count, 1)
    wide = operands and operands[0] is not None and operands[0].array.dtype == DTYPES["float64"]
    # the mean of doubles is a float by ONNX's text, and a double for both peers
    if schema.name in ("BatchNormalization", "Dropout") or (schema.name == "LayerNormalization" and wide):
        count = 1
    outputs = [d.named("v") for _ in range(count)]
    inputs = [v.name if v is not None else "" for v in operands]
    return helper.make_node(schema.name, inputs, outputs, domain=schema.domain, **attributes), [*operands, *captures]


def types_of(schema: Any, formal: Any) -> Sequence[str]:
    """The types that a formal parameter takes."""
    for constraint in schema.type_constraints:
        if constraint.type_param_str == formal.type_str:
            return constraint.allowed_type_strs
    return [formal.type_str]


def jumps(schema: Any) -> bool:
    """True when a result may change altogether where an input changes by rounding."""
    if schema.name in JUMPS.split() or schema.name in SMOOTH.split():
        return schema.name not in SMOOTH.split()
    outputs = [t for o in schema.outputs for t in allowed(types_of(schema, o))]
    inputs = {i.type_str for i in schema.inputs}
    return any(o.type_str not in inputs for o in schema.outputs) and not all(is_float(t) for t in outputs)


def generic(d: Draw, schema: Any) -> tuple[Sequence[Variable | None], dict[str, Any]]:
    """Operands by the schema alone: of one type where it says so, of shapes that broadcast."""
    bound: dict[str, Any] = {}
    found: list[Variable | None] = []
    exact = jumps(schema)
    for formal in schema.inputs:
        kind = formal.option.name
        if kind == "Optional" and d.flip():
            found.append(None)
            continue
        types = [bound[formal.type_str]] if formal.type_str in bound else allowed(types_of(schema, formal))
        for _ in range(d.rng.randint(max(formal.min_arity, 1), 4) if kind == "Variadic" else 1):
            first = next((v for v in found if v is not None), None)
            if first is None:
                made = d.value(types, exact=exact)
            elif types == [DTYPES["int64"]] and formal.type_str not in bound:
                made = integers(d, formal.name, first)
            else:
                made = d.partner(first.array.shape, types, exact)
            if formal.is_homogeneous:
                bound[formal.type_str] = made.array.dtype
                types = [made.array.dtype]
            found.append(made)
    return found, {}


# ---- the model


def model_of(
    d: Draw, nodes: Sequence[NodeProto], used: Mapping[str, Variable], tracks: Tracks, opset: int
) -> ModelProto:
    """The model; sizes of its inputs are numbers, or symbols that equal sizes may share."""
    symbolic = d.rng.choice((0.0, 0.0, 0.5, 1.0))
    inputs = [
        helper.make_tensor_value_info(
            v.name, helper.np_dtype_to_tensor_dtype(v.array.dtype),
            [symbol(d, s) if not v.rigid and d.flip(symbolic) else s for s in v.array.shape],
        )
        for v in used.values() if not v.constant
    ]  # fmt: skip
    constants = [numpy_helper.from_array(v.array, v.name) for v in used.values() if v.constant]
    read = {name for node in nodes for name in reads(node)}
    names = [n for node in nodes for n in node.output if n not in read or d.flip(0.1)]
    return finish(nodes, inputs, constants, names, tracks.values, opset)


def symbol(d: Draw, size: int) -> str:
    return f"s{size}" if d.flip(0.6) else d.named("n")
