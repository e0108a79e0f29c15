"""Constant data: what stands in the text, what is referred to, and that the bits are always the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps
from xdsl.parser import Parser

from ircc.dialects import context
from ircc.errors import IRError
from ircc.ir import weights
from ircc.ir.types import DTYPES, SMALL_DTYPES, bits_of, element_of
from ircc.ir.weights import INLINE, Content, Weight, array_of, folder, inline_weights, keep, provide

Array = np.ndarray[Any, Any]
ALL = sorted(DTYPES.values(), key=str)
FLOATS = [d for d in ALL if d.kind == "f" or d.name == "bfloat16"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Data that passes make goes to a folder of the test's own."""
    monkeypatch.setenv("IRCC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is remembered, as in another process."""
    known: dict[str, Array] = {}
    monkeypatch.setattr(weights, "_known", known)
    yield
    known.clear()


def forget() -> None:
    known: dict[str, Array] = vars(weights)["_known"]
    known.clear()


def reread(text: str) -> Weight:
    attribute = Parser(context(), text).parse_attribute()
    assert isinstance(attribute, Weight)
    return attribute


def bits(array: Array) -> bytes:
    return array.tobytes()


def random_bits(dtype: np.dtype[Any], count: int, seed: int = 0) -> Array:
    """Any bits at all: NaN with every payload, subnormals, both zeros."""
    if dtype.kind == "b":
        return np.random.default_rng(seed).integers(0, 2, count).astype(np.bool_)
    return of_bits(np.random.default_rng(seed).bytes(count * dtype.itemsize), dtype)


def of_bits(raw: bytes, dtype: np.dtype[Any]) -> Array:
    """The bytes as elements; those of small types have nothing above their bits."""
    if dtype in SMALL_DTYPES:
        return (np.frombuffer(raw, np.uint8) & ((1 << bits_of(element_of(dtype))) - 1)).astype(np.uint8).view(dtype)
    return np.frombuffer(raw, dtype)


# ---- the same bits


@pytest.mark.parametrize("dtype", ALL, ids=str)
@given(data=st.data())
def test_short_constants_stand_in_the_text(dtype: np.dtype[Any], data: st.DataObject) -> None:
    count = data.draw(st.integers(0, INLINE))
    raw = data.draw(st.binary(min_size=count * dtype.itemsize, max_size=count * dtype.itemsize))
    array = np.frombuffer(raw, np.uint8) % 2 == 1 if dtype.kind == "b" else of_bits(raw, dtype)
    weight = Weight.of(array, name="c")
    text = str(weight)
    assert "sha256" not in text and text.startswith("#ir.weight<[")
    again = reread(text)
    assert again == weight and hash(again) == hash(weight) and str(again) == text
    assert bits(array_of(again, dtype, array.shape)) == bits(array)


@pytest.mark.parametrize("dtype", ALL, ids=str)
def test_all_types_in_full_and_by_reference(dtype: np.dtype[Any]) -> None:
    array = random_bits(dtype, 60).reshape(3, 4, 5)
    weight = Weight.of(array, file="m.onnx", name='a"b')
    text = str(weight)
    assert text.startswith('#ir.weight<"m.onnx", "a')
    assert reread(text) == weight
    assert bits(array_of(reread(text), dtype, (3, 4, 5))) == bits(array)
    with inline_weights():
        full = str(weight)
    assert "m.onnx" not in full
    assert bits(array_of(reread(full), dtype, (3, 4, 5))) == bits(array)
    assert str(weight) == text  # the block is over


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_special_values_keep_their_bits(dtype: np.dtype[Any]) -> None:
    with np.errstate(over="ignore"):
        numbers = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1 / 3, 1e-42, -1e38, 65504.0]).astype(dtype)
    payloads = np.array([-1, -2], f"i{dtype.itemsize}").view(dtype)  # negative NaN with payloads
    array = np.concatenate([numbers, payloads])
    text = str(Weight.of(array))
    assert '"0x' in text and "nan" not in text and "inf" not in text
    assert bits(array_of(reread(text), dtype, array.shape)) == bits(array)


@given(nps.arrays(np.float32, nps.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)))
def test_every_shape(array: Array) -> None:
    weight = Weight.of(array)
    found = array_of(reread(str(weight)), array.dtype, array.shape)
    assert found.shape == array.shape and bits(found) == bits(array)


def test_strided_data_has_the_hash_of_its_elements() -> None:
    array = np.arange(60, dtype=np.int64).reshape(6, 10)
    assert Content(array.T).sha256 == Content(np.ascontiguousarray(array.T)).sha256 != Content(array).sha256


