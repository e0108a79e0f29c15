"""Files that nobody should have to trust: each ends in ircc.Error, in seconds and with little memory."""

import os
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import TensorProto, helper

from ircc.errors import Error, ModelError, UnsupportedError
from ircc.frontends.onnx import import_model

MUTATIONS = Path(__file__).with_name("mutations.py")

NETWORK = """<ir_version: 8, opset_import: ["" : 17]>
main (float[N, 3, H, W] x, int64[N, T] ids) => (float[N, C] y, float[A, B, D] z)
<int64[1] m1 = {-1}, int64[1] eight = {8}> {
    c = Conv<pads = [1, 1, 1, 1], strides = [2, 2]>(x, w, b)
    r = Relu(c)
    p = MaxPool<kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 1>(r)
    g = GlobalAveragePool(p)
    y = Flatten(g)
    e = Gather(table, ids)
    t = MatMul(e, qkv)
    s = Shape(t)
    i0 = Constant<value_ints = [0]>()
    i1 = Constant<value_ints = [1]>()
    n = Slice(s, i0, i1)
    q, k, v = Split<axis = 2>(t)
    kt = Transpose<perm = [0, 2, 1]>(k)
    a = MatMul(q, kt)
    sm = Softmax<axis = -1>(a)
    o = MatMul(sm, v)
    shape = Concat<axis = 0>(n, m1, eight)
    z = Reshape(o, shape)
}"""


def network() -> onnx.ModelProto:
    """A small model of what real ones are made of."""
    model = onnx.parser.parse_model(NETWORK)
    rng = np.random.default_rng(0)
    for name, shape in {"w": (4, 3, 3, 3), "b": (4,), "table": (10, 8), "qkv": (8, 24)}.items():
        array = rng.standard_normal(shape).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return model


def one(operator: str, *inputs: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operator, inputs, ["y"], **attributes)


