"""The engine file: same bytes for the same engine, and an EngineError for everything that is no engine."""

import hashlib
import json
import os
import re
import struct
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ircc.errors import EngineError
from ircc.runtime.artifact import Artifact, WeightsBuilder, dtype_named
from ircc.runtime.engine import Engine
from ircc.runtime.file import MAGIC, read_engine, write_engine


@pytest.fixture(scope="module")
def large(artifact: Artifact) -> Artifact:
    """With weights of some pages, and more sections."""
    weights = np.arange(20_000, dtype=np.uint8)
    return replace(artifact, weights=weights, sections={"loop-ir": b"text", "empty": b""})


@pytest.fixture(scope="module")
def data(large: Artifact, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("file") / "e.engine"
    write_engine(large, path)
    return path.read_bytes()


def rewritten(data: bytes, change: Callable[[dict[str, Any]], Any]) -> bytes:
    """The file with another header, whose hash is right."""
    length = struct.unpack_from("<Q", data, 8)[0]
    header = json.loads(data[48 : 48 + length])
    changed = change(header)
    text = json.dumps(header if changed is None else changed).encode()
    return MAGIC + struct.pack("<Q", len(text)) + hashlib.sha256(text).digest() + text + data[48 + length :]


def same(a: Artifact, b: Artifact) -> bool:
    return replace(a, weights=b.weights) == b and np.array_equal(a.weights, b.weights)


def test_round_trip(large: Artifact, data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "e.engine"
    write_engine(large, path)
    assert path.read_bytes() == data
    found = read_engine(path, verify=True)
    assert same(found, large)
    assert isinstance(found.weights, np.memmap)
    assert not found.weights.flags.writeable
    assert os.listdir(tmp_path) == ["e.engine"]


def test_layout(large: Artifact, data: bytes) -> None:
    length = struct.unpack_from("<Q", data, 8)[0]
    text = data[48 : 48 + length]
    assert data[16:48] == hashlib.sha256(text).digest()
    header = json.loads(text)
    assert text == json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    assert header["format"] == 1
    for name, place in header["sections"].items():
        content = data[place["offset"] : place["offset"] + place["length"]]
        assert hashlib.sha256(content).hexdigest() == place["sha256"]
        assert place["offset"] % (4096 if name == "weights" else 64) == 0
    assert header["sections"]["object"]["length"] == len(large.object)


def test_no_weights(artifact: Artifact, tmp_path: Path) -> None:
    write_engine(replace(artifact, weights=np.empty(0, np.uint8)), tmp_path / "e")
    assert read_engine(tmp_path / "e", verify=True).weights.size == 0


def test_truncated(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "e.engine"
    for size in [*range(60), *range(60, len(data), 97), len(data) - 1]:
        path.write_bytes(data[:size])
        with pytest.raises(EngineError):
            read_engine(path)


@settings(max_examples=4 * settings().max_examples)
@given(st.data())
def test_flipped_bits(data: bytes, tmp_path_factory: pytest.TempPathFactory, draw: st.DataObject) -> None:
    """A flipped bit is found, or it lies in the zeros between sections and changes nothing."""
    position = draw.draw(st.integers(0, len(data) - 1))
    flipped = bytearray(data)
    flipped[position] ^= 1 << draw.draw(st.integers(0, 7))
    path = tmp_path_factory.getbasetemp() / "flipped.engine"
    path.write_bytes(flipped)
    length = struct.unpack_from("<Q", data, 8)[0]
    places = json.loads(data[48 : 48 + length])["sections"].values()
    in_a_gap = position >= 48 + length and not any(p["offset"] <= position < p["offset"] + p["length"] for p in places)
    if in_a_gap:
        read_engine(path, verify=True)
    else:
        with pytest.raises(EngineError):
            read_engine(path, verify=True)


def test_flipped_weights_are_found_on_request(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "e.engine"
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    read_engine(path)
    with pytest.raises(EngineError, match="weights"):
        read_engine(path, verify=True)


def put(*path: str | int) -> Callable[[Any], Callable[[dict[str, Any]], None]]:
    def with_value(value: Any) -> Callable[[dict[str, Any]], None]:
        def change(header: Any) -> None:
            for key in path[:-1]:
                header = header[key]
            header[path[-1]] = value

        return change

    return with_value


HOSTILE: list[Callable[[dict[str, Any]], Any]] = [
    lambda h: [],
    lambda h: {},
    lambda h: "text",
    lambda h: h.pop("sections") and None,
    lambda h: h.pop("inputs") and None,
    lambda h: h["sections"].pop("object") and None,
    put("format")("1"),
    put("format")(2),
    put("sections")([]),
    put("sections", "object")(None),
    put("sections", "object", "offset")(1 << 62),
    put("sections", "object", "offset")(-64),
    put("sections", "object", "offset")(0),
    put("sections", "object", "offset")(1.5),
    put("sections", "object", "length")(1 << 62),
    put("sections", "object", "length")(-1),
    put("sections", "object", "sha256")("0"),
    put("sections", "weights", "length")(1 << 40),
    put("sections", "weights", "offset")(1),
    put("inputs")({}),
    put("inputs", 0)(3),
    put("inputs", 0, "dtype")("object"),
    put("inputs", 0, "dtype")("bfloat16; import os"),
    put("inputs", 0, "dtype")("__doc__"),
    put("inputs", 0, "shape")([-1]),
    put("inputs", 0, "shape")([1 << 80]),
    put("inputs", 0, "shape")([True]),
    put("inputs", 0, "shape")([[]]),
    put("symbols")([3]),
    put("kernels")([{}]),
    put("kernels", 0, "nodes")("Conv"),
    put("target")([]),
    put("target", "cpu")(7),
    put("backend")(None),
]


@pytest.mark.parametrize("index", range(len(HOSTILE)))
def test_hostile_headers(data: bytes, tmp_path: Path, index: int) -> None:
    path = tmp_path / "e.engine"
    path.write_bytes(rewritten(data, HOSTILE[index]))
    tracemalloc.start()
    try:
        with pytest.raises(EngineError):
            read_engine(path, verify=True)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"a":' * 50_000, b"9" * 5_000, b"\xff", b'{"format": NaN}', b""])
def test_hostile_json(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "e.engine"
    path.write_bytes(MAGIC + struct.pack("<Q", len(text)) + hashlib.sha256(text).digest() + text)
    with pytest.raises(EngineError):
        read_engine(path)


@pytest.mark.parametrize("length", [1 << 63, (1 << 64) - 1, 1 << 40])
def test_hostile_length(tmp_path: Path, length: int) -> None:
    path = tmp_path / "e.engine"
    path.write_bytes(MAGIC + struct.pack("<Q", length) + bytes(100))
    with pytest.raises(EngineError, match="ends in its header"):
        read_engine(path)


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ({"triple": "sparc64-unknown-linux-gnu"}, "is for sparc64-unknown-linux-gnu"),
        ({"triple": ""}, "is for "),
        ({"features": "+sse2,+time-travel,-mmx,+teleport"}, "lacks what the engine needs: teleport, time-travel"),
    ],
)
def test_engines_for_other_machines(artifact: Artifact, target: dict[str, str], told: str) -> None:
    with pytest.raises(EngineError, match=told):
        Engine(replace(artifact, target={**artifact.target, **target}))


def test_cannot_write(artifact: Artifact, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="cannot write"):
        write_engine(artifact, tmp_path / "none" / "e.engine")
    with pytest.raises(EngineError, match="cannot write"):
        write_engine(artifact, tmp_path)


def test_weights_builder() -> None:
    builder = WeightsBuilder()
    rng = np.random.default_rng(0)
    arrays: list[np.ndarray] = [
        np.array([[1, 2], [3, 4]], np.float32).T,
        np.zeros((0, 3), np.int64),
        np.array(True),
        rng.integers(0, 255, 129).astype(np.uint8),
        np.array(2.5, np.float64),
        np.array([1.5, -2], dtype_named("bfloat16")),
    ]
    offsets = [builder.add(a) for a in arrays]
    blob = builder.build()
    assert blob.__array_interface__["data"][0] % 64 == 0
    assert len(blob) == builder.size
    for offset, array in zip(offsets, arrays, strict=True):
        assert offset % 64 == 0
        found = blob[offset : offset + array.nbytes].view(array.dtype).reshape(array.shape)
        assert np.array_equal(found, array)
    assert blob.sum(dtype=np.int64) == sum(sum(a.tobytes()) for a in arrays)


def test_messages_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "e.engine"
    path.write_bytes(b"PK\3\4 a zip file")
    with pytest.raises(EngineError, match=re.escape(f"{path} is no engine file")):
        read_engine(path)
