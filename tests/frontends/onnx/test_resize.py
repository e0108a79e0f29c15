"""Resize and Upsample whose scales, sizes and regions arrive when the model runs, compiled, against ONNX's
reference, or ONNX Runtime for versions of which the reference knows nothing."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

import ircc
from ircc.errors import Error

Array = np.ndarray[Any, Any]
NAMES = ("x", "roi", "scales", "sizes")
RNG = np.random.default_rng(7)
X = RNG.standard_normal((2, 1, 5, 7)).astype(np.float32)


def floats(*values: float) -> Array:
    return np.array(values, np.float32)


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


def model_of(feeds: dict[str, Array], opset: int, **attributes: Any) -> onnx.ModelProto:
    """One node whose inputs are all inputs of the model."""
    infos = [
        helper.make_tensor_value_info(
            name,
            helper.np_dtype_to_tensor_dtype(array.dtype),
            [f"{name}{i}" for i in range(array.ndim)] if name == "x" else array.shape,
        )
        for name, array in feeds.items()
    ]
    older = opset < 11
    names = [name if name in feeds else "" for name in (("x", "scales") if older else NAMES)]
    while not names[-1]:
        names.pop()
    node = helper.make_node("Upsample" if opset < 10 else "Resize", names, ["y"], **attributes)
    code = helper.np_dtype_to_tensor_dtype(feeds["x"].dtype)
    result = helper.make_tensor_value_info("y", code, [None] * feeds["x"].ndim)
    graph = helper.make_graph([node], "one", infos, [result])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def check(feeds: dict[str, Array], opset: int = 19, reference: bool = True, **attributes: Any) -> None:
    """Compiled with sizes of x that are symbols."""
    model = model_of(feeds, opset, **attributes)
    if reference:
        (expected,) = ReferenceEvaluator(model).run(None, feeds)
    else:
        (expected,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, feeds)
    (found,) = ircc.compile(model).run(feeds).values()
    assert isinstance(expected, np.ndarray)
    assert found.dtype == expected.dtype and found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "attributes",
    [
        {"mode": "nearest", "nearest_mode": "round_prefer_ceil", "coordinate_transformation_mode": "asymmetric"},
        {"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "align_corners"},
        {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"},
        {"mode": "linear", "coordinate_transformation_mode": "half_pixel_symmetric"},
        {"mode": "cubic", "exclude_outside": 1, "cubic_coeff_a": -0.5},
    ],
)
def test_scales(attributes: dict[str, Any]) -> None:
    """One axis grows, one shrinks, two stay."""
    check({"x": X, "scales": floats(1, 1, 1.7, 0.6)}, **attributes)


@pytest.mark.parametrize("mode", ["linear", "cubic"])
def test_antialias(mode: str) -> None:
    """The number of taps is data, and different for each axis."""
    check({"x": X, "scales": floats(0.3, 1.5)}, mode=mode, antialias=1, axes=[3, 2])


def test_region() -> None:
    """Partly outside of x."""
    feeds = {"x": X, "roi": floats(0, 0, -0.3, 0.2, 1, 1, 0.6, 1.4), "sizes": ints(2, 1, 4, 9)}
    how: dict[str, Any] = {"coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 9.5}
    check(feeds, reference=False, mode="linear", **how)


@pytest.mark.parametrize("policy", ["not_larger", "not_smaller"])
def test_aspect(policy: str) -> None:
    check({"x": X, "sizes": ints(8, 9)}, keep_aspect_ratio_policy=policy, axes=[2, 3])


def test_older() -> None:
    check({"x": X, "scales": floats(1, 1, 2.5, 1)}, opset=9, reference=False, mode="nearest")
    check({"x": X, "scales": floats(1, 1, 0.5, 0.4)}, opset=10, reference=False, mode="nearest")


def test_an_axis_that_stays_does_not_mix() -> None:
    """An infinite element stays alone along axes of scale 1."""
    x = X[:1].copy()
    x[0, 0, 1, 1] = np.inf
    x[0, 0, 3, 4] = np.nan
    (found,) = (
        ircc.compile(model_of({"x": x, "scales": floats(1, 1, 1, 1)}, 19, mode="cubic"))
        .run({"x": x, "scales": floats(1, 1, 1, 1)})
        .values()
    )
    np.testing.assert_array_equal(found, x)


def test_integers_round() -> None:
    x = RNG.integers(0, 256, (1, 1, 4, 5)).astype(np.uint8)
    check({"x": x, "scales": floats(1, 1, 2, 0.7)}, mode="linear")


@pytest.mark.parametrize("scale", [0.05, 1])
def test_empty(scale: float) -> None:
    """A size that rounds to nothing, of a tensor with elements and of one without."""
    x = X if scale < 1 else X[:, :, :0]
    feeds = {"x": x, "scales": floats(1, 1, scale, 1)}
    (found,) = ircc.compile(model_of(feeds, 19, mode="linear")).run(feeds).values()
    assert found.shape == (2, 1, 0, 7)


@pytest.mark.parametrize("scale", [-1, np.nan, np.inf])
def test_a_scale_that_is_none_ends_the_run(scale: float) -> None:
    feeds = {"x": X, "scales": floats(1, 1, scale, 1)}
    compiled = ircc.compile(model_of(feeds, 19, mode="nearest"))
    with pytest.raises(Error):
        compiled.run(feeds)
