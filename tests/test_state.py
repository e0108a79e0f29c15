"""State: an output in the memory of an input is updated there, with the results of a run that has memory of its own."""

from __future__ import annotations

import ctypes
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx.parser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, numpy_helper

import ircc
from ircc.compiler import lower
from ircc.errors import InputError
from ircc.runtime.device import COPY, DeviceTable
from ircc.testing.control_programs import with_control

RNG = np.random.default_rng(0)


def model(signature: str, body: str, opset: int = 24, **constants: Any) -> ModelProto:
    made = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : {opset}]> main {signature} {{ {body} }}')
    made.graph.initializer.extend(numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items())
    return made


def floats(*shape: Any) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def updated(engine: ircc.Engine, feeds: dict[str, np.ndarray], states: dict[str, str], copied: Sequence[str]) -> None:
    """Three calls that update the inputs `states` (by output) are three runs that are given the state before."""
    feeds = {name: array.copy() for name, array in feeds.items()}
    bound = engine.bind(feeds, {out: feeds[name] for out, name in states.items()})
    assert bound.copied == tuple(copied)
    before = {name: array.copy() for name, array in feeds.items()}
    for _ in range(3):
        expected = engine.run(before)
        bound()
        for name, wanted in expected.items():
            assert np.array_equal(bound.outputs[name], wanted, equal_nan=True), name
        for out, name in states.items():
            assert bound.outputs[out] is feeds[name]
            before[name] = expected[out]


# ---- caches

CACHE = np.zeros((2, 3, 8, 4), np.float32)
SCATTERS: dict[str, tuple[ModelProto, dict[str, np.ndarray]]] = {
    "TensorScatter": (
        model(
            "(float[B, 3, 8, 4] past, float[B, 3, T, 4] x, int64[B] at) => (float[B, 3, 8, 4] present)",
            "present = TensorScatter(past, x, at)",
        ),
        {"past": CACHE, "x": floats(2, 3, 2, 4), "at": np.array([1, 5])},
    ),
    "circular": (
        model(
            "(float[2, 8, 4] past, float[2, 3, 4] x, int64[2] at) => (float[2, 8, 4] present)",
            'present = TensorScatter <axis = 1, mode = "circular"> (past, x, at)',
        ),
        {"past": CACHE[0, :2], "x": floats(2, 3, 4), "at": np.array([6, 0])},
    ),
    "ScatterND": (
        model(
            "(float[8, 4] past, int64[K, 1] at, float[K, 4] x) => (float[8, 4] present)",
            "present = ScatterND(past, at, x)",
        ),
        {"past": floats(8, 4), "at": np.array([[2], [7]]), "x": floats(2, 4)},
    ),
    "ScatterND that adds": (
        model(
            "(float[8, 4] past, int64[K, 1] at, float[K, 4] x) => (float[8, 4] present)",
            'present = ScatterND <reduction = "add"> (past, at, x)',
        ),
        {"past": floats(8, 4), "at": np.array([[2], [2]]), "x": floats(2, 4)},
    ),
    "ScatterElements": (
        model(
            "(float[8, 4] past, int64[2, 4] at, float[2, 4] x) => (float[8, 4] present)",
            "present = ScatterElements(past, at, x)",
        ),
        {"past": floats(8, 4), "at": RNG.integers(0, 8, (2, 4)), "x": floats(2, 4)},
    ),
    "Where": (
        model(
            "(float[8, 4] past, bool[8, 1] at, float[1, 4] x) => (float[8, 4] present)",
            "present = Where(at, x, past)",
        ),
        {"past": floats(8, 4), "at": np.arange(8).reshape(8, 1) == 3, "x": floats(1, 4)},
    ),
    "attention": (
        model(
            "(float[1, 3, 8, 4] past, float[1, 3, 1, 4] x, int64[1] at, float[1, 3, 1, 4] q)"
            " => (float[1, 3, 1, 4] y, float[1, 3, 8, 4] present)",
            """present = TensorScatter(past, x, at)  t = Transpose <perm = [0, 1, 3, 2]> (present)
               s = MatMul(q, t)  p = Softmax(s)  y = MatMul(p, present)""",
        ),
        {"past": floats(1, 3, 8, 4), "x": floats(1, 3, 1, 4), "at": np.array([4]), "q": floats(1, 3, 1, 4)},
    ),
}


@pytest.mark.parametrize("name", SCATTERS)
def test_a_cache_is_updated_without_a_copy(name: str) -> None:
    made, feeds = SCATTERS[name]
    updated(ircc.compile(made, threads=2), feeds, {"present": "past"}, copied=[])


