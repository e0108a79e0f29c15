"""What a schema does not say: legal attributes by name, integers about shapes by name, and draws about which
ONNX has no last word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from onnx import NodeProto

from .draw import Draw, Misfit, Variable, is_float

Operands: TypeAlias = "Sequence[Variable | None]"

# random, or about strings and images and maps, which only Python does, or deprecated without a reference
EXCLUDED = """
    Bernoulli ImageDecoder Multinomial RandomNormal RandomNormalLike RandomUniform RandomUniformLike RegexFullMatch
    StringConcat StringNormalizer StringSplit CastMap CategoryMapper DictVectorizer ZipMap
"""
# drawn within the bodies of If, because they work on sequences and optionals
WITHIN = """
    ConcatFromSequence Optional OptionalGetElement OptionalHasElement SequenceAt SequenceConstruct SequenceEmpty
    SequenceErase SequenceInsert SequenceLength SequenceMap SplitToSequence
"""
# compiled to so many loops that they take most of the time: drawn less often
DEAR = """
    ArgMax Col2Im ConvInteger DFT Det FusedGemm GRU LSTM LogSoftmax MatMul MaxPool MaxRoiPool NonMaxSuppression
    QLinearMatMul RoiAlign STFT Softmax TopK Unique
"""
# operators that may compute doubles with what is only a float: constants of their bodies (HardSwish, Gelu), statistics
# (`stash_type`), or all of it in the reference (Erf)
FLOATS = "Erf FastGelu Gelu GroupNormalization HardSwish LayerNormalization QuickGelu RMSNormalization"
# their bodies say whether they jump
SMOOTH = "If Loop Scan"


def narrows(node: NodeProto) -> bool:
    """Whether doubles may be computed with what is only a float: the coefficients of cubic interpolation are, too."""
    return node.op_type in FLOATS.split() or any(a.s == b"cubic" for a in node.attribute)


def open_question(operator: str, operands: Operands, opset: int, attributes: Mapping[str, Any]) -> str:
    """Why no peer is right about this draw: ONNX leaves it open, or its reference has it wrong where ONNX Runtime has
    no kernel; empty for all others."""
    given = [v.array for v in operands if v is not None]
    x = given[0] if given else np.zeros(0)
    nan = any(is_float(a.dtype) and np.isnan(a.astype(np.float64)).any() for a in given)
    if operator in FLOATS.split() and x.dtype == np.float64 and not (np.abs(x) < 1e15).all():
        return "what overflows in floats does not in doubles"
    match operator:
        case "ReduceMean" if x.dtype.kind in "iu" and (np.abs(x.astype(np.float64)) > 1e9).any():
            return "both compute it in floats, which round, and the sum of integers overflows"
        case "GRU" | "LSTM" | "RNN" if len(operands) > 4 and operands[4] is not None and not moderate(given):
            return "gates that are not numbers are numbers in ONNX Runtime, where the reference knows no lengths"
        case "GRU" | "LSTM" | "RNN" if not all(np.isfinite(a.astype(np.float64)).all() for a in given):
            return "the products of both leave out terms with 0, of NaN and infinity too"
        case "AveragePool" | "LpPool" if max(attributes.get("dilations", [1])) > 1 and padded_by_size(attributes):
            return "both forget the dilations when they pad to the same size, each in its way"
        case "LinearClassifier" | "SVMClassifier" if not moderate([x]):
            return "its classes have scores that overflow"
        case "Erf" if x.dtype.kind in "iu":
            return "the reference computes it in floats, which round to 1 what is less, and no kernel else has it"
        case "MaxPool" if nan:
            return "ONNX Runtime skips NaN or not, by the rank; the reference fails where a window has no other"
        case "GlobalMaxPool" | "MaxUnpool" | "MaxRoiPool" | "ArgMax" | "ArgMin" | "Hardmax" if nan:
            return "no order is given to NaN"
        case "Unique" | "TopK" if nan:
            return "no order is given to NaN"
        case "DynamicQuantizeLinear" if not (np.abs(x.astype(np.float64)) < 1e37).all():
            return "its range is infinite"
        case "LRN" if not (np.abs(x.astype(np.float64)) < 1e15).all():
            return "ONNX Runtime keeps a running sum, in which NaN and infinity stay"
        case "DFT" | "STFT" if not all((np.abs(a.astype(np.float64)) < 1e15).all() for a in given):
            return "products of infinity and 0 are where the factors of the transform put them"
        case "Mod" if is_float(x.dtype):
            with np.errstate(all="ignore"):
                ratio = np.abs(x.astype(np.float64) / given[1].astype(np.float64))
            return "" if (ratio < 2.0**40).all() else "the remainder of a quotient without a fraction"
        case _:
            return ""


def moderate(arrays: Sequence[Any]) -> bool:
    """Whether all elements are numbers, none of them huge."""
    return all((np.abs(a.astype(np.float64)) < 1e6).all() for a in arrays)


def picks(node: NodeProto) -> bool:
    """Whether it is a Resize that takes the nearest element."""
    return node.op_type == "Resize" and not any(a.name == "mode" and a.s != b"nearest" for a in node.attribute)


def padded_by_size(attributes: Mapping[str, Any]) -> bool:
    return str(attributes.get("auto_pad", "")).startswith("SAME")


def ints(node: NodeProto, name: str) -> list[int]:
    return next((list(a.ints) for a in node.attribute if a.name == name), [])


def mixes_pads(node: NodeProto) -> bool:
    """Whether the reference of MaxPool, where windows neither step nor have holes, reads other pads than ONNX's: it
    wants begin and end of one axis after another, and on others than two axes takes the begins for their sums."""
    pads = ints(node, "pads")
    steps = any(n != 1 for n in (*ints(node, "strides"), *ints(node, "dilations")))
    return any(pads) and not steps and (len(pads) != 4 or pads[1] != pads[2])


def misread(node: NodeProto, given: Sequence[Any], opset: int) -> str:
    """What the reference has wrong about a node of ai.onnx on these arrays, so that only ONNX Runtime is asked."""
    x = given[0] if given else np.zeros(0)
    match node.op_type:
        case "ConvTranspose" if any(a.name == "group" and a.i > 1 for a in node.attribute):
            return "it mixes the groups"
        case "Conv" if any(d > 1 for d in ints(node, "dilations")) and not np.isfinite(x.astype(np.float64)).all():
            return "the gaps of its windows are zeros, which make infinities NaN"
        case "ConvInteger" | "QLinearConv" if any(a.s.startswith(b"SAME") for a in node.attribute):
            return "its padding to the same size forgets strides and dilations"
        case "QuantizeLinear" if not moderate([x]):
            return "what is beyond 32 bits comes out at the wrong end"
        case "AveragePool" | "LpPool" if is_float(x.dtype) and np.isnan(x.astype(np.float64)).any():
            return "its own padding is NaN, so that it leaves out any"
        case "Resize" if picks(node) and is_float(x.dtype) and not np.isfinite(x.astype(np.float64)).all():
            return "it multiplies the neighbours that it does not pick with 0, which makes infinities NaN"
        case "DeformConv" if x.dtype == np.float64:
            return "its points are float32"
        case "LpPool" if any(a.name == "ceil_mode" and a.i for a in node.attribute):
            return "windows that go beyond the end take more than there is"
        case "Shrink" | "Resize" if not is_float(x.dtype) and not picks(node) and not moderate([x]):
            return "it goes through floats, whose conversion back overflows"
        case "RoiAlign" if opset < 16:
            return "it takes half pixels off"
        case "LSTM" | "GRU" | "RNN" if len(node.input) > 4 and node.input[4]:
            return "it does not know of lengths"
        case "Unique" if any(a.name == "sorted" and not a.i for a in node.attribute):
            return "it takes along the first axis"
        case "GridSample" if {b"cubic", b"border"} <= {a.s for a in node.attribute}:
            return "it moves the point into the image, and not each of the pixels around it"
        case "GridSample" if not is_float(x.dtype):
            return "its weights are integers too"
        case "Loop" if len(node.input) < 2 or not node.input[1] or len(node.output) > len(node.input) - 2:
            return "without a condition it does nothing, and it joins what is scanned instead of stacking it"
        case "MaxPool" if any(k < s for k, s in zip(ints(node, "kernel_shape"), ints(node, "strides"), strict=False)):
            return "padding to the same size, it takes off what strides step over"
        case "MaxPool" if mixes_pads(node):
            return "where no window steps, it has its pads in another order, and off two dimensions none at their end"
        case "Softmax" | "LogSoftmax" | "Hardmax" if opset < 13:
            return "it knows only the axis of later versions"
        case "BatchNormalization" if opset < 14:
            return "it computes as in training"
        case "GlobalMaxPool" if x.ndim != 4:
            return "it gives other dimensions"
        case "LRN":
            return "it leaves out channels"
        case "LayerNormalization" if x.dtype.itemsize == 2:
            return "it gives the statistics another type"
        case "OneHot":
            return "it computes off + (on - off) * 0 or 1, which rounds, and is NaN beside infinity"
        case _:
            return ""


def misrun(node: NodeProto, inputs: Mapping[str, Any]) -> str:
    """What ONNX Runtime has wrong about a node of ai.onnx in a model with these inputs, so that only the reference is
    asked."""
    empty = any(not a.size for a in inputs.values())
    x = next((inputs[name] for name in node.input if name in inputs), np.zeros(0))
    match node.op_type:
        case "DeformConv" if is_float(x.dtype) and not np.isfinite(x.astype(np.float64)).all():
            return "neighbours that have no part in a point count, as infinity times 0"
        case "RoiAlign" if is_float(x.dtype) and not np.isfinite(x[..., :1, :1].astype(np.float64)).all():
            return "points outside are the first element times 0"
        case "Shrink" | "Resize" if not is_float(x.dtype) and not picks(node) and not moderate([x]):
            return "it goes through floats, whose conversion back overflows"
        case "RoiAlign" if any(a.name == "mode" and a.s == b"max" for a in node.attribute):
            return "it takes the greatest of weighted corners, as its own warning says"
        case "Scan" if empty and any("axes" in a.name for a in node.attribute):
            return "it divides by the number of elements when it transposes, which ends the process"
        case "LayerNormalization" if len(node.output) > 1 and not np.isfinite(x.astype(np.float64)).all():
            return "its mean of infinity and numbers is NaN"
        case "HammingWindow":
            return "its first weight is 0.54, and not 25 / 46"
        case _:
            return ""


STRINGS: Mapping[tuple[str, str], Sequence[str]] = {
    ("*", "auto_pad"): ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"),
    ("*", "direction"): ("LEFT", "RIGHT"),
    ("*", "approximate"): ("none", "tanh"),
    ("*", "reduction"): ("none", "add", "mul", "max", "min"),
    ("DepthToSpace", "mode"): ("DCR", "CRD"),
    ("*", "mode"): ("constant", "reflect", "edge", "wrap"),
}


def some_axes(d: Draw, rank: int) -> list[int]:
    """Distinct axes, from the front or from the end."""
    chosen = d.rng.sample(range(rank), d.rng.randint(1, rank)) if rank else []
    return [a - rank if d.flip(0.3) else a for a in chosen]


def axis(d: Draw, rank: int) -> int:
    if not rank:
        raise Misfit("no axis")
    return d.rng.randrange(-rank, rank)


def attribute(d: Draw, operator: str, name: str, kind: str, rank: int) -> Any:
    """A value for an attribute, by its name if that is known, else by its type; None to leave it out."""
    match name, kind:
        case (("axis" | "batch_axis" | "time_axis" | "start" | "end"), "INT"):
            return axis(d, rank)
        case "axes", "INTS":
            return some_axes(d, rank) or None
        case "perm", "INTS":
            return d.rng.sample(range(rank), rank) or None
        case (("to" | "dtype"), "INT"):
            return None
        case (("k" | "diagonal"), "INT"):
            return d.rng.randint(-3, 3)
        case "p", "INT":
            return d.rng.choice((1, 2))
        case "epsilon", "FLOAT":
            return d.rng.choice((1e-5, 1e-3))
        case _, "STRING":
            found = STRINGS.get((operator, name), STRINGS.get(("*", name)))
            return None if found is None else d.rng.choice(found)
        case _, "INT":
            return d.rng.choice((0, 1))
        case _, "FLOAT":
            return d.rng.choice((0.1, 0.25, 0.5, 1.0, 1.5, 2.0, -0.5))
        case _:
            return None


def integers(d: Draw, name: str, x: Variable) -> Variable:
    """An operand of integers, by its name."""
    shape = x.array.shape
    match name:
        case "axes":
            found = some_axes(d, len(shape))
        case "axis":
            return d.fixed(axis(d, len(shape)))
        case "shape":
            found = [s if s != 1 or d.flip() else d.size() for s in shape]
        case "repeats":
            found = [d.rng.choice((0, 1, 1, 2, 3)) for _ in shape]
        case "k":
            return d.fixed(d.rng.randint(-3, 3))
        case _:
            raise Misfit(f"no integers called {name}")
    return d.fixed(found)
