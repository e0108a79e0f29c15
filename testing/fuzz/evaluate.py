"""What ircc, ONNX's reference and ONNX Runtime make of a model, and whether they differ by more than rounding.

Bounds are not guessed: the reference runs node by node, and beside it run copies of it in which inputs and results of
every operator that rounds are moved by some units in the last place. How far a copy is off says how much rounding is
worth at each output: an operator with sums that cancel, or where its function is steep, gets what it needs.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np
from onnx import ModelProto, NodeProto, numpy_helper

from ... import compile as ircc_compile
from ...errors import Error, NeedsPython, UnsupportedError
from .draw import Array, is_float
from .operators import SMOOTH, narrows
from .peers import by_onnxruntime, finish, info, reads, run_node

# operators whose results on floats are the same bits in every implementation
EXACT = """
    Abs Cast CastLike Ceil CenterCropPad Clip Compress Concat Constant ConstantOfShape DepthToSpace Equal Expand EyeLike
    Flatten Floor Gather GatherElements GatherND GlobalMaxPool Greater GreaterOrEqual Hardmax Identity IsInf IsNaN Less
    LessOrEqual Max MaxPool MaxUnpool Min Neg NonZero OneHot Pad Range ReduceMax ReduceMin Relu Reshape ReverseSequence
    Round Scatter ScatterElements ScatterND Shape Sign Size Slice SpaceToDepth Split Squeeze TensorScatter Tile TopK
    ThresholdedRelu Transpose Trilu Unique Unsqueeze Upsample Where
"""
# operators that jump: a float that was rounded otherwise may give another result altogether
JUMPS = """
    BitCast Cast CastLike Ceil Compress DynamicQuantizeLinear Equal Floor GridSample Hardmax MaxRoiPool Mod
    NonMaxSuppression QuantizeLinear Resize RoiAlign Round Shrink Sign ThresholdedRelu TopK Unique Upsample Where
"""
# operators with coefficients, gates or steps between that are rounded: an element is off by what the largest would be
TRANSFORMS = """
    BiasGelu BlackmanWindow DFT FastGelu FusedConv FusedGemm GRU Gelu HammingWindow HannWindow If LSTM LinearClassifier
    LinearRegressor Loop QuickGelu RNN STFT SVMClassifier SVMRegressor Scan TreeEnsemble TreeEnsembleClassifier
    TreeEnsembleRegressor
"""
# operators that add terms up, in an order of their own: where terms overflow, any order may give inf, -inf or NaN
SUMS = """
    Attention AveragePool BatchNormalization CausalConvWithState Conv ConvTranspose CumProd CumSum DFT DeformConv
    Det Einsum FusedConv FusedGemm FusedMatMul GRU Gemm GlobalAveragePool GlobalLpPool GridSample
    GroupNormalization InstanceNormalization LRN LSTM LayerNormalization LinearAttention LinearClassifier
    LinearRegressor LogSoftmax LpNormalization LpPool MatMul MatMulNBits Mean MeanVarianceNormalization
    MultiHeadAttention NegativeLogLikelihoodLoss RMSNormalization RNN ReduceL1 ReduceL2 ReduceLogSum
    ReduceLogSumExp ReduceMean ReduceProd ReduceSum ReduceSumSquare Resize RoiAlign STFT SVMClassifier SVMRegressor
    SkipLayerNormalization SkipSimplifiedLayerNormalization Softmax SoftmaxCrossEntropyLoss Sum Upsample
"""
# those that divide by such a sum: what comes of one that overflows is no larger than other results
DIVIDES = """
    GroupNormalization InstanceNormalization LRN LayerNormalization LpNormalization MeanVarianceNormalization
    RMSNormalization SkipLayerNormalization SkipSimplifiedLayerNormalization
