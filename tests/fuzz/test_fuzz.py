"""Random models: fresh ones each time, those that failed once, and what makes them."""

import hashlib
import json
import os
import random
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator
from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema

from ircc.testing.fuzz import evaluate, generate, judge, reduce
from ircc.testing.fuzz.draw import DTYPES
from ircc.testing.fuzz.evaluate import Tracks, Verdict, agree
from ircc.testing.fuzz.generate import NEWEST, OPSETS, name_of, schemas
from ircc.testing.fuzz.operators import DEAR, EXCLUDED, FLOATS, WITHIN, misread
from ircc.testing.fuzz.pack import judge_all, renamed
from ircc.testing.fuzz.peers import by_onnxruntime, finish, graphs, info, reads, run_node
from ircc.testing.fuzz.recipes import RECIPES
from ircc.testing.fuzz.shards import Child, Judges, has_failed, shards

CASES = sorted((Path(__file__).parent / "cases").glob("*.onnx"))
SHARDS, EACH = 64, 8
RANDOM = ["Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"]


@cache
def fuzz_seed() -> int:
    """What FUZZ_SEED says, else one of the sources: fresh for each change of them, and the same when nothing changed,
    so that what CI will draw can be tried before."""
    if given := os.environ.get("FUZZ_SEED"):
        return random.SystemRandom().randrange(1 << 32) if given == "new" else int(given)
    root = Path(__file__).parents[2]
    found = hashlib.sha256()
    for path in sorted(root.glob("*/**/*.py")):
        if path.relative_to(root).parts[0][0] != "." and path.relative_to(root).parts[0] != "build":
            found.update(path.read_bytes())
    return int(found.hexdigest()[:8], 16)


@pytest.fixture(scope="module")
def judges(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judges]:
    """A process that judges what it is given: started once, and again where a case ends it."""
    with Judges(1, (), tmp_path_factory.mktemp("fuzz")) as found:
        yield found


def is_contested(row: Mapping[str, Any]) -> bool:
    """Whether a mismatch is with one peer alone, or with two that differ from each other: it takes a person to say who
    is right. `make fuzz` counts it, and whoever changes something else is only told."""
    reason = row.get("small", row["reason"])
    return row["status"] == "mismatch" and ("nor the other" in reason or not reason.endswith("(both)"))


@pytest.mark.parametrize("shard", range(SHARDS))
def test_fresh_models(shard: int, judges: Judges) -> None:
    """Models that no run has seen. What fails is named by its number, from which `--case` makes it again."""
    first = (1 << 40) + fuzz_seed() * SHARDS * EACH + shard * EACH
    rows = list(judges.rows(range(first, first + EACH), 300.0, EACH))
    found = {row["case"]: f"{row['status']}: {row.get('small', row['reason'])}" for row in rows if has_failed(row)}
    contested = {row["case"]: found.pop(row["case"]) for row in rows if is_contested(row)}
    if contested:
        warnings.warn(f"ircc differs from one peer, or from two that differ: {contested}", stacklevel=1)
    assert not found, f"python -m ircc.testing.fuzz --case NUMBER writes them down: {found}"
    assert len(rows) == EACH and sum(row["status"] == "pass" for row in rows) > EACH / 2


def test_only_what_two_peers_agree_on_fails_those_who_change_something_else() -> None:
    row = {"case": 1, "status": "mismatch", "reason": "1 of 2 elements, at [0] 1 against 2 (both)"}
    assert not is_contested(row) and not is_contested(row | {"status": "refused"})
    assert is_contested(row | {"small": "Add: 1 of 2 elements, at [0] 1 against 2 (reference)"})
    assert is_contested(row | {"reason": "1 of 2 elements, at [0] 1 against 2, nor the other (both)"})
    assert not is_contested({"case": 1, "status": "crash", "reason": "the process ended with -11"})


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_what_failed_once(path: Path) -> None:
    model, inputs, description = reduce.read(path)
    verdict = judge(model, inputs)
    assert verdict.status == "pass", f"{description} is back: {verdict.status} {verdict.reason}"


# ---- what makes them