def model(*nodes: onnx.NodeProto, opset: int = 18, **constants: Any) -> onnx.ModelProto:
    """A model of `x` [N, 2] with constants: lists of integers, arrays or TensorProtos."""
    initializers = []
    for name, value in constants.items():
        if isinstance(value, list):
            value = np.array(value, np.int64)
        proto = value if isinstance(value, TensorProto) else onnx.numpy_helper.from_array(value)
        proto.name = name
        initializers.append(proto)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(list(nodes), "m", [x], [y], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def tensor(*dims: int, data_type: int = TensorProto.FLOAT, **fields: Any) -> TensorProto:
    return TensorProto(dims=dims, data_type=data_type, **fields)


ADD = one("Add", "x", "c")
IMAGE = np.zeros((1, 1, 2, 2), np.float32)
HUGE = 2**40
CASES = {
    "more elements than data": model(ADD, c=tensor(10**6, 10**6, raw_data=b"1234")),
    "less elements than data": model(ADD, c=tensor(1, raw_data=b"12345678")),
    "typed data too short": model(ADD, c=tensor(2**31, float_data=[1.0])),
    "negative size": model(ADD, c=tensor(-4, 2, raw_data=b"1234")),
    "sizes that overflow": model(ADD, c=tensor(2**62, 2**62, 2**62, raw_data=b"")),
    "many dimensions": model(ADD, c=tensor(*[1] * 1000, raw_data=b"1234")),
    "unknown element type": model(ADD, c=tensor(1, data_type=77, raw_data=b"1234")),
    "no element type": model(ADD, c=tensor(1, data_type=0, raw_data=b"1234")),
    "huge constant of shape": model(one("ConstantOfShape", "s"), s=[HUGE, HUGE]),
    "negative constant of shape": model(one("ConstantOfShape", "s"), s=[-5]),
    "huge expand": model(one("Expand", "x", "s"), s=[HUGE, 1, 2]),
    "huge tile": model(one("Tile", "x", "s"), s=[1, HUGE]),
    "negative tile": model(one("Tile", "x", "s"), s=[1, -3]),
    "huge range": model(one("Range", "a", "b", "c"), a=np.int64(0), b=np.int64(2**62), c=np.int64(1)),
    "endless range": model(one("Range", "a", "b", "c"), a=np.float32(0), b=np.float32(1), c=np.float32(0)),
    "range of NaN": model(one("Range", "a", "b", "c"), a=np.float32("nan"), b=np.float32(1), c=np.float32(1)),
    "huge pad": model(one("Pad", "x", "p"), p=[0, HUGE, 0, HUGE]),
    "huge scale": model(one("Resize", "x", "", "s"), s=np.array([1, 1e30], np.float32)),
    "negative scale": model(one("Resize", "x", "", "s"), s=np.array([1, -2], np.float32)),
    "NaN scale": model(one("Resize", "x", "", "s"), s=np.array([1, np.nan], np.float32)),
    "huge one-hot": model(one("OneHot", "i", "d", "v"), i=[1], d=np.int64(2**60), v=[0, 1]),
    "infinite one-hot": model(one("OneHot", "i", "d", "v"), i=[1], d=np.float32("inf"), v=[0, 1]),
    "axis out of range": model(one("Softmax", "x", axis=7)),
    "axis twice": model(one("ReduceSum", "x", "a"), a=[1, -1]),
    "permutation that is none": model(one("Transpose", "x", perm=[0, 0])),
    "step of 0": model(one("Slice", "x", "a", "b", "a", "a"), a=[0], b=[1]),
    "split that does not fit": model(one("Split", "x", "s", axis=1), s=[5]),
    "stride of 0": model(one("MaxPool", "c", kernel_shape=[1, 1], strides=[0, 0]), c=IMAGE),
    "kernel of 0": model(one("MaxPool", "c", kernel_shape=[0, 0]), c=IMAGE),
    "huge dilation": model(one("MaxPool", "c", kernel_shape=[2, 2], dilations=[2**62, 1]), c=IMAGE),
    "groups of 0": model(one("Conv", "c", "w", group=0), c=IMAGE, w=np.zeros((1, 1, 1, 1), np.float32)),
    "dangling name": model(one("Relu", "nobody")),
    "missing input": model(helper.make_node("Relu", [], ["y"])),
    "a value by two nodes": model(one("Relu", "x"), one("Exp", "x")),
    "a circle": model(helper.make_node("Relu", ["a"], ["y"]), helper.make_node("Exp", ["y"], ["a"])),
    "a node of itself": model(helper.make_node("Add", ["x", "y"], ["y"])),
    "no output": model(helper.make_node("Relu", ["x"], ["z"])),
    "unknown attribute": model(one("Relu", "x", alpha=1.0)),
    "attribute of another type": model(one("Softmax", "x", axis="1")),
    "opset 0": model(one("Relu", "x"), opset=0),
    "opset of the future": model(one("Relu", "x"), opset=10**6),
    "einsum of nonsense": model(one("Einsum", "x", equation="->->i.j,,k" * 20)),
    "reshape to a thousand dimensions": model(one("Reshape", "x", "s"), s=[1] * 999 + [-1]),
    "unsqueeze to nowhere": model(one("Unsqueeze", "x", "a"), a=[2**62]),
    "scatter into nowhere": model(one("ScatterND", "x", "i", "x"), i=np.zeros((2, 0), np.int64)),
}


LEAF = helper.make_graph([one("Exp", "x")], "leaf", [], [helper.make_tensor_value_info("y", 1, [1])])


def refused(source: Any, limit: float = 10.0, traced: bool = True) -> Error:
    """The error that importing ends with, in `limit` seconds of processor time and, if `traced`, with little memory."""
    begin = time.process_time()
    if traced:
        tracemalloc.start()
    try:
        with pytest.raises(Error) as caught:
            import_model(source)
        assert not traced or tracemalloc.get_traced_memory()[1] < 200 << 20
    finally:
        tracemalloc.stop()
    assert "makes no sense" not in str(caught.value), "a rule was taken unawares"
    assert time.process_time() - begin < limit
    return caught.value


@pytest.mark.parametrize("name", CASES)
def test_what_breaks_the_rules_is_refused(name: str) -> None:
    assert isinstance(refused(CASES[name]), ModelError | UnsupportedError)


def test_files_that_are_no_models(tmp_path: Path) -> None:
    for name, data in {"empty": b"", "text": b"hello", "zeros": bytes(1000), "picture": b"\x89PNG\r\n\x1a\n"}.items():
        path = tmp_path / name
        path.write_bytes(data)
        refused(path)
        refused(data)
    refused(tmp_path)
    refused(tmp_path / "missing")
    refused("a\0b")
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe")


def test_a_file_over_two_gigabytes_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "large.onnx", "wb") as file:
        file.truncate(2**31 + 10)
    assert "external data" in str(refused(tmp_path / "large.onnx"))