@pytest.mark.parametrize("name", ["TensorScatter", "ScatterND", "ScatterElements"])
def test_a_cache_that_is_updated_is_not_copied_to_itself(name: str) -> None:
    """The device is asked for the copy of all of the cache only where the output has memory of its own."""
    made, feeds = SCATTERS[name]
    engine = ircc.compile(made, threads=1)
    copied: list[int] = []

    def copy(_context: int | None, to: int, source: int, size: int) -> int:
        copied.append(size)
        engine.device.copy(to, source, size)
        return 0

    callback = COPY(copy)
    table = DeviceTable.from_buffer_copy(engine.device.table)
    table.copy = ctypes.cast(callback, ctypes.c_void_p)
    past = feeds["past"].copy()
    for outputs, sizes in (({"present": past}, []), (None, [past.nbytes])):
        engine.bind({**feeds, "past": past}, outputs).run(table)
        assert copied == sizes


def test_a_window_that_slides_is_copied() -> None:
    made = model(
        "(float[8, 4] past, float[2, 4] x) => (float[8, 4] present)",
        "both = Concat <axis = 0> (past, x)  present = Slice(both, first, last, axes)",
        first=[2],
        last=[10],
        axes=[0],
    )
    updated(ircc.compile(made, threads=2), {"past": floats(8, 4), "x": floats(2, 4)}, {"present": "past"}, ["past"])


def test_an_input_that_is_read_later_is_copied() -> None:
    made = model(
        "(float[8, 4] past, float[8, 4] x) => (float[8, 4] present, float[4, 4] y)",
        "present = Add(past, x)  t = Transpose(present)  y = MatMul(t, past)",
    )
    updated(ircc.compile(made, threads=2), {"past": floats(8, 4), "x": floats(8, 4)}, {"present": "past"}, ["past"])


# ---- recurrent states


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_states_of_recurrent_operators(kind: str, direction: str) -> None:
    gates, ways = {"LSTM": 4, "GRU": 3, "RNN": 1}[kind], 2 if direction == "bidirectional" else 1
    states = {"h1": "h0", "c1": "c0"} if kind == "LSTM" else {"h1": "h0"}
    given = ", ".join(f"float[{ways}, 2, 3] {name}" for name in states.values())
    taken = ", ".join(f"float[{ways}, 2, 3] {name}" for name in states)
    made = model(
        f"(float[T, 2, 5] x, {given}) => (float[T, {ways}, 2, 3] y, {taken})",
        f'y, {", ".join(states)} = {kind} <hidden_size = 3, direction = "{direction}"> '
        f'(x, W, R, B, "", {", ".join(states.values())})'.replace('""', ""),
        W=floats(ways, gates * 3, 5), R=floats(ways, gates * 3, 3), B=floats(ways, gates * 6),
    )  # fmt: skip
    feeds = {"x": floats(4, 2, 5), **{name: floats(ways, 2, 3) for name in states.values()}}
    updated(ircc.compile(made, threads=2), feeds, states, copied=[])


LOOP = """
    <ir_version: 10, opset_import: ["" : 21]>
    main (float[4] s, float[4] x, int64 n) => (float[4] t) {
      c = Constant <value = bool {1}> ()
      t = Loop(n, c, s) <body = b (int64 i, bool go, float[4] u) => (bool on, float[4] v) {
        on = Identity(go)  r = Add(u, %s)  v = Tanh(r)
      }>
    }
"""


@pytest.mark.parametrize(("captured", "copied"), [("x", []), ("s", ["s"])])
def test_the_state_of_a_loop(captured: str, copied: list[str]) -> None:
    """An iteration may read the state's first value, when the output holds a later one."""
    made = onnx.parser.parse_model(LOOP % captured)
    feeds = {"s": floats(4), "x": floats(4), "n": np.array(3)}
    updated(ircc.compile(made, threads=1), feeds, {"t": "s"}, copied)


def test_an_output_that_held_something_else_before() -> None:
    """The loop's state begins as x, in the memory of the output; each iteration starts from s again."""
    body = (
        "at = Constant <value_ints = [2]> ()  one = Constant <value_floats = [1.0]> ()  v = ScatterElements(s, at, one)"
    )
    made = onnx.parser.parse_model((LOOP % "x").replace("r = Add(u, x)  v = Tanh(r)", body).replace("c, s)", "c, x)"))
    feeds = {"s": floats(4), "x": floats(4), "n": np.array(3)}
    updated(ircc.compile(made, threads=1), feeds, {"t": "s"}, copied=["s"])