"""
# operators that multiply with 1 + erf(x), or a sigmoid: where that is nearly 0, it is what rounding next to 1 leaves
GATES = "BiasGelu FastGelu Gelu QuickGelu"
# operators whose results are what is left of coefficients near 1
WINDOWS = "BlackmanWindow HammingWindow HannWindow"
# operators that take the logarithm of a probability, in the reference of one that was rounded: near 1 that is 0
LOGARITHMS = "LogSoftmax SoftmaxCrossEntropyLoss"
ULPS, TRACKS = 4.0, 3  # how far a copy is moved, and how many copies there are, the last one moved against the first
SLACK, LEAST = 16.0, 16.0  # bounds: times what copies are off, and units in the last place of the result
EPS = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}


def eps_of(dtype: Any) -> float:
    return EPS.get(np.dtype(dtype).name, 0.0)


def moved(
    array: Array, rng: np.random.Generator, ulps: float = ULPS, *, largest: bool = False, least: float = 0.0,
    beside: Array | None = None,
) -> Array:  # fmt: skip
    """Floats moved by some units in the last place, each by its own, or by those of the largest, or of what is beside
    it; a unit is at least so much of the element."""
    eps = max(eps_of(array.dtype), least if is_float(array.dtype) else 0.0)
    if not eps or not array.size:
        return array
    off = rng.choice([-1.0, 1.0], array.shape) * rng.uniform(0.5, 1.0, array.shape) * ulps * eps
    with np.errstate(all="ignore"):
        wide = array.astype(np.float64)
        most = np.where(np.isfinite(wide), np.abs(wide), 0).max()
        found = wide + most * off if largest else wide * (1 + off)
        if beside is not None:
            found = found + beside * off
        return np.asarray(found).astype(array.dtype)


def beside(shape: tuple[int, ...], inputs: Sequence[Array]) -> Array:
    """How large elements may be on their way through a body: as those of the inputs at their place, or about 1."""
    found = np.ones(shape)
    for array in inputs:
        if array.shape == shape and is_float(array.dtype):
            wide = np.abs(array.astype(np.float64))
            found = np.maximum(found, np.where(np.isfinite(wide), wide, 0))
    return found


def rounds(node: NodeProto, inputs: Sequence[Array], outputs: Sequence[Array]) -> bool:
    """True when implementations may differ in the last bits."""
    floats = any(is_float(a.dtype) for a in (*inputs, *outputs))
    if node.op_type in ("Cast", "CastLike"):
        return False
    interpolates = any(a.s == b"linear" for a in node.attribute)  # Upsample, which else copies
    return floats and (node.op_type not in EXACT.split() or interpolates)


def huge(array: Array) -> bool:
    """True when a product of two of the finite elements may overflow."""
    if not is_float(array.dtype) or not array.size:
        return False
    wide = array.astype(np.float64)
    most = np.where(np.isfinite(wide), np.abs(wide), 0).max()
    return bool(most > float(ml_dtypes.finfo(array.dtype).max) ** 0.5 / array.size)


def overflown(array: Array, copy: int, divided: bool) -> Array:
    """What overflowed, or may have on the way, as something else in each copy, so that nothing is known of it, or of
    what comes of it; all of it where it was divided by what may have overflowed."""
    if not is_float(array.dtype):
        return array
    wide = array.astype(np.float64)
    known = np.isfinite(wide) & (np.abs(wide) < float(ml_dtypes.finfo(array.dtype).max) ** 0.5) & (not divided)
    return np.where(known, array, (np.nan, np.inf)[copy % 2]).astype(array.dtype)


@dataclass
class Tracks:
    """The values of a model by the reference, and those of the copies that are moved; `second`: what ONNX Runtime has
    where that is something else."""

    values: dict[str, Array] = field(default_factory=dict[str, Array])
    second: dict[str, Array] = field(default_factory=dict[str, Array])
    copies: list[dict[str, Array]] = field(default_factory=list[dict[str, Array]])
    exact: set[str] = field(default_factory=set[str])

    def start(self, given: Mapping[str, Array]) -> None:
        """Inputs and constants."""
        self.values.update(given)
        self.copies = self.copies or [{} for _ in range(TRACKS)]
        for copy in self.copies:
            copy.update(given)
        self.exact.update(given)

    def step(self, node: NodeProto, opset: int) -> list[str]:
        """Run a node in all tracks. Gives the names of its outputs; raises whatever the reference raises."""
        names = [name for name in node.output if name]
        found = run_node(node, self.values, opset)
        inputs = [self.values[name] for name in reads(node)]
        wobbly = rounds(node, inputs, found)
        narrow = narrows(node)
        whole = narrow or node.op_type in TRANSFORMS.split()
        exact = not wobbly and all(name in self.exact for name in reads(node))
        for k, copy in enumerate(self.copies):
            if exact:
                copy.update(zip(names, found, strict=True))
                continue
            rng = np.random.default_rng([k % 2, len(self.values)])
            ulps = -ULPS if k == 2 else ULPS
            given = {name: moved(copy[name], rng, ulps) if wobbly else copy[name] for name in reads(node)}
            try:
                results = run_node(node, given, opset)
                same = all(a.shape == b.shape for a, b in zip(found, results, strict=True))
            except Exception:  # moved across an edge: nothing is known of the bound, and nothing assumed
                same, results = False, found
            results = results if same else [np.full_like(f, np.nan) if is_float(f.dtype) else f for f in found]
            if node.op_type in SUMS.split() and any(huge(a) for a in inputs):
                results = [overflown(r, k, node.op_type in DIVIDES.split()) for r in results]
            least = EPS["float32"] if narrow else 0.0
            activated = any(a.name == "activation" for a in node.attribute)  # a body as those of SMOOTH, at the end
            floored = activated or node.op_type in f"{SMOOTH} {LOGARITHMS} {GATES} {WINDOWS}".split()
            floors = [beside(r.shape, inputs) if floored else None for r in results]
            results = [
                moved(r, rng, ulps, largest=whole, least=least, beside=floor) if wobbly else r
                for r, floor in zip(results, floors, strict=True)
            ]
            copy.update(zip(names, results, strict=True))
        given = {name: self.values[name] for name in reads(node)}
        self.values.update(zip(names, found, strict=True))
        self.exact.update(names if exact else ())
        model = finish([node], [info(k, v) for k, v in given.items()], [], names, self.values, opset)
        peer = by_onnxruntime(model, given) or {}
        self.second.update({k: v for k, v in peer.items() if agree(v, self.values[k], self.bound(k))})
        return names

    def differs(self, name: str, found: Array) -> str:
        """Empty when the array is what the reference, or where the peers differ one of them, has, element by element;
        else in which way it is not."""
        value, bound = self.values[name], self.bound(name)
        against, second = agree(found, value, bound), self.second.get(name)
        if not against or second is None:
            return against
        with np.errstate(all="ignore"):
            wide = second.astype(np.float64)
            least = np.where(np.isfinite(wide), SLACK * LEAST * eps_of(second.dtype) * np.abs(wide), 0)
        least = least + (bound if bound.shape == least.shape else 0)
        alike = all(a.shape == value.shape and a.dtype == value.dtype for a in (found, second))
        if alike and not (off(found, value, bound) & off(found, second, least)).any():
            return ""
        return agree(found, second, least) and f"{against}, nor the other"

    def bound(self, name: str) -> Array:
        """How much elements may be off; infinite where it is not known."""
        value = self.values[name]
        if name in self.exact or not is_float(value.dtype):
            return np.zeros(value.shape)
        v = value.astype(np.float64)
        with np.errstate(all="ignore"):
            off = np.stack([np.abs(copy[name].astype(np.float64) - v) for copy in self.copies]).max(0)
            same = np.stack([np.isnan(c[name].astype(np.float64)) == np.isnan(v) for c in self.copies]).all(0)
            beside = np.stack([copy[name].astype(np.float64) for copy in self.copies])
            off = np.where(np.isinf(v) & (beside == v).all(0), 0, off)
            off = np.where(np.isnan(off), np.where(np.isnan(v) & same, 0, np.inf), off)
            tiny = float(ml_dtypes.finfo(value.dtype).tiny)
            return SLACK * off + LEAST * eps_of(value.dtype) * np.abs(np.where(np.isfinite(v), v, 0)) + 4 * tiny


def off(a: Array, b: Array, bound: Array) -> Array:
    """Which elements of two arrays of one shape and type differ by more than the bound."""
    if not is_float(a.dtype):
        return (a != b) & (bound < np.inf)
    x, y = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(all="ignore"):
        near = np.abs(x - y) <= bound
    finite = [np.where(np.isfinite(z), np.abs(z), 0) for z in (x, y)]  # one overflows, the other is almost there
    over = (np.isfinite(x) != np.isfinite(y)) & (np.maximum(*finite) + bound >= float(ml_dtypes.finfo(a.dtype).max))
    return np.asarray(~((np.isnan(x) & np.isnan(y)) | (x == y) | near | np.isinf(bound) | over))


def agree(a: Array, b: Array, bound: Array) -> str:
    """Empty when both are the same within the bound, else in which way they differ."""
    if a.shape != b.shape or bound.shape != a.shape:
        return f"shape {list(a.shape)} against {list(b.shape)}"
    if a.dtype != b.dtype:
        return f"type {a.dtype} against {b.dtype}"
    wrong = off(a, b, bound)
    if not wrong.any():
        return ""
    place = tuple(int(i) for i in np.argwhere(wrong)[0])
    return f"{int(wrong.sum())} of {wrong.size} elements, at {list(place)} {a[place]} against {b[place]}"


@dataclass
class Verdict:
    """`status`: pass, mismatch, refused (the reference runs it, ircc calls it wrong), unsupported, error, unknown (the
    reference does not run it), crash, timeout."""

    status: str
    reason: str = ""
    output: str = ""

    @property
    def failed(self) -> bool:
        return self.status in ("mismatch", "refused", "error", "crash", "timeout")


def tracks_of(model: ModelProto, inputs: Mapping[str, Array]) -> Tracks:
    """The reference's values of a model, node by node. Raises whatever the reference raises."""
    tracks = Tracks()
    tracks.start({**inputs, **{t.name: numpy_helper.to_array(t) for t in model.graph.initializer}})
    for node in model.graph.node:
        tracks.step(node, model.opset_import[0].version)
    return tracks


