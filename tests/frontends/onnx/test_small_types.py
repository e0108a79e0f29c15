"""Types of fewer than 8 bits and floats of 8: how files hold them, and what compiled code makes of every value."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference.ops.op_cast import cast_to

import ircc
from ircc.errors import ModelError
from ircc.frontends.onnx.source import DTYPES, Source
from ircc.ir.types import SMALL_DTYPES, bits_of, element_of, is_small_float

Array = np.ndarray[Any, Any]
CODES: dict[str, Any] = {
    onnx.TensorProto.DataType.Name(code): code for code, (dtype, _) in DTYPES.items() if dtype in SMALL_DTYPES
}
FLOATS = [name for name, code in CODES.items() if is_small_float(element_of(DTYPES[code][0]))]
POWER = "FLOAT8E8M0"


def every(code: int) -> Array:
    """All values of a small type."""
    dtype = DTYPES[code][0]
    return np.arange(2 ** bits_of(element_of(dtype)), dtype=np.uint8).view(dtype)


def same(found: Array, expected: Array) -> None:
    """The same bits, or NaN both."""
    assert found.dtype == expected.dtype and found.shape == expected.shape
    unit = f"u{found.dtype.itemsize}"
    wrong = (found.view(unit) != expected.view(unit)) & ~((found != found) & (expected != expected))
    assert not wrong.any(), (found[wrong][:5], expected[wrong][:5])


def test_every_type_that_onnx_has_is_known() -> None:
    packed = {"INT2", "UINT2", "INT4", "UINT4", "FLOAT4E2M1"}
    assert packed | {"FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ", POWER} <= set(CODES)


# ---- files


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 8, 31])
@pytest.mark.parametrize("name", CODES)
def test_initializers_are_unpacked(name: str, count: int) -> None:
    rng = np.random.default_rng(count)
    array = rng.choice(every(CODES[name]).view(np.uint8), count).view(DTYPES[CODES[name]][0])
    raw = numpy_helper.from_array(array, "w")
    bits = bits_of(element_of(array.dtype))
    assert len(raw.raw_data) == -(-count * bits // 8)
    typed = TensorProto(name="w", data_type=raw.data_type, dims=list(raw.dims))
    stored = raw.raw_data if bits in (2, 4, 8) else array.tobytes()
    typed.int32_data.extend(stored)
    source = Source(onnx.ModelProto())
    for tensor in (raw, typed):
        same(source.array(tensor), array)
        same(source.array(tensor), numpy_helper.to_array(tensor))


@pytest.mark.parametrize("name", CODES)
def test_data_of_another_length_is_refused(name: str) -> None:
    tensor = numpy_helper.from_array(every(CODES[name])[:3], "w")
    tensor.dims[0] = 30
    with pytest.raises(ModelError, match="bytes"):
        Source(onnx.ModelProto()).array(tensor)


# ---- conversion, in compiled code


def casts(x: Array, targets: list[tuple[str, dict[str, Any]]], version: int = 25) -> list[Array]:
    """x in other types, by one compiled model."""
    nodes = [
        helper.make_node("Cast", ["x"], [f"y{i}"], to=TensorProto.DataType.Value(to), **given)
        for i, (to, given) in enumerate(targets)
    ]
    infos = [
        helper.make_tensor_value_info(f"y{i}", TensorProto.DataType.Value(to), ["N"])
        for i, (to, _) in enumerate(targets)
    ]
    info = helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(x.dtype), ["N"])
    graph = helper.make_graph(nodes, "casts", [info], infos)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)], ir_version=13)
    return list(ircc.compile(model, threads=1).run({"x": x}).values())


@pytest.mark.parametrize("name", CODES)
def test_every_value_becomes_a_number(name: str) -> None:
    x = every(CODES[name])
    targets = ["FLOAT", "DOUBLE", "FLOAT16", "BFLOAT16", "BOOL"]
    found = casts(x, [(to, {}) for to in targets])
    for to, array in zip(targets, found, strict=True):
        with np.errstate(over="ignore"):  # powers of two beyond float16
            same(array, x.astype(np.float32).astype(DTYPES[TensorProto.DataType.Value(to)][0]))


@pytest.mark.parametrize("name", [n for n in CODES if n not in FLOATS])
def test_integers_wrap_around(name: str) -> None:
    code = CODES[name]
    for x in (np.arange(-300, 300, dtype=np.int64), np.arange(-1200, 1200, dtype=np.float32) / 4):
        (found,) = casts(x, [(name, {})])
        same(found, x.astype(DTYPES[code][0]))
    x = every(code)
    found = casts(x, [("INT8", {}), ("UINT8", {}), ("INT64", {})])
    for array, dtype in zip(found, (np.int8, np.uint8, np.int64), strict=True):
        np.testing.assert_array_equal(array, x.astype(np.int64).astype(dtype))


def numbers() -> Array:
    """Ties of every type, their neighbours, the largest, infinities, NaN."""
    rng = np.random.default_rng(0)
    ties = (rng.integers(1, 64, 3000) + 0.5) * 2.0 ** rng.integers(-24, 14, 3000)
    ends = [
        448,
        464,
        465,
        57344,
        61440,
        61439,
        240,
        248,
        247.9,
        6,
        7,
        5,
        7.5,
        28,
        30,
        0.25,
        2.0**-9,
        2.0**-10,
        2.0**-17,
    ]
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, 3.3e38, 2.0**-127, 3 * 2.0**-128, 2.0**-126]
    near = ties.astype(np.float32)
    found = [near, np.nextafter(near, np.float32(np.inf)), np.nextafter(near, np.float32(0)), ends, special]
    return np.concatenate([np.concatenate(found), -np.concatenate(found)]).astype(np.float32)


@pytest.mark.parametrize("source", [np.float32, np.float16, ml_dtypes.bfloat16, np.float64])
def test_floats_are_rounded_and_saturated(source: Any) -> None:
    with np.errstate(over="ignore"):
        x = numbers().astype(source)
    targets: list[tuple[str, dict[str, Any]]]
    targets = [(name, {"saturate": flag}) for name in FLOATS if name != POWER for flag in (1, 0)]
    targets += [(POWER, {"saturate": flag, "round_mode": m}) for flag in (1, 0) for m in ("up", "down", "nearest")]
    for (name, given), found in zip(targets, casts(x, targets), strict=True):
        with np.errstate(all="ignore"):
            same(found, cast_to(x, CODES[name], bool(given["saturate"]), given.get("round_mode", "up")))


def test_small_types_are_moved() -> None:
    model = onnx.parser.parse_model("""
        <ir_version: 10, opset_import: ["" : 21]>
        g (int4[N, 6] x, int4[N, 2] w) => (int4[M, N] y) {
            c = Concat <axis = 1> (x, w)
            t = Transpose <perm = [1, 0]> (c)
            starts = Constant <value_ints = [1]> ()
            ends = Constant <value_ints = [-1]> ()
            y = Slice (t, starts, ends)
        }
    """)
    rng = np.random.default_rng(0)
    x, w = (rng.integers(0, 16, (3, n)).astype(np.uint8).view(ml_dtypes.int4) for n in (6, 2))
    (y,) = ircc.compile(model, threads=1).run({"x": x, "w": w}).values()
    same(y, np.concatenate([x, w], 1).T[1:-1])
