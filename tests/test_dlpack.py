"""Arrays of other libraries by DLPack, in and out, without a copy: those of NumPy's types and those that it lacks."""

import gc
import importlib
import weakref
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnx.parser
import pytest

import ircc
from ircc.errors import Error, InputError
from ircc.runtime import dlpack

TYPES = {
    "float": "float32", "double": "float64", "float16": "float16", "int8": "int8", "uint64": "uint64", "bool": "bool",
    "bfloat16": "bfloat16", "float8e4m3fn": "float8_e4m3fn", "float8e4m3fnuz": "float8_e4m3fnuz",
    "float8e5m2": "float8_e5m2", "float8e5m2fnuz": "float8_e5m2fnuz",
}  # fmt: skip


NEW = np.lib.NumpyVersion(np.__version__) >= "2.1.0"  # NumPy knows DLPack 1.0


class Tensor:
    """An array of another library. `old`: one that knows DLPack as it was before 1.0."""

    def __init__(self, array: np.ndarray[Any, Any], old: bool = False, device: tuple[int, int] = (1, 0)) -> None:
        self.array, self.old, self.device = dlpack.exporting(array), old, device
        self.given = 0

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device

    def __dlpack__(self, **options: Any) -> object:
        if self.old and options:
            raise TypeError(f"unexpected {options}")
        self.given += 1
        return self.array.__dlpack__(**options)

    def __array__(self, *_: Any, **__: Any) -> np.ndarray[Any, Any]:
        raise AssertionError("this would copy")


def compiled(type_: str) -> ircc.Engine:
    """y = x with its two dimensions turned around."""
    text = '<ir_version: 9, opset_import: ["": 21]> m (T[N, 3] x) => (T[3, N] y) { y = Transpose<perm = [1, 0]>(x) }'
    return ircc.compile(onnx.parser.parse_model(text.replace("T[", f"{type_}[")), threads=1)


def sample(dtype: Any, rows: int = 4) -> np.ndarray[Any, Any]:
    return np.arange(rows * 3).reshape(rows, 3).astype(np.float32).astype(dtype)


def dtype_of(name: str) -> Any:
    return np.dtype(getattr(ml_dtypes, name, name))


@pytest.fixture(scope="module")
def engine() -> ircc.Engine:
    return compiled("float")


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("old", [False, True], ids=["new", "old"])
def test_in_and_out(type_: str, old: bool) -> None:
    """Results of one engine go into the next as another library's, and come back the same bytes."""
    x, engine = sample(dtype_of(TYPES[type_])), compiled(type_)
    y = engine.run({"x": Tensor(x, old)})["y"]
    assert y.dtype == x.dtype and y.tobytes() == x.T.tobytes()
    taken = dlpack.as_array(Tensor(y, old), "it")
    assert taken.dtype == x.dtype and taken.ctypes.data == y.ctypes.data
    assert engine.run({"x": Tensor(np.ascontiguousarray(y.T), old)})["y"].tobytes() == y.tobytes()


def test_codes_are_those_of_dlpack() -> None:
    """DLDataTypeCode of dlpack.h 1.1, read out of what others would be given."""
    codes = {"float32": 2, "int64": 0, "bool": 6, "bfloat16": 4, "float8_e4m3fn": 10, "float8_e4m3fnuz": 11,
             "float8_e5m2": 12, "float8_e5m2fnuz": 13, "float8_e8m0fnu": 14}  # fmt: skip
    for name, code in codes.items():
        given: list[dict[str, Any]] = [{}, {"max_version": (1, 1)}][: 1 + NEW]
        for options in given:
            type_ = dlpack._type_in(dlpack.exporting(np.zeros(2, dtype_of(name))).__dlpack__(**options))  # pyright: ignore[reportPrivateUsage]
            assert (type_.code, type_.bits, type_.lanes) == (code, 8 * dtype_of(name).itemsize, 1), name


def test_inputs_are_read_where_they_are(engine: ircc.Engine) -> None:
    """Also when they change: a bound engine reads what the tensor holds at the call, in order or not."""
    for array in (sample(np.float32), np.asfortranarray(sample(np.float32)), sample(np.float32, 8)[::2]):
        tensor = Tensor(array)
        bound = engine.bind({"x": tensor})
        assert bound.copied == (() if array.flags.c_contiguous else ("x",))
        for k in range(3):
            array[...] = k + sample(np.float32)
            bound()
            assert np.array_equal(bound.outputs["y"], array.T)
        assert tensor.given == 1