def test_a_seed_is_a_model() -> None:
    a, b = generate(12), generate(12)
    assert a.model == b.model and a.inputs.keys() == b.inputs.keys()
    assert all(np.array_equal(a.inputs[k], b.inputs[k], equal_nan=a.inputs[k].dtype.kind == "f") for k in a.inputs)
    assert generate(13).model != a.model


def test_every_table_names_operators_that_there_are() -> None:
    kinds = [(s.domain, s.name) for s in [*onnx.defs.get_all_schemas(), *get_all_operator_schema()]]
    known = {name for _, name in kinds}
    tables = DEAR, EXCLUDED, WITHIN, FLOATS, evaluate.EXACT, evaluate.JUMPS, evaluate.SUMS, evaluate.TRANSFORMS
    tables += (evaluate.LOGARITHMS,)
    for table in (*(names.split() for names in tables),):
        assert set(table) <= known, sorted(set(table) - known)
    assert set(RECIPES) <= {name_of(*kind) for kind in kinds}


def test_every_native_operator_of_onnx_is_drawn() -> None:
    """Each has a recipe, or is drawn by its schema, in some opset; WITHIN are what bodies are made of."""
    page = (Path(__file__).parents[2] / "docs" / "operators.md").read_text()
    native: set[str] = set()
    for domain in ("ai.onnx", "ai.onnx.ml"):
        table = page.split(f"## {domain}\n")[1].split("\n## ")[0]
        rows = [line.split("|")[1:5] for line in table.splitlines() if line.startswith("| ")][2:]
        names = {cells[0].split()[0] for cells in rows if not cells[3].strip().startswith(("Python", "–"))}
        native |= {name_of("" if domain == "ai.onnx" else domain, name) for name in names}
    drawn = {name for opset in {*OPSETS, NEWEST} for name in schemas(opset)} | set(WITHIN.split())
    assert len(native) > 200
    assert native - drawn == {*RANDOM, "SimplifiedLayerNormalization"}  # the last is not ONNX's, but ONNX Runtime's


def test_operators_without_recipe_are_drawn_by_their_schema() -> None:
    plain = [name for name in schemas(21) if name not in RECIPES]
    drawn = {name for case in range(400, 430) for name in generate(case, plain).operators}
    assert {"Add", "Sigmoid", "ReduceSum", "Transpose"} & drawn and len(drawn) > 25


def node(operator: str, inputs: list[str], **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operator, inputs, ["y"], **attributes)


def test_bounds_follow_the_operator() -> None:
    """A sum that cancels may be off by what its terms round; a copy may not be off at all."""
    x = np.array([[1e6, 1.0, -1e6], [1.0, 2.0, 3.0]], np.float32)
    tracks = Tracks()
    tracks.start({"x": x})
    tracks.step(helper.make_node("ReduceSum", ["x"], ["s"], keepdims=0, noop_with_empty_axes=0), 13)
    tracks.step(helper.make_node("ReduceL1", ["x"], ["t"], axes=[1], keepdims=0), 13)
    tracks.step(helper.make_node("Neg", ["x"], ["n"]), 13)
    assert tracks.bound("s") > 0.1
    wide, narrow = tracks.bound("t")
    assert wide > 1 and narrow < 1e-3
    assert not tracks.bound("n").any() and "n" in tracks.exact


def test_upsampling_rounds_where_it_interpolates() -> None:
    x = [np.ones((1, 1, 2, 2), np.float32)]
    assert evaluate.rounds(node("Upsample", ["x", "s"], mode="linear"), x, x)
    assert not evaluate.rounds(node("Upsample", ["x", "s"], mode="nearest"), x, x)


def test_each_element_is_what_one_of_the_peers_has() -> None:
    """One peer may be wrong about some elements, and the other about others."""
    tracks = Tracks()
    tracks.start({"y": np.array([1, 2, np.nan], np.float32)})
    tracks.second["y"] = np.array([1, 5, 3], np.float32)
    for right in ([1, 2, np.nan], [1, 5, 3], [1, 5, np.nan], [1, 2, 3]):
        assert tracks.differs("y", np.array(right, np.float32)) == ""
    for wrong in ([5, 2, np.nan], [1, 3, 3], [1, 5, 2]):
        assert "nor the other" in tracks.differs("y", np.array(wrong, np.float32))
    assert "shape" in tracks.differs("y", np.ones(2, np.float32))