# ---- equality


def test_equality_is_by_content() -> None:
    array = np.arange(40, dtype=np.float32)
    assert Weight.of(array, file="a", name="x") == Weight.of(array.copy(), file="b", name="y")
    assert Weight.of(array) != Weight.of(array + 1)
    assert Weight.of(array[:3]) == Weight.of(array[:3].copy(), name="other")
    assert Weight.of(array[:3]) != Weight.of(array[:4])
    assert Content(array) != "array"
    assert len({Weight.of(array), Weight.of(array.copy()), Weight.of(array[:2])}) == 2


def test_the_type_must_fit() -> None:
    weight = Weight.of(np.zeros(20, np.float32), name="w")
    assert array_of(weight, np.dtype(np.float32), (4, 5)).shape == (4, 5)
    for dtype, shape in ((np.float32, (4, 4)), (np.int32, (20,))):
        with pytest.raises(IRError, match="constant w: data is float32"):
            array_of(weight, np.dtype(dtype), shape)


# ---- where data is found


def test_a_file_provides_it_once(elsewhere: None) -> None:
    array = random_bits(np.dtype(ml_dtypes.bfloat16), 33)
    text = str(Weight.of(array, file="m.onnx", name="w"))
    forget()
    asked: list[tuple[str, str]] = []

    def read(file: str, name: str) -> Array:
        asked.append((file, name))
        return array

    weight = reread(text)
    for _ in range(2):
        provide(weight.data, read)
    assert asked == [("m.onnx", "w")]
    assert bits(array_of(weight, array.dtype, (33,))) == bits(array)


def test_a_wrong_hash_is_an_error(elsewhere: None) -> None:
    array = np.arange(20, dtype=np.float32)
    weight = reread(str(Weight.of(array, file="m.onnx", name="w")))
    with pytest.raises(IRError, match=r"weight 'w' of m\.onnx: sha256 is") as caught:
        provide(weight.data, lambda file, name: array + 1)
    assert "changed since the text was printed" in str(caught.value.hint)


def test_data_of_passes_is_kept_by_its_hash(elsewhere: None, cache: Path) -> None:
    array = random_bits(np.dtype(np.float16), 50).reshape(5, 10)
    weight = Weight.of(array)
    text = str(weight)
    keep(weight.data)
    keep(weight.data)
    assert folder() == cache / "weights"
    assert [p.name for p in folder().iterdir()] == [weight.data.sha256]
    forget()
    assert bits(array_of(reread(text), array.dtype, (5, 10))) == bits(array)


def test_data_that_is_nowhere(elsewhere: None) -> None:
    weight = Weight.of(np.arange(20, dtype=np.float32))
    text = str(weight)
    forget()
    with pytest.raises(IRError, match=f"no data for weight {weight.data.sha256}") as caught:
        array_of(reread(text), np.dtype(np.float32), (20,))
    assert "IRCC_CACHE" in str(caught.value.hint)


@pytest.mark.parametrize("damage", [b"", b"\0" * 80, b"\0" * 81])
def test_damaged_data_is_an_error(elsewhere: None, damage: bytes) -> None:
    weight = Weight.of(np.arange(20, dtype=np.float32))
    text = str(weight)
    keep(weight.data)
    forget()
    (folder() / weight.data.sha256).write_bytes(damage)
    with pytest.raises(IRError, match="does not have its hash"):
        array_of(reread(text), np.dtype(np.float32), (20,))


def test_what_has_a_file_or_values_is_not_kept(cache: Path) -> None:
    keep(Weight.of(np.arange(3)).data)
    keep(Weight.of(np.arange(30), file="m.onnx", name="w").data)
    assert not cache.exists()


# ---- text that lies


@pytest.mark.parametrize(
    ("text", "dtype"),
    [
        ('#ir.weight<["0xzz"]>', np.float32),
        ('#ir.weight<["0x1ffffffff"]>', np.float32),
        ("#ir.weight<[300]>", np.int8),
        ("#ir.weight<[1.5]>", np.int32),
        ("#ir.weight<[1, 2]>", np.float32),
        ("#ir.weight<[-1]>", np.uint8),
        ("#ir.weight<[7]>", np.bool_),
        ("#ir.weight<[true]>", np.int32),
        ("#ir.weight<[true]>", np.float32),
    ],
)
def test_values_that_do_not_fit_the_type(text: str, dtype: Any) -> None:
    with pytest.raises(IRError):
        array_of(reread(text), np.dtype(dtype), (1,))
