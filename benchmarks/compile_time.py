"""How long compilation takes by the number of nodes: chains of a kind, at growing lengths.

    python benchmarks/compile_time.py [KIND ...] [--nodes 250,500,1000] [--passes]

KIND: elementwise, matmul, cnn, attention, reshapes, qdq. A pass whose time grows faster than the model is the one to
look at: --passes lists the times of all of them.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Mapping

import numpy as np
from models import Chain
from onnx import ModelProto, numpy_helper

import ircc
from ircc.compiler import Compilation
from ircc.ir.instruments import TimePasses


def elementwise(nodes: int) -> ModelProto:
    """Activations and arithmetic, one after the other."""
    chain = Chain(["N", 64])
    for i in range(nodes):
        operator = ("Sigmoid", "Add", "Tanh", "Mul", "Abs")[i % 5]
        others = [chain.weight(64)] if operator in ("Add", "Mul") else []
        chain.x = chain.node(operator, chain.x, *others)
    return chain.model()


def matmul(nodes: int) -> ModelProto:
    """Layers of a perceptron: MatMul, Add, Relu."""
    chain = Chain(["N", 32])
    while len(chain.nodes) < nodes:
        chain.x = chain.node("MatMul", chain.x, chain.weight(32, 32))
        chain.x = chain.node("Add", chain.x, chain.weight(32))
        chain.x = chain.node("Relu", chain.x)
    return chain.model()


def cnn(nodes: int) -> ModelProto:
    """Residual blocks of convolutions with batch normalization."""
    chain = Chain([1, 8, 16, 16])
    while len(chain.nodes) < nodes:
        start = chain.x
        for _ in range(2):
            chain.x = chain.node("Conv", chain.x, chain.weight(8, 8, 3, 3), pads=[1, 1, 1, 1])
            scale, bias, mean = (chain.weight(8) for _ in range(3))
            variance = chain.node("Constant", value=numpy_helper.from_array(np.ones(8, np.float32)))
            chain.x = chain.node("BatchNormalization", chain.x, scale, bias, mean, variance)
            chain.x = chain.node("Relu", chain.x)
        chain.x = chain.node("Add", chain.x, start)
    return chain.model()


def attention(nodes: int) -> ModelProto:
    """Blocks of a transformer on a sequence of symbolic length, with its shape arithmetic."""
    chain = Chain([1, "T", 32])
    split = chain.constant(np.array([0, 0, 4, 8], np.int64))
    join = chain.constant(np.array([0, 0, 32], np.int64))
    while len(chain.nodes) < nodes:
        start = chain.x
        normal = chain.node("LayerNormalization", start, chain.weight(32), chain.weight(32))
        heads = []
        for order in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]):
            heads.append(chain.node("MatMul", normal, chain.weight(32, 32)))
            heads[-1] = chain.node("Transpose", chain.node("Reshape", heads[-1], split), perm=order)
        scores = chain.node("Softmax", chain.node("MatMul", heads[0], heads[1]), axis=-1)
        mixed = chain.node("Transpose", chain.node("MatMul", scores, heads[2]), perm=[0, 2, 1, 3])
        joined = chain.node("MatMul", chain.node("Reshape", mixed, join), chain.weight(32, 32))
        chain.x = chain.node("Add", start, joined)
    return chain.model()


def reshapes(nodes: int) -> ModelProto:
    """Transpose and Reshape in turns: as one index, each pair would be twice as long as the one before."""
    chain = Chain(["N", 6, 8])
    shape = chain.constant(np.array([0, 6, 8], np.int64))
    while len(chain.nodes) < nodes:
        chain.x = chain.node("Reshape", chain.node("Transpose", chain.x, perm=[0, 2, 1]), shape)
    return chain.model()


def qdq(nodes: int) -> ModelProto:
    """MatMuls as a quantiser writes them, each with scales of its own."""
    chain = Chain(["N", 32])

    def quantised(x: str) -> str:
        scale, zero = chain.constant(np.float32(chain.random.uniform(0.01, 0.1))), chain.constant(np.int8(0))
        return chain.node("DequantizeLinear", chain.node("QuantizeLinear", x, scale, zero), scale, zero)

    while len(chain.nodes) < nodes:
        chain.x = chain.node("MatMul", quantised(chain.x), quantised(chain.weight(32, 32)))
    return chain.model()


KINDS: Mapping[str, Callable[[int], ModelProto]] = {
    "elementwise": elementwise, "matmul": matmul, "cnn": cnn, "attention": attention,
    "reshapes": reshapes, "qdq": qdq,
}  # fmt: skip


def measure(model: ModelProto, passes: bool) -> dict[str, float]:
    """Seconds of this process for import, passes, code generation and loading; with `passes`, of each pass by the
    clock on the wall. Other processes may compile kernels meanwhile."""
    times = TimePasses()
    way = Compilation(instruments=(times,))
    start = time.process_time()
    module = way.open(model)
    opened = time.process_time()
    module = way.lower(module, "loop-ir")
    lowered = time.process_time()
    (artifact,) = way.finish([module])
    made = time.process_time()
    ircc.Engine(artifact, 1).close()
    end = time.process_time()
    found = {"import": opened - start, "passes": lowered - opened, "code": made - lowered, "load": end - made}
    if passes:
        for name, seconds, _ in times.seconds:
            found[name] = found.get(name, 0.0) + seconds
    return {"total": end - start, **found}


def main() -> None:
    parser = argparse.ArgumentParser(description="Time of compilation by the number of nodes.")
    parser.add_argument("kinds", nargs="*", default=list(KINDS), metavar="KIND")
    parser.add_argument("--nodes", default="250,500,1000")
    parser.add_argument("--passes", action="store_true")
    args = parser.parse_args()
    os.environ["IRCC_CACHE_SIZE"] = "0"  # what is found takes no time
    for kind in args.kinds:
        lengths = [int(n) for n in args.nodes.split(",")]
        columns = [measure(KINDS[kind](n), args.passes) for n in lengths]
        print(f"{kind:28}" + "".join(f"{n:>10}" for n in lengths) + "   growth of the last step")
        for name in columns[-1]:
            values = [column.get(name, 0.0) for column in columns]
            growth = f"{values[-1] / values[-2]:8.1f}x" if len(values) > 1 and values[-2] > 0.01 else ""
            print(f"  {name:26}" + "".join(f"{v:10.3f}" for v in values) + f"  {growth}")


if __name__ == "__main__":
    main()
