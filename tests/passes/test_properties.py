"""What every pass of the graph and tensor levels promises, on random programs: valid IR in, valid IR out that can be
read again; the same value; nothing to do the second time; if it reports no change, the same text and objects."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.dialects.builtin import ArrayAttr, FunctionType, ModuleOp
from xdsl.ir import Operation
from xdsl.parser import Parser

from ircc.dialects import context
from ircc.dialects.graph.data import Constant
from ircc.dialects.graph.unary import Identity
from ircc.dialects.reference import evaluate
from ircc.ir.check_each import difference, relative_bound
from ircc.ir.evaluator import main_function
from ircc.ir.pipeline import Pipeline
from ircc.ir.types import TensorType
from ircc.ir.verify import verify
from ircc.testing.graph_programs import random_graph, random_inputs
from ircc.testing.graph_recipes import RECIPES
from ircc.testing.tensor_programs import programs

Arrays = Mapping[str, "np.ndarray[Any, Any]"]

TENSOR_PASSES = (
    "canonicalize",
    "eliminate-common-subexpressions",
    "eliminate-dead-code",
    "eliminate-identities",
    "fold-constants",
    "fuse-elementwise",
    "fuse-epilogues",
    "propagate-layouts",
    "flush-subnormals",
    "winograd",
)
TENSOR_PIPELINE = (
    "canonicalize,fold-constants,fuse-elementwise,fuse-epilogues,propagate-layouts,fuse-elementwise,canonicalize"
)

# operators that the rules of a pass are about, so that chains of them are drawn
CHAINS = ("Abs", "Add", "Cast", "Div", "Mul", "Neg", "Not", "Relu", "Reshape", "Sub", "Transpose", "Floor", "Round")
IDENTITIES = ("Cast", "Concat", "Expand", "Identity", "Max", "Pad", "Reshape", "Slice", "Split", "Tile", "Transpose")
PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul", "BatchNormalization", "BatchNormalization")
GRAPH_PASSES: dict[str, tuple[str, ...]] = {
    "canonicalize": CHAINS,
    "eliminate-common-subexpressions": CHAINS,
    "eliminate-dead-code": CHAINS,
    "eliminate-identities": IDENTITIES,
    "fold-constants": tuple(RECIPES),
    "fold-batch-norm": PRODUCTS,
}

# in CI 2,800 programs of the tensor level and 2,100 of the graph level
SHARE = settings().max_examples
few = settings(max_examples=SHARE // 2)


def same_bits(before: Arrays, after: Arrays) -> str | None:
    """What differs between outputs, bit for bit; a NaN is a NaN."""
    for (name, x), (other, y) in zip(before.items(), after.items(), strict=True):
        if name != other or x.dtype != y.dtype or x.shape != y.shape:
            return f"{name}: {x.dtype}{x.shape} became {other}: {y.dtype}{y.shape}"
        same = x == y
        if x.dtype.kind == "f":
            same = (same & (np.signbit(x) == np.signbit(y))) | (np.isnan(x) & np.isnan(y))
        if not np.all(same):
            return f"{name}: {x} became {y}"
    return None


def objects(module: ModuleOp) -> list[Operation]:
    return list(module.walk())


def keeps_its_promises(text: str, module: ModuleOp, inputs: Arrays, exact: bool = False, one: bool = True) -> None:
    """Assert all that is said above about the pipeline `text` on this module; `one`: it is one pass, and idempotent.
    Reading text again is slow, and asserted of longer pipelines only."""
    with np.errstate(all="ignore"):
        expected = evaluate(module, inputs)
        bound = relative_bound(module)
        pipeline = Pipeline.parse(text)
        before, there = str(module), objects(module)
        changed = [p.run(module) for p in pipeline]
        verify(module)
        printed = str(module)
        if not one:
            assert str(Parser(context(), printed).parse_module()) == printed
        if not any(changed):
            assert printed == before
            assert all(a is b for a, b in zip(objects(module), there, strict=True))
        found = evaluate(module, inputs)
        fault = same_bits(expected, found) if exact else difference(expected, found, bound)
        assert fault is None, f"{fault}\n{before}\n{printed}"
    if one:
        there = objects(module)
        again = [p.run(module) for p in pipeline]
        assert not any(again), f"changed again:\n{printed}\n{module!s}"
        assert str(module) == printed
        assert all(a is b for a, b in zip(objects(module), there, strict=True))


# ---- the tensor level


@pytest.mark.parametrize("name", TENSOR_PASSES)
@few
@given(module=programs(), seed=st.integers(0, 2**32))
def test_tensor_pass(name: str, module: ModuleOp, seed: int) -> None:
    keeps_its_promises(name, module, random_inputs(module, random.Random(seed)))


@pytest.mark.parametrize("name", TENSOR_PASSES)
@few
@given(module=programs(exact=True), seed=st.integers(0, 2**32))
def test_tensor_pass_keeps_the_bits(name: str, module: ModuleOp, seed: int) -> None:
    keeps_its_promises(name, module, random_inputs(module, random.Random(seed), special=True), exact=True)


@few
@given(module=programs(length=(4, 12)), seed=st.integers(0, 2**32))
def test_tensor_passes_in_a_row(module: ModuleOp, seed: int) -> None:
    inputs = random_inputs(module, random.Random(seed))
    keeps_its_promises(TENSOR_PIPELINE, module, inputs, one=False)


# ---- the graph level


def frozen(module: ModuleOp, rng: random.Random) -> ModuleOp:
    """The module with most of its inputs of constant sizes made constants."""
    main = main_function(module)
    inputs = random_inputs(module, rng, vary=False)
    block = main.body.block
    attributes = list(main.arg_attrs or ())
    for (_, array), arg in zip(reversed(inputs.items()), reversed(block.args), strict=True):
        assert isinstance(arg.type, TensorType)
        if arg.type.static_shape is None or rng.random() < 0.3:
            continue
        constant = Constant.of(array)
        assert block.first_op is not None
        block.insert_op_before(constant, block.first_op)
        arg.replace_all_uses_with(constant.result)
        del attributes[arg.index]
        block.erase_arg(arg)
    main.properties["arg_attrs"] = ArrayAttr(attributes)
    main.properties["function_type"] = FunctionType.from_lists(
        [a.type for a in block.args], list(main.function_type.outputs.data)
    )
    return module


def graph_of(rng: random.Random, names: tuple[str, ...]) -> ModuleOp:
    recipes = {n: RECIPES[n] for n in names if n in RECIPES}
    module = random_graph(rng, recipes=recipes, length=(2, 8), symbolic=rng.random() < 0.5)
    block = main_function(module).body.block
    if block.args and rng.random() < 0.5:  # twice the same, which nobody reads: the draws themselves have little of it
        assert block.last_op is not None
        value = rng.choice(block.args)
        block.insert_ops_before([Identity.make(value), Identity.make(value)], block.last_op)
    return frozen(module, rng)


@pytest.mark.parametrize("name", GRAPH_PASSES)
@few
@given(rng=st.randoms(use_true_random=False))
def test_graph_pass(name: str, rng: random.Random) -> None:
    module = graph_of(rng, GRAPH_PASSES[name])
    keeps_its_promises(name, module, random_inputs(module, rng, vary=False))


def test_random_graphs_reach_every_rule() -> None:
    """The draws above are about something: each pass changes a good part of them."""
    for name, recipes in GRAPH_PASSES.items():
        pipeline = Pipeline.parse(name)
        changed = sum(pipeline.passes[0].run(graph_of(random.Random(seed), recipes)) for seed in range(80))
        assert changed >= 3, f"{name} changed {changed} of 80"