IF = """
    <ir_version: 10, opset_import: ["" : 21]>
    main (float[4] s, float[4] x, bool c) => (float[4] t) {
      t = If(c) <then_branch = a () => (float[4] u) { u = Add(s, x) },
                 else_branch = b () => (float[4] v) { v = Mul(s, s) }>
    }
"""


@pytest.mark.parametrize("taken", [True, False])
def test_the_state_of_a_branch(taken: bool) -> None:
    feeds = {"s": floats(4), "x": floats(4), "c": np.array(taken)}
    updated(ircc.compile(onnx.parser.parse_model(IF), threads=1), feeds, {"t": "s"}, copied=[])


# ---- any program

STEPS: dict[str, Callable[[random.Random, str, str, str], str]] = {
    "sum": lambda r, x, y, z: f"{z} = {r.choice(('Add', 'Sub', 'Mul', 'Max'))}({x}, {y})",
    "map": lambda r, x, y, z: f"{z} = {r.choice(('Neg', 'Relu', 'Identity', 'Abs'))}({x})",
    "turned": lambda r, x, y, z: f"{z} = Transpose({x})",
    "reversed": lambda r, x, y, z: f"{z} = Slice({x}, last, before, axis{r.randint(0, 1)}, back)",
    "moved": lambda r, x, y, z: f"{z}c = Concat <axis = 0> ({x}, {y})  {z} = Slice({z}c, one, five, axis0)",
    "product": lambda r, x, y, z: f"{z} = MatMul({x}, {y})",
    "scaled": lambda r, x, y, z: f"{z}m = ReduceMax <axes = [{r.randint(0, 1)}]> ({x})  {z} = Sub({y}, {z}m)",
    "scattered": lambda r, x, y, z: f"{z} = ScatterND({x}, rows, part)",
    "placed": lambda r, x, y, z: f"{z} = ScatterElements <axis = {r.randint(0, 1)}> ({x}, places, {y})",
    "running": lambda r, x, y, z: f"{z} = CumSum({x}, zero)",
    "chosen": lambda r, x, y, z: f"{z}b = Less({x}, {y})  {z} = Where({z}b, {x}, {y})",
}
CONSTANTS = {
    "last": [-1], "before": [-10], "axis0": [0], "axis1": [1], "back": [-1], "one": [1], "five": [5], "zero": 0,
    "rows": [[3], [1]], "part": np.ones((2, 4), np.float32), "places": np.array([[3, 0, 2, 1], [0, 3, 1, 2]] * 2),
}  # fmt: skip