@pytest.mark.parametrize("old", [False, True], ids=["new", "old"])
def test_outputs_are_written_where_they_are(engine: ircc.Engine, old: bool) -> None:
    place = np.zeros((3, 4), np.float32)
    bound = engine.bind({"x": Tensor(sample(np.float32), old)}, {"y": Tensor(place, old)})
    assert bound.copied == ()
    bound()
    assert np.array_equal(place, sample(np.float32).T)
    assert bound.outputs["y"].ctypes.data == place.ctypes.data


def test_a_state_in_place() -> None:
    text = '<ir_version: 9, opset_import: ["": 21]> m (bfloat16[4] s) => (bfloat16[4] t) { t = Add(s, s) }'
    memory = np.ones(4, ml_dtypes.bfloat16)
    tensor = Tensor(memory)
    bound = ircc.compile(onnx.parser.parse_model(text), threads=1).bind({"s": tensor}, {"t": tensor})
    bound()
    bound()
    assert (bound.copied, memory.tolist()) == ((), [4, 4, 4, 4])


def test_memory_lives_as_long_as_it_is_used(engine: ircc.Engine) -> None:
    array = sample(np.float32)
    known = weakref.ref(array)
    bound = engine.bind({"x": Tensor(array)})
    del array
    gc.collect()
    assert known() is not None
    bound()
    assert np.array_equal(bound.outputs["y"], sample(np.float32).T)
    del bound
    gc.collect()
    assert known() is None


@pytest.mark.parametrize(
    ("kind", "told"), [(2, "device 3 of CUDA"), (10, "device 3 of ROCm"), (77, "device 3 of kind 77")]
)
def test_memory_of_a_device(engine: ircc.Engine, kind: int, told: str) -> None:
    x = Tensor(sample(np.float32), device=(kind, 3))
    for use in (engine.run, engine.bind):
        with pytest.raises(InputError, match=f"input 'x' is in the memory of {told}") as raised:
            use({"x": x})
        assert "copy it there first" in str(raised.value)
    with pytest.raises(InputError, match=f"the array for output 'y' is in the memory of {told}"):
        engine.bind({"x": sample(np.float32)}, {"y": x})
    assert x.given == 0


def test_pinned_memory_is_the_hosts(engine: ircc.Engine) -> None:
    assert np.array_equal(engine.run({"x": Tensor(sample(np.float32), device=(3, 0))})["y"], sample(np.float32).T)


class Refuses(Tensor):
    def __dlpack__(self, **options: Any) -> object:
        raise BufferError("use tensor.detach()")


class Wrong(Tensor):
    def __dlpack__(self, **options: Any) -> object:
        return 7


def test_what_cannot_be_shared(engine: ircc.Engine) -> None:
    x = sample(np.float32)
    with pytest.raises(InputError, match=r"input 'x' cannot be shared by DLPack: use tensor.detach\(\)"):
        engine.run({"x": Refuses(x)})
    with pytest.raises(Error, match="input 'x' cannot be shared"):
        engine.bind({"x": Wrong(x)})
    with pytest.raises(InputError, match="'x' has dtype bfloat16, expected float32"):
        engine.run({"x": Tensor(x.astype(ml_dtypes.bfloat16))})
    fixed = np.zeros((3, 4), np.float32)
    fixed.flags.writeable = False
    with pytest.raises(InputError, match=r"output 'y' cannot be (written|shared by DLPack: Cannot export readonly)"):
        engine.bind({"x": x}, {"y": Tensor(fixed)})


def test_results_of_results_are_exported_as_what_they_are() -> None:
    y = compiled("bfloat16").run({"x": sample(ml_dtypes.bfloat16)})["y"]
    assert np.array_equal(np.from_dlpack(y.astype(np.float32)), y.astype(np.float32))
    part = dlpack.as_array(Tensor(y[1:, ::2]), "it")
    assert part.tobytes() == y[1:, ::2].tobytes()


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_with_a_real_library(name: str) -> None:
    """Not among the development tools, for their size: pip install torch, or jax."""
    library: Any = pytest.importorskip(name, reason=f"needs pip install {name}")
    arrays: Any = library if name == "torch" else importlib.import_module("jax.numpy")
    for type_ in ("float", "bfloat16"):
        engine, wanted = compiled(type_), getattr(arrays, TYPES[type_])
        x = arrays.asarray([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], dtype=wanted)
        y = arrays.from_dlpack(engine.run({"x": x})["y"])
        assert y.dtype == wanted and y.tolist() == [[1, 4], [2, 5], [3, 6]]
    if name == "torch":
        x = library.ones(2, 3, requires_grad=True)
        with pytest.raises(InputError, match="grad"):
            compiled("float").run({"x": x})
        place = library.zeros(3, 2)
        compiled("float").bind({"x": library.ones(2, 3)}, {"y": place})()
        assert place.sum() == 6
