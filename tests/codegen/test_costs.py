"""Where kernels run by what they and copies take: the least there is, by the model, which counts what happens."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.dialects.builtin import ModuleOp, StringAttr

import ircc
from ircc.codegen.costs import NEVER, THERE, Costs, Value, Work, copies_of, costs_of
from ircc.codegen.placement import Place
from ircc.codegen.simt.backend import SimtBackend
from ircc.dialects.loop import ON, WHY, Kernel
from ircc.dialects.loop.evaluate import evaluate_program
from ircc.ir.check_each import difference
from ircc.ir.pipeline import Pipeline
from ircc.ir.target import PRESETS
from ircc.passes.insert_transfers import InsertTransfers
from ircc.testing.control_programs import with_control
from ircc.testing.graph_programs import random_graph, random_inputs

SEEDS = given(seed=st.integers(0, 2**32))
few = settings(max_examples=max(4, settings().max_examples // 5))
GPU = replace(PRESETS["x86-64"], name="gpu", group=32, link=10)


def drawn(rng: random.Random) -> Costs:
    """Kernels and what they read of each other."""
    names = [f"k{i}" for i in range(rng.randint(1, 7))]
    works = {name: Work(rng.randint(0, 20), rng.randint(0, 20)) for name in names}
    values = [Value(rng.randint(0, 15), THERE, set(rng.sample(names, rng.randint(0, len(names)))))]
    for name in names:
        readers = set(rng.sample([*names, THERE], rng.randint(0, len(names))))
        values.append(Value(rng.randint(0, 15), name, readers))
    return Costs(works, values)


def subsets(names: list[str]) -> Iterator[frozenset[str]]:
    """From the smallest on."""
    return (frozenset(some) for n in range(len(names) + 1) for some in combinations(names, n))


@SEEDS
def test_there_is_nothing_cheaper(seed: int) -> None:
    """Of all places; and of those that take as much none with fewer on the host."""
    rng = random.Random(seed)
    costs = drawn(rng)
    names = sorted(costs.works)
    pinned = {name: rng.random() < 0.6 for name in names if rng.random() < 0.3}
    allowed = [host for host in subsets(names) if all((name in host) == there for name, there in pinned.items())]
    assert costs.best(pinned) == min(allowed, key=lambda host: (costs.total(host), len(host)))


def lowered(rng: random.Random, control: int = 0) -> tuple[ModuleOp, dict[str, Any]]:
    """A program on loops, for a device with figures, and inputs."""
    module = random_graph(rng, length=(2, 7), symbolic=rng.random() < 0.5, elements=("float32", "int64", "bool"))
    module = with_control(module, rng, control) if control else module
    inputs = random_inputs(module, rng, vary=False)
    Pipeline.parse("graph-to-tensor,tensor-to-loop").run(module)
    replace(GPU, gflops=rng.choice((1, 100)), launch_latency=rng.choice((0, 5000)), link_latency=100).attach(module)
    return module, inputs


def kernels_of(module: ModuleOp) -> dict[str, Kernel]:
    return {op.sym_name.data: op for op in module.body.ops if isinstance(op, Kernel)}


@few
@SEEDS
def test_the_model_counts_the_copies_that_are_inserted(seed: int) -> None:
    rng = random.Random(seed)
    module, _ = lowered(rng)
    costs, kernels = costs_of(module, {}), kernels_of(module)
    host = frozenset(name for name in kernels if rng.random() < 0.5)
    for name, kernel in kernels.items():
        kernel.attributes[ON] = StringAttr("host" if name in host else "gpu")
    InsertTransfers().run(module)
    works = sum(work.host if name in host else work.device for name, work in costs.works.items())
    assert costs.total(host) - works == sum(time for _, _, time in copies_of(module, {}))


class Some(SimtBackend):
    """Refuses some kernels."""

    name = "gpu"

    def __init__(self, refused: set[str]) -> None:
        self.refused = refused

    def supports(self, kernel: Kernel) -> str | None:
        return "it is refused" if kernel.sym_name.data in self.refused else None


@few
@SEEDS
def test_values_are_kept_and_nothing_takes_longer(seed: int) -> None:
    """Branches and loops included. Longer than where every kernel is on the device that may be."""
    rng = random.Random(seed)
    module, inputs = lowered(rng, rng.randint(0, 2))
    with np.errstate(all="ignore"):
        expected = evaluate_program(module, inputs)
        refused = {name for name in kernels_of(module) if rng.random() < 0.4}
        costs, plain = costs_of(module, {}), module.clone()
        Place(Some(refused)).begin(module)
        host = frozenset(name for name, kernel in kernels_of(module).items() if kernel.on_host)
        assert refused <= host and costs.total(host) <= costs.total(frozenset(refused))
        assert refused or not host
        InsertTransfers().run(module)
        fault = difference(expected, evaluate_program(module, inputs), 0.0)
    assert fault is None, f"{fault}\n{module}"
    replace(GPU, link=0).attach(plain)  # nothing is known
    Place(Some(refused)).begin(plain)
    assert {name for name, kernel in kernels_of(plain).items() if kernel.on_host} == refused


MODEL = """
<ir_version: 9, opset_import: ["": 20]>
net (double[SIZE] x) => (double[SIZE] y) {
    a = Exp(x)
    b = Cast<to = 1>(a)
    c = Softmax<axis = 0>(b)
    d = Cast<to = 11>(c)
    y = Exp(d)
}
"""


def placed(size: int, **figures: int) -> dict[str, tuple[str, str]]:
    """Where the kernels of a chain run that begins and ends in doubles, which the device lacks; and why."""
    model = onnx.parser.parse_model(MODEL.replace("SIZE", str(size)))
    module = ircc.lower(model, "tensor-ir")
    Pipeline.parse("tensor-to-loop").run(module)
    replace(SimtBackend().describe("simt:hip:fp32"), **figures).attach(module)
    Place(SimtBackend()).begin(module)
    return {name: (k.on, str(k.attributes.get(WHY, ""))) for name, k in kernels_of(module).items()}


def test_a_small_island_stays_on_the_host_and_a_large_one_does_not() -> None:
    """The softmax's maximum and sum are in f32."""
    small, large = placed(100), placed(100_000_000, host_bandwidth=2)
    assert {on for on, _ in small.values()} == {"host"}
    assert any("by cost: on the device the run would take" in why for _, why in small.values())
    assert {on for on, _ in large.values()} == {"host", "simt"}
    assert all("the target lacks" in why for on, why in large.values() if on == "host")
    assert {on for on, _ in placed(100, link=0).values()} == {"host", "simt"}  # nothing is known of copies