def by_ircc(model: ModelProto, inputs: Mapping[str, Array]) -> dict[str, Array]:
    os.environ["IRCC_CACHE_SIZE"] = "0"  # none of these models comes again
    return ircc_compile(model).run(inputs)


def judge(model: ModelProto, inputs: Mapping[str, Array], tracks: Tracks | None = None) -> Verdict:
    """The three beside each other. A model that ircc says it has not yet is no failure; one that the reference
    runs and that ircc calls wrong is one."""
    logging.disable(logging.WARNING)
    if tracks is None:
        try:
            tracks = tracks_of(model, inputs)
        except Exception as error:
            return Verdict("unknown", f"the reference: {error}"[:200])
    try:
        found = by_ircc(model, inputs)
    except (UnsupportedError, NeedsPython) as error:
        return Verdict("unsupported", str(error).splitlines()[-1].strip()[:300])
    except Error as error:
        # a rank that depends on a size needs a number for it, which ircc asks for: that is not to have it yet
        status = "unsupported" if "fix it with --shape" in str(error) else "refused"
        return Verdict(status, " ".join(f"{type(error).__name__}: {error}".split())[:300])
    except Exception as error:
        return Verdict("error", " ".join(f"{type(error).__name__}: {error}".split())[:300])
    wrong = {o.name: why for o in model.graph.output if (why := tracks.differs(o.name, found[o.name]))}
    peer = by_onnxruntime(model, inputs) if wrong else None
    for name, why in wrong.items():
        if peer is None or agree(found[name], peer[name], tracks.bound(name)):
            return Verdict("mismatch", f"{why} ({'reference' if peer is None else 'both'})", name)
    return Verdict("pass")
