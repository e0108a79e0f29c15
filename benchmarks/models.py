"""The models that benchmarks are made of: built here, so that nothing is downloaded and everybody measures the same.

SUITE has single operators and small networks, with the shapes of well-known ones and random weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper, shape_inference


class Chain:
    """A model under construction; `x` is the value at its end."""

    def __init__(self, shape: Sequence[int | str]) -> None:
        self.x = "x"
        self.inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
        self.nodes: list[NodeProto] = []
        self.weights: list[TensorProto] = []
        self.random = np.random.default_rng(0)

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """One more node; the name of its output."""
        name = f"v{len(self.nodes)}"
        own = f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], own, **attributes))
        return name

    def add(self, operator: str, *others: str, **attributes: Any) -> None:
        """One more node at the end: it takes `x` first."""
        self.x = self.node(operator, self.x, *others, **attributes)

    def weight(self, *shape: int) -> str:
        """Normal numbers that keep the size of what they are multiplied with: rows times what comes behind."""
        array = self.random.standard_normal(shape, np.float32) / np.sqrt(max(np.prod(shape[1:]), 1))
        return self.constant(array.astype(np.float32))

    def constant(self, value: Any) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def input(self, name: str, *shape: int) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return name

    def model(self) -> ModelProto:
        y = helper.make_tensor_value_info(self.x, TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "chain", self.inputs, [y], self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
        model.graph.output[0].CopyFrom(shape_inference.infer_shapes(model).graph.output[0])
        return model

    # ---- layers

    def dense(self, inner: int, outer: int) -> None:
        matrix = self.random.standard_normal((inner, outer), np.float32) / np.float32(inner**0.5)
        self.add("MatMul", self.constant(matrix))
        self.add("Add", self.weight(outer))

    def conv(self, channels: int, filters: int, size: int, stride: int = 1, group: int = 1, relu: bool = True) -> None:
        self.add(
            "Conv", self.weight(filters, channels // group, size, size), self.weight(filters),
            pads=[size // 2] * 4, strides=[stride] * 2, group=group,
        )  # fmt: skip
        if relu:
            self.add("Relu")

    def gelu(self) -> None:
        """As exporters write it, with Erf."""
        x = self.x
        erf = self.node("Erf", self.node("Div", x, self.constant(np.float32(2**0.5))))
        half = self.node("Mul", x, self.node("Add", erf, self.constant(np.float32(1))))
        self.x = self.node("Mul", half, self.constant(np.float32(0.5)))

    def attention(self, tokens: int, width: int, heads: int) -> None:
        """Self-attention with its projections, as exporters write it."""
        start, each = self.x, width // heads
        parts: list[str] = []
        for order in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]):
            self.x = start
            self.dense(width, width)
            self.add("Reshape", self.constant(np.array([1, tokens, heads, each], np.int64)))
            self.add("Transpose", perm=order)
            parts.append(self.x)
        scores = self.node("Div", self.node("MatMul", parts[0], parts[1]), self.constant(np.float32(each**0.5)))
        mixed = self.node("MatMul", self.node("Softmax", scores, axis=-1), parts[2])
        self.x = self.node("Transpose", mixed, perm=[0, 2, 1, 3])
        self.add("Reshape", self.constant(np.array([1, tokens, width], np.int64)))
        self.dense(width, width)


# ---- single operators


def gemm(m: int, k: int, n: int) -> ModelProto:
    chain = Chain([m, k])
    chain.add("MatMul", chain.weight(k, n))
    return chain.model()


def products() -> ModelProto:
    """Matrix products of a batch, neither operand known."""
    chain = Chain([12, 128, 64])
    chain.add("MatMul", chain.input("b", 12, 64, 128))
    return chain.model()


def conv(channels: int, filters: int, size: int, pixels: int, stride: int = 1, group: int = 1) -> ModelProto:
    chain = Chain([1, channels, pixels, pixels])
    chain.conv(channels, filters, size, stride, group, relu=False)
    return chain.model()


def softmax() -> ModelProto:
    chain = Chain([12, 128, 128])
    chain.add("Softmax", axis=-1)
    return chain.model()


def layernorm() -> ModelProto:
    chain = Chain([128, 768])
    chain.add("LayerNormalization", chain.weight(768), chain.weight(768), axis=-1)
    return chain.model()


def gelu() -> ModelProto:
    chain = Chain([128, 3072])
    chain.gelu()
    return chain.model()


def elementwise() -> ModelProto:
    """Four operators on 4 million numbers."""
    chain = Chain([4 << 20])
    for operator in ("Mul", "Add", "Relu", "Sub"):
        chain.add(operator, *([] if operator == "Relu" else [chain.constant(np.float32(0.5))]))
    return chain.model()


def transpose() -> ModelProto:
    chain = Chain([1024, 1024])
    chain.add("Transpose", perm=[1, 0])
    return chain.model()


def mean() -> ModelProto:
    chain = Chain([4096, 1024])
    chain.add("ReduceMean", chain.constant(np.array([1], np.int64)), keepdims=0)
    return chain.model()


# ---- networks


def mlp() -> ModelProto:
    chain = Chain([64, 784])
    for inner, outer in ((784, 1024), (1024, 1024), (1024, 10)):
        chain.dense(inner, outer)
        if outer > 10:
            chain.add("Relu")
    return chain.model()


def lstm() -> ModelProto:
    """64 steps of 256 units; ONNX orders the gates and directions."""
    chain = Chain([64, 1, 256])
    chain.add("LSTM", chain.weight(1, 1024, 256), chain.weight(1, 1024, 256), chain.weight(1, 2048), hidden_size=256)
    return chain.model()


def resnet() -> ModelProto:
    """The shapes of ResNet-18 with one block for each width, from 224 × 224 to 1000 classes."""
    chain = Chain([1, 3, 224, 224])
    chain.conv(3, 64, 7, stride=2)
    chain.add("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    channels = 64
    for filters in (64, 128, 256, 512):
        start, stride = chain.x, 1 if filters == channels else 2
        chain.conv(channels, filters, 3, stride)
        chain.conv(filters, filters, 3, relu=False)
        end = chain.x
        chain.x = start
        if stride > 1:
            chain.conv(channels, filters, 1, stride, relu=False)
        chain.add("Add", end)
        chain.add("Relu")
        channels = filters
    chain.add("GlobalAveragePool")
    chain.add("Flatten")
    chain.dense(512, 1000)
    return chain.model()


def mobilenet() -> ModelProto:
    """Inverted residual blocks: 1 × 1 out, depthwise 3 × 3, 1 × 1 back."""
    chain = Chain([1, 24, 56, 56])
    for _ in range(4):
        start = chain.x
        chain.conv(24, 144, 1)
        chain.conv(144, 144, 3, group=144)
        chain.conv(144, 24, 1, relu=False)
        chain.add("Add", start)
    return chain.model()


def attention() -> ModelProto:
    chain = Chain([1, 128, 768])
    chain.attention(128, 768, 12)
    return chain.model()


def transformer() -> ModelProto:
    """Two layers of an encoder, normalised first."""
    chain = Chain([1, 128, 384])
    for _ in range(2):
        start = chain.x
        chain.add("LayerNormalization", chain.weight(384), chain.weight(384), axis=-1)
        chain.attention(128, 384, 6)
        chain.add("Add", start)
        start = chain.x
        chain.add("LayerNormalization", chain.weight(384), chain.weight(384), axis=-1)
        chain.dense(384, 1536)
        chain.gelu()
        chain.dense(1536, 384)
        chain.add("Add", start)
    return chain.model()


OPERATORS: Mapping[str, Callable[[], ModelProto]] = {
    "gemm 1024³": lambda: gemm(1024, 1024, 1024),
    "gemm 384×768×3072": lambda: gemm(384, 768, 3072),
    "gemm 1×768×3072": lambda: gemm(1, 768, 3072),
    "products 12×128×64×128": products,
    "conv 3×3, 64, 56²": lambda: conv(64, 64, 3, 56),
    "conv 1×1, 256→64, 56²": lambda: conv(256, 64, 1, 56),
    "conv 7×7 / 2, 3→64, 224²": lambda: conv(3, 64, 7, 224, stride=2),
    "depthwise 3×3, 144, 56²": lambda: conv(144, 144, 3, 56, group=144),
    "softmax 12×128×128": softmax,
    "layernorm 128×768": layernorm,
    "gelu 128×3072": gelu,
    "elementwise, 4 M": elementwise,
    "mean 4096×1024": mean,
    "transpose 1024²": transpose,
}
NETWORKS: Mapping[str, Callable[[], ModelProto]] = {
    "mlp, 64 rows": mlp,
    "lstm, 64 steps": lstm,
    "resnet": resnet,
    "mobilenet blocks": mobilenet,
    "attention 128×768": attention,
    "transformer 128×384": transformer,
}
SUITE: Mapping[str, Callable[[], ModelProto]] = {**OPERATORS, **NETWORKS}