def test_what_is_written_by_hand_stays() -> None:
    model = onnx.parser.parse_model(MODEL.replace("SIZE", "100"))
    module = ircc.lower(model, "tensor-ir")
    Pipeline.parse("tensor-to-loop").run(module)
    SimtBackend().describe("simt:hip:fp32").attach(module)
    plain = module.clone()
    Place(SimtBackend()).begin(plain)
    (name, *_) = [n for n, k in kernels_of(plain).items() if "by cost" in str(k.attributes.get(WHY, ""))]
    kernels_of(module)[name].attributes[ON] = StringAttr("simt")
    Place(SimtBackend()).begin(module)
    assert kernels_of(module)[name].on == "simt"


@pytest.mark.parametrize("where", [True, False])
def test_pinned_kernels(where: bool) -> None:
    costs = Costs({"a": Work(1, 9), "b": Work(9, 1)}, [Value(100, "a", {"b"})])
    assert costs.best({"a": where}) == ({"a", "b"} if where else set())
    assert costs.best({"a": where, "b": not where}) == ({"a"} if where else {"b"})
    assert costs.total(frozenset("a")) == 9 + 9 + 100 < NEVER


def test_the_figures_stand_in_the_text() -> None:
    module: Any = ModuleOp([])
    replace(GPU, gflops=7).attach(module)
    assert "gflops = 7" in str(module) and "host_gflops" not in str(module)
