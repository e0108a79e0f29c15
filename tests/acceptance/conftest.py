"""The models of the acceptance tests: small, with the structure of real ones, and weights drawn from a seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

Array = np.ndarray[Any, Any]
Arrays = Mapping[str, Array]


@dataclass
class Net:
    """A model under construction: every method adds a node and gives the name of its output."""

    seed: int = 0
    nodes: list[onnx.NodeProto] = field(default_factory=list[onnx.NodeProto])
    weights: list[TensorProto] = field(default_factory=list[TensorProto])

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)

    def node(self, operator: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        name = f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output or name], name=name, **attributes))
        return output or name

    def constant(self, value: Any) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def weight(self, *shape: int, scale: float | None = None) -> str:
        """Random numbers, scaled so that a layer keeps the size of what goes through it."""
        inputs = shape[0] if len(shape) == 2 else np.prod(shape[1:])
        factor = float(1 / np.sqrt(inputs)) if scale is None else scale
        return self.constant((self.random.standard_normal(shape) * factor).astype(np.float32))

    def positive(self, *shape: int) -> str:
        return self.constant(self.random.uniform(0.5, 1.5, shape).astype(np.float32))

    def conv(self, x: str, channels: tuple[int, int], kernel: int, **attributes: Any) -> str:
        """Convolution and batch normalisation; `channels` in and out."""
        group = attributes.get("group", 1)
        w = self.weight(channels[1], channels[0] // group, kernel, kernel)
        y = self.node("Conv", x, w, kernel_shape=[kernel, kernel], pads=[kernel // 2] * 4, **attributes)
        n = channels[1]
        return self.node(
            "BatchNormalization", y, self.positive(n), self.weight(n), self.weight(n), self.positive(n), epsilon=1e-5
        )

    def linear(self, x: str, inputs: int, outputs: int) -> str:
        return self.node("Add", self.node("MatMul", x, self.weight(inputs, outputs)), self.weight(outputs, scale=0.1))

    def model(self, inputs: Mapping[str, Sequence[int | str]], outputs: Mapping[str, Sequence[int | str]]) -> Any:
        def infos(ports: Mapping[str, Sequence[int | str]]) -> list[onnx.ValueInfoProto]:
            return [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in ports.items()]

        graph = helper.make_graph(self.nodes, "net", infos(inputs), infos(outputs), self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
        onnx.checker.check_model(model, full_check=True)
        return model


def residual_network() -> Any:
    """The head of a ResNet and a block of MobileNet: batch normalisation, a residual, a depthwise convolution."""
    net = Net(1)
    x = net.node("Relu", net.conv("x", (3, 16), 7, strides=[2, 2]))
    x = net.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    y = net.conv(net.node("Relu", net.conv(x, (16, 16), 3)), (16, 16), 3)
    x = net.node("Relu", net.node("Add", y, x))
    shortcut = net.conv(x, (16, 40), 1, strides=[2, 2])
    y = net.node("Relu", net.conv(net.node("Relu", net.conv(x, (16, 40), 1)), (40, 40), 3, strides=[2, 2], group=40))
    x = net.node("Relu", net.node("Add", net.conv(y, (40, 40), 1), shortcut))
    x = net.node("Flatten", net.node("GlobalAveragePool", x))
    net.node("Gemm", x, net.weight(10, 40), net.weight(10), output="y", transB=1)
    return net.model({"x": [1, 3, 45, 38]}, {"y": [1, 10]})


def transformer_block(width: int = 48, heads: int = 4) -> Any:
    """A layer of BERT: attention over symbolic batch and length, layer normalisation, GELU."""
    net = Net(2)

    def split(x: str, order: Sequence[int]) -> str:
        shape = net.constant(np.array([0, 0, heads, width // heads]))
        return net.node("Transpose", net.node("Reshape", net.linear(x, width, width), shape), perm=order)

    def norm(x: str, output: str | None = None) -> str:
        scale, bias = net.positive(width), net.weight(width)
        return net.node("LayerNormalization", x, scale, bias, output=output, axis=-1, epsilon=1e-12)

    scores = net.node("MatMul", split("x", [0, 2, 1, 3]), split("x", [0, 2, 3, 1]))
    scores = net.node("Div", scores, net.constant(np.float32(np.sqrt(width // heads))))
    scores = net.node("Softmax", net.node("Add", scores, "mask"), axis=-1)
    mixed = net.node("Transpose", net.node("MatMul", scores, split("x", [0, 2, 1, 3])), perm=[0, 2, 1, 3])
    mixed = net.node("Reshape", mixed, net.constant(np.array([0, 0, width])))
    x = norm(net.node("Add", net.linear(mixed, width, width), "x"))
    h = net.linear(x, width, 3 * width)
    erf = net.node("Erf", net.node("Div", h, net.constant(np.float32(np.sqrt(2)))))
    h = net.node("Mul", h, net.node("Add", erf, net.constant(np.float32(1))))
    h = net.linear(net.node("Mul", h, net.constant(np.float32(0.5))), 3 * width, width)
    norm(net.node("Add", h, x), output="y")
    return net.model({"x": ["N", "L", width], "mask": ["N", 1, 1, "L"]}, {"y": ["N", "L", width]})


def pyramid() -> Any:
    """Symbolic batch, height and width: strides, pools that round up, sizes halved and doubled, a crop, two outputs."""
    net = Net(3)
    fine = net.node("Relu", net.conv("x", (3, 12), 3))
    coarse = net.node("MaxPool", fine, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
    coarse = net.node("LeakyRelu", net.conv(coarse, (12, 20), 3), alpha=0.1)
    coarse = net.node("AveragePool", coarse, kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1])
    scales = net.constant(np.array([1, 1, 2, 2], np.float32))
    up = net.node("Resize", coarse, "", scales, mode="linear", coordinate_transformation_mode="half_pixel")
    sizes = net.node("Slice", net.node("Shape", fine), net.constant(np.array([2])), net.constant(np.array([4])))
    zeros = net.constant(np.array([0, 0]))
    up = net.node("Slice", up, zeros, sizes, net.constant(np.array([2, 3])))
    both = net.node("Concat", fine, up, axis=1)
    net.node("Sigmoid", net.conv(both, (32, 2), 1), output="mask")
    pooled = net.node("Flatten", net.node("GlobalAveragePool", both))
    scores = net.node("Gemm", pooled, net.weight(32, 7), net.weight(7))
    net.node("Softmax", scores, axis=1, output="scores")
    return net.model({"x": ["N", 3, "H", "W"]}, {"mask": ["N", 2, "H", "W"], "scores": ["N", 7]})


MODELS: Mapping[str, Callable[[], Any]] = {
    "residual_network": residual_network,
    "transformer_block": transformer_block,
    "pyramid": pyramid,
}
SIZES = {"N": 2, "L": 13, "H": 18, "W": 21}  # where no test says others


@dataclass(frozen=True)
class Case:
    """A model in a file, inputs for it, and what ONNX Runtime makes of them."""

    path: Path

    @property
    def session(self) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        return onnxruntime.InferenceSession(str(self.path), options, providers=["CPUExecutionProvider"])

    def inputs(self, **sizes: int) -> dict[str, Array]:
        known = {**SIZES, **sizes}
        random = np.random.default_rng(7)
        found: dict[str, Array] = {}
        for port in self.session.get_inputs():
            shape = [known[size] if isinstance(size, str) else size for size in port.shape]
            found[port.name] = random.standard_normal(shape).astype(np.float32)
        return found

    def expected(self, inputs: Arrays) -> dict[str, Array]:
        session = self.session
        names = [port.name for port in session.get_outputs()]
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))


@pytest.fixture(scope="session")
def model_case(tmp_path_factory: pytest.TempPathFactory, magika_model: Path) -> Callable[[str], Case]:
    """The case of a model by name, `magika` among them."""
    folder = tmp_path_factory.mktemp("models")

    def find(name: str) -> Case:
        if name == "magika":
            return Case(magika_model)
        path = folder / f"{name}.onnx"
        if not path.exists():
            onnx.save(MODELS[name](), path)
        return Case(path)

    return find


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Constants that passes make are kept in a folder of the test's own."""
    monkeypatch.setenv("IRCC_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("IRCC_TARGET", raising=False)