def test_graphs_nested_as_deeply_as_protobuf_can() -> None:
    graph = helper.make_graph([one("Relu", "x")], "leaf", [], [helper.make_tensor_value_info("y", 1, [1])])
    for _ in range(28):
        node = helper.make_node("If", ["c"], ["y"], then_branch=graph, else_branch=LEAF)
        graph = helper.make_graph([node], "g", [], [helper.make_tensor_value_info("y", 1, [1])])
    nested = model(*graph.node, c=np.array(True)).SerializeToString()
    assert "graph.relu" in str(import_model(nested))


def functions(bodies: dict[str, list[str]]) -> onnx.ModelProto:
    """A model whose functions call each other: names of the callees by function."""
    text = '<ir_version: 8, opset_import: ["" : 18, "f" : 1]> main (float[2] x) => (float[2] y) { y = f.f0(x) }\n'
    for name, callees in bodies.items():
        calls = "".join(f"t{i + 1} = {callee}(t{i}) " for i, callee in enumerate(callees))
        text += f'<domain: "f", opset_import: ["" : 18, "f" : 1]> {name} (t0) => (t{len(callees)}) {{ {calls} }}\n'
    return onnx.parser.parse_model(text)


def test_a_function_that_calls_itself() -> None:
    refused(functions({"f0": ["f.f0"]}))
    refused(functions({"f0": ["f.f1"], "f1": ["f.f0"]}))


def test_a_few_functions_that_are_billions_of_nodes() -> None:
    bodies = {f"f{i}": [f"f.f{i + 1}"] * 10 for i in range(12)}
    assert "too many nodes" in str(refused(functions({**bodies, "f12": ["Relu"]}), 30, traced=False))


def test_shape_arithmetic_that_explodes() -> None:
    """Sizes whose text doubles with every node are computed when the model runs."""
    lines = ["p0 = Shape<end = 1>(x)", "q0 = Shape<start = 1>(x)"]
    for i in range(60):
        lines += [f"m{i} = Mul(p{i}, q{i})", f"d{i} = Div(m{i}, seven)", f"p{i + 1} = Max(d{i}, q{i})"]
        lines += [f"a{i} = Add(p{i}, q{i})", f"q{i + 1} = Min(a{i}, m{i})"]
    lines.append("y = ConstantOfShape(q60)")
    graph = "(float[N, M] x) => (float[A] y) <int64[1] seven = {7}> {" + "\n".join(lines) + "}"
    start = time.monotonic()
    module = import_model(onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 18]> main {graph}'))
    module.verify()
    assert len(str(module)) < 300_000 and time.monotonic() - start < 30


def test_damaged_models(tmp_path: Path, magika_model: Path) -> None:
    own = tmp_path / "network.onnx"
    own.write_bytes(network().SerializeToString())
    import_model(own).verify()
    count = 600 if os.environ.get("CI") else 200
    command = [sys.executable, str(MUTATIONS), "0", str(count), str(own), str(own), str(own), str(magika_model)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert not done.stdout, done.stdout[:2000]