def test_agreement() -> None:
    a = np.array([1.0, np.nan, np.inf, 3e38], np.float32)
    near = np.array([1.001, np.nan, np.inf, np.inf], np.float32)
    zero = np.zeros(4)
    assert agree(a, a, zero) == ""
    assert "2 of 4" in agree(a, near, zero)
    assert agree(a, near, np.array([0.01, 0, 0, 1e38])) == ""
    assert "shape" in agree(a, a[:2], zero)
    assert "type" in agree(a, a.astype(np.float64), zero)
    assert "1 of 1" in agree(np.array([1]), np.array([2]), np.zeros(1))
    assert "1 of 4" in agree(a, np.array([1.0, 0.0, np.inf, 3e38], np.float32), zero)


def test_a_failure_is_made_small(tmp_path: Path) -> None:
    """Of a chain that is wrong from some operator on, that operator is left, with its inputs, and can be read again."""
    case = next(c for c in map(generate, range(50, 200)) if len(c.operators) >= 4)
    wrong = case.model.graph.node[2].op_type

    def judged(model: onnx.ModelProto, inputs: Any) -> Verdict:
        found = any(n.op_type == wrong for n in model.graph.node)
        return Verdict("mismatch", "it is there") if found else Verdict("pass")

    model, inputs, verdict = reduce.reduced(case, judged(case.model, case.inputs), judged)
    assert [n.op_type for n in model.graph.node] == [wrong] and verdict.reason == "it is there"
    path = reduce.write(tmp_path, "one", model, inputs, "a description")
    again, arrays, text = reduce.read(path)
    assert text == "a description" and again.graph == model.graph
    assert all(arrays[k].dtype == v.dtype and arrays[k].shape == v.shape for k, v in inputs.items())


def test_a_wrong_result_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    case = next(c for c in map(generate, range(300)) if c.operators == ["Sigmoid"] or "Tanh" in c.operators)
    right = evaluate.by_ircc
    monkeypatch.setattr(
        evaluate, "by_ircc", lambda m, i: {k: np.full_like(v, 7) for k, v in right(m, i).items()}
    )  # fmt: skip
    assert judge(case.model, case.inputs, case.tracks).status in ("mismatch", "unsupported")


def test_the_reference_of_one_node() -> None:
    (found,) = run_node(node("Add", ["x", "x"]), {"x": np.ones(3, np.float32)}, 21)
    assert found.tolist() == [2, 2, 2] and found.dtype == DTYPES["float32"]


def test_the_command_goes_on_where_it_stopped(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "ircc.testing.fuzz", "--state", str(tmp_path), "--jobs", "1"]
    command += ["--only", "Add,Neg", "--seed", "3"]
    first = subprocess.run([*command, "--count", "3"], capture_output=True, text=True)
    assert first.returncode == 0 and "3 cases" in first.stdout, first.stdout + first.stderr
    (state,) = tmp_path.glob("*.jsonl")
    rows = [json.loads(line) for line in state.read_text().splitlines()]
    assert {row["case"] for row in rows} == {30_000_000, 30_000_001, 30_000_002}
    again = subprocess.run([*command, "--count", "3"], capture_output=True, text=True)
    assert again.returncode == 0 and "3 cases" in again.stdout
    assert state.read_text().splitlines() == [json.dumps(row) for row in rows]


def test_a_pack_that_hangs_costs_its_time_and_each_of_its_cases_is_tried_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Child, "overdue", lambda child, timeout: True)
    monkeypatch.setattr("ircc.testing.fuzz.shards.wait", lambda pipes, timeout: [])  # no answer is there in time
    rows = list(shards([1, 2], 1, 0.0, (), tmp_path, pack=2))
    assert sorted(row["case"] for row in rows) == [1, 2]
    assert {row["status"] for row in rows} == {"timeout"}


