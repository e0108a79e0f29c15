"""Damaged models for test_hostile.py, which runs this file in a process of its own with bounded memory.

    python mutations.py FIRST LAST MODEL ...

Each seed damages one of the models, in its bytes or in its structure, and imports it: that must end well or in
ircc.Error, soon. Prints what did not, a line each.
"""

import copy
import random
import resource
import sys
import time
from pathlib import Path
from typing import Any

import onnx
from onnx import AttributeProto, ModelProto, numpy_helper

from ircc.errors import Error
from ircc.frontends.onnx import import_model

MEMORY = 4 << 30  # bytes of address space
SECONDS = 10.0  # of processor time for one model; a machine under load is slow, an endless loop is longer
NUMBERS = [0, -1, 1, 3, 255, 10**9, -(10**9), 2**31 - 1, -(2**31), 2**40, 2**63 - 1, -(2**63)]
OPERATORS = """
    Range ConstantOfShape Expand Tile Resize Pad Reshape Conv Gather Loop If Einsum TopK OneHot Slice Split MatMul
    Softmax Concat Squeeze Attention LayerNormalization
"""


def damaged_bytes(data: bytes, rng: random.Random) -> bytes:
    """Truncated, with a hole, or with bits flipped, more of them where the structure is than in the weights."""
    out = bytearray(data)
    match rng.randrange(4):
        case 0:
            return bytes(out[: rng.randrange(len(out))])
        case 1:
            start = rng.randrange(len(out))
            del out[start : start + rng.randint(1, 50)]
        case _:
            for _ in range(rng.choice([1, 1, 2, 8, 64])):
                edge = min(len(out), 4000)
                place = rng.choice([rng.randrange(len(out)), rng.randrange(edge), len(out) - 1 - rng.randrange(edge)])
                out[place] ^= 1 << rng.randrange(8)
    return bytes(out)


def tensors(model: ModelProto) -> list[Any]:
    attributes = (a for node in model.graph.node for a in node.attribute)
    return [*model.graph.initializer, *(a.t for a in attributes if a.HasField("t"))]


def damaged_structure(model: ModelProto, rng: random.Random) -> bytes:
    """A well-formed file in which something is not as it was."""
    model = copy.deepcopy(model)
    for _ in range(rng.randint(1, 3)):
        try:
            damage(model, rng)
        except (IndexError, ValueError):  # nothing to damage in that way
            continue
    return model.SerializeToString()


def damage(model: ModelProto, rng: random.Random) -> None:
    graph = model.graph
    node = rng.choice(graph.node)
    match rng.randrange(13):
        case 0:
            attribute = rng.choice(node.attribute)
            match attribute.type:
                case AttributeProto.INT:
                    attribute.i = rng.choice(NUMBERS)
                case AttributeProto.INTS:
                    attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice(NUMBERS)
                case AttributeProto.FLOAT:
                    attribute.f = rng.choice([float("nan"), float("inf"), -1e38, 0.0])
                case AttributeProto.STRING:
                    attribute.s = rng.choice([b"", b"\xff\xfe", b"SAME_UPPER", b"x" * 1000])
                case _:
                    pass
        case 1:
            dims = rng.choice(tensors(model)).dims
            dims[rng.randrange(len(dims))] = rng.choice(NUMBERS)
        case 2:
            tensor = rng.choice([t for t in tensors(model) if t.data_type == onnx.TensorProto.INT64])
            array = numpy_helper.to_array(tensor).copy()
            array.reshape(-1)[rng.randrange(array.size)] = rng.choice(NUMBERS)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
        case 3:
            names = [name for other in graph.node for name in (*other.input, *other.output)]
            node.input[rng.randrange(len(node.input))] = rng.choice([*names, "", "nobody"])
        case 4:
            node.output[0] = rng.choice([name for other in graph.node for name in other.output])
        case 5:
            node.op_type = rng.choice(OPERATORS.split())
        case 6:
            del graph.node[rng.randrange(len(graph.node))]
        case 7:
            dim = rng.choice(rng.choice(graph.input).type.tensor_type.shape.dim)
            if rng.random() < 0.5:
                dim.dim_value = rng.choice(NUMBERS)
            else:
                dim.dim_param = rng.choice(["N", "d0", '"\n', "a b", "N*2", "\0"])
        case 8:
            rng.choice(graph.input).type.tensor_type.elem_type = rng.randrange(30)
        case 9:
            model.opset_import[0].version = rng.choice([-3, 1, 6, 7, 9, 10, 11, 13, 18, 21, 99])
        case 10:
            rng.choice(tensors(model)).data_type = rng.randrange(30)
        case 11:
            node.domain = rng.choice(["x", "ai.onnx", "ai.onnx.ml"])
        case _:
            del node.attribute[rng.randrange(len(node.attribute))]


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    first, last = int(sys.argv[1]), int(sys.argv[2])
    sources = [Path(name).read_bytes() for name in sys.argv[3:]]
    models = [ModelProto.FromString(data) for data in sources]
    for seed in range(first, last):
        rng = random.Random(seed)
        i = rng.randrange(len(sources))
        data = damaged_bytes(sources[i], rng) if rng.random() < 0.4 else damaged_structure(models[i], rng)
        begin = time.process_time()
        try:
            import_model(data).verify()
        except Error as error:
            if "makes no sense" in str(error):
                say(f"seed {seed}: a rule was taken unawares: {error}")
        except BaseException as error:
            say(f"seed {seed}: {type(error).__name__}: {error}")
        if (took := time.process_time() - begin) > SECONDS:
            say(f"seed {seed}: took {took:.1f} s")


if __name__ == "__main__":
    main()