@settings(max_examples=max(6, settings().max_examples // 20))
@given(seed=st.integers(0, 2**32))
def test_any_program_may_update_its_inputs(seed: int) -> None:
    rng = random.Random(seed)
    values = ["a", "b", "c"]
    body: list[str] = []
    for i in range(rng.randint(1, 6)):
        step = STEPS[rng.choice(list(STEPS))]
        body.append(step(rng, rng.choice(values), rng.choice(values[-3:]), f"v{i}"))
        values.append(f"v{i}")
    outputs = rng.sample(values[3:], min(len(values) - 3, rng.randint(1, 3)))
    signature = ", ".join(f"float[4, 4] {v}" for v in outputs)
    made = model(f"(float[4, 4] a, float[4, 4] b, float[4, 4] c) => ({signature})", "\n".join(body), 13, **CONSTANTS)
    module = lower(made, "graph-ir")
    if rng.random() < 0.4:
        module = with_control(module, rng, times=1)
    engine = ircc.compile(module, threads=1)
    squares = [p.name for p in engine.inputs if p.shape == (4, 4) and p.dtype == np.float32]
    for _ in range(6):
        feeds = {p.name: floats(*p.shape).astype(p.dtype) for p in engine.inputs}
        states = dict(zip(outputs, rng.sample(squares, len(outputs)), strict=True))
        expected = engine.run(feeds)
        bound = engine.bind(feeds, {out: feeds[name] for out, name in states.items()})
        bound()
        for name, wanted in expected.items():
            assert np.array_equal(bound.outputs[name], wanted, equal_nan=True), (name, states, bound.copied, made)


# ---- arrays that are given

SUM = model("(float[N, 4] x, float[N, 4] y) => (float[N, 4] s, float[N, 4] d)", "s = Add(x, y)  d = Sub(x, y)")


@pytest.fixture(scope="module")
def engine() -> ircc.Engine:
    return ircc.compile(SUM, threads=1)


def test_outputs_go_to_arrays_that_are_given(engine: ircc.Engine) -> None:
    x, y, s = floats(3, 4), floats(3, 4), floats(3, 4)
    bound = engine.bind({"x": x, "y": y}, {"s": s})
    bound()
    assert bound.outputs["s"] is s and not bound.copied
    assert np.array_equal(s, x + y) and np.array_equal(bound.outputs["d"], x - y)


def test_outputs_that_are_not_row_major_are_copied(engine: ircc.Engine) -> None:
    whole = floats(4, 6)
    x, y, s = floats(3, 4), whole.T[::2], whole.T[1::2]  # y and s take turns in memory
    wanted = x + y, x - y
    bound = engine.bind({"x": x, "y": y}, {"s": s, "d": y})
    assert bound.copied == ("y", "s", "d")
    bound()
    assert np.array_equal(s, wanted[0]) and np.array_equal(y, wanted[1])


def test_arrays_that_wrap_memory_share_it(engine: ircc.Engine) -> None:
    memory: Any = bytearray(48)
    x, y = np.frombuffer(memory, np.float32).reshape(3, 4), floats(3, 4)
    x[...] = floats(3, 4)
    wanted = x + y
    shared: Any = x
    bound = engine.bind({"x": memoryview(shared), "y": y}, {"s": x})
    bound()
    assert np.array_equal(x, wanted)


def test_two_inputs_in_the_memory_of_an_output(engine: ircc.Engine) -> None:
    x = floats(3, 4)
    wanted = x + x
    bound = engine.bind({"x": x, "y": x}, {"s": x, "d": floats(3, 4)})
    bound()
    assert np.array_equal(x, wanted) and not bound.outputs["d"].any()


def test_other_types_in_the_same_memory() -> None:
    """Not element by element, so the input is read before."""
    body = "c = Cast <to = 1> (k)  r = CumSum(c, a)  y = Add(r, x)"
    made = model("(float[4] x, int32[4] k) => (float[4] y)", body, a=0)
    k, x = np.arange(4, dtype=np.int32), floats(4)
    wanted = np.cumsum(k, dtype=np.float32) + x
    bound = ircc.compile(made, threads=1).bind({"x": x, "k": k}, {"y": k.view(np.float32)})
    bound()
    assert np.array_equal(bound.outputs["y"], wanted)


BUFFER = np.zeros((6, 4), np.float32)
LOCKED = np.zeros((3, 4), np.float32)
LOCKED.flags.writeable = False


@pytest.mark.parametrize(
    ("inputs", "outputs", "told"),
    [
        ({}, {"z": BUFFER[:3]}, "no output z"),
        ({}, [BUFFER[:3]], "by name, not as list"),
        ({}, {"s": [[1.0] * 4] * 3}, "output 's' is list, expected a numpy.ndarray"),
        ({}, {"s": np.zeros((3, 4))}, "output 's' has dtype float64, expected float32"),
        ({}, {"s": BUFFER}, r"output 's' has the shape \[6, 4\], expected \[3, 4\]"),
        ({}, {"s": LOCKED}, "output 's' cannot be written"),
        ({}, {"s": BUFFER[:3], "d": BUFFER[:3]}, "outputs 's' and 'd' overlap"),
        ({}, {"s": BUFFER[:3], "d": BUFFER[2:5]}, "outputs 's' and 'd' overlap"),
        ({"x": BUFFER[:3]}, {"d": BUFFER[1:4]}, "output 'd' overlaps a part of input 'x'"),
        ({"x": BUFFER[::2]}, {"d": BUFFER[:3]}, "output 'd' overlaps a part of input 'x'"),
    ],
)  # fmt: skip
def test_arrays_that_do_not_fit(engine: ircc.Engine, inputs: dict[str, Any], outputs: Any, told: str) -> None:
    feeds = {"x": floats(3, 4), "y": floats(3, 4), **inputs}
    with pytest.raises(InputError, match=told):
        engine.bind(feeds, outputs)


def test_an_output_whose_size_comes_from_data() -> None:
    made = model("(float[N] x) => (int64[1, K] y, float[N] z)", "y = NonZero(x)  z = Neg(x)")
    engine, x = ircc.compile(made, threads=1), np.array([1, 0, 2], np.float32)
    with pytest.raises(InputError, match="output 'y' comes from data"):
        engine.bind({"x": x}, {"y": np.zeros((1, 2), np.int64)})
    bound = engine.bind({"x": x}, {"z": x})
    bound()
    assert np.array_equal(bound.outputs["y"], [[0, 2]]) and np.array_equal(x, [-1, 0, -2])