def test_a_process_that_ended_is_noticed_and_not_waited_for(tmp_path: Path) -> None:
    child = Child((), tmp_path)
    child.process.kill()
    child.process.join()
    child.give([1])
    with pytest.raises((EOFError, OSError)):
        child.answer()
    assert child.cases == [1]
    child.end()


def test_cases_together_and_alone_have_the_same_verdicts() -> None:
    cases = [generate(case) for case in range(3200, 3208)]
    assert [v.status for v in judge_all(cases)] == [v.status for case in cases for v in judge_all([case])]


def test_bodies_read_what_is_around_them() -> None:
    """The names that a body takes, and not its own; packed, all have the prefix."""
    case = next(
        c for c in map(generate, range(2000)) if "Loop" in c.operators and c.model.graph.node[0].op_type == "Loop"
    )
    loop = case.model.graph.node[0]
    taken = set(reads(loop)) - {*loop.input}
    (body,) = graphs(loop)
    own = {v.name for v in (*body.input, *body.initializer)} | {n for sub in body.node for n in sub.output}
    known = {v.name for v in (*case.model.graph.input, *case.model.graph.initializer)}
    assert not taken & own and taken <= known
    prefixed = renamed(case.model.graph, "p_")
    assert set(reads(prefixed.node[0])) == {f"p_{name}" for name in reads(loop)}


def test_sums_of_huge_terms_are_open() -> None:
    """Terms that overflow make inf or NaN, by the order in which they are added."""
    tracks = Tracks()
    tracks.start({"x": np.array([[3e38, 3e38, -3e38], [1, 2, 3]], np.float32), "y": np.ones((3, 1), np.float32)})
    tracks.step(helper.make_node("MatMul", ["x", "y"], ["z"]), 13)
    first, second = tracks.bound("z")[:, 0]
    assert np.isinf(first) and second < 1e-3


def test_outputs_of_bfloat16_come_from_onnxruntime() -> None:
    x = np.array([1.0, 2.5, -3.25], np.float32)
    cast = helper.make_node("Cast", ["x"], ["y"], to=onnx.TensorProto.BFLOAT16)
    (wanted,) = run_node(cast, {"x": x}, 21)
    found = by_onnxruntime(finish([cast], [info("x", x)], [], ["y"], {"y": wanted}, 21), {"x": x})
    assert found is not None and found["y"].dtype == wanted.dtype and (found["y"] == wanted).all()


def test_what_the_reference_has_wrong_comes_from_onnxruntime() -> None:
    """Before opset 13 Softmax is over all axes from its axis on."""
    (found,) = run_node(node("Softmax", ["x"], axis=1), {"x": np.zeros((1, 2, 4), np.float32)}, 11)
    assert np.allclose(found, 1 / 8)


@pytest.mark.parametrize(
    ("pads", "other", "right"),
    [([0, 1], {}, False), ([0, 0], {}, True), ([0, 1], {"strides": [2]}, True), ([1, 1, 1, 1], {}, True),
     ([0, 1, 1, 0], {}, True), ([1, 1, 0, 0], {}, False), ([0, 0, 1, 0, 0, 0], {}, False)],
)  # fmt: skip
def test_pads_that_the_reference_reads_otherwise_are_known(pads: list[int], other: dict[str, Any], right: bool) -> None:
    """By the reference itself, beside ONNX Runtime, so that a line about what is mended there is seen."""
    rank = len(pads) // 2
    x = np.random.default_rng(0).normal(size=(1, 2, *(3 + k for k in range(rank)))).astype(np.float32)
    pool = node("MaxPool", ["x"], kernel_shape=[2] * rank, pads=pads, **other)
    model = finish([pool], [info("x", x)], [], ["y"], {"y": x}, 21)
    peer = by_onnxruntime(model, {"x": x})
    assert peer is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            (found,) = ReferenceEvaluator(model).run(None, {"x": x})
        except (ValueError, IndexError):  # a window without elements, or without a place in the result
            found = np.zeros(0)
    assert np.array_equal(found, peer["y"]) == right
    assert bool(misread(pool, [x], 21)) == (not right)
