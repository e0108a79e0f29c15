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
from ircc.runtime.file import FORMAT, MAGIC, Seal, read_engine, seal_engine, write_engine

SEAL = "<8sIIQQQQQ32s32s32s64s8s"


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


def seal_of(data: bytes) -> Seal:
    return Seal(*struct.unpack(SEAL, data[-struct.calcsize(SEAL) :]))


def header_of(data: bytes) -> dict[str, Any]:
    seal = seal_of(data)
    return json.loads(data[seal.header : seal.header + seal.header_length])


def resealed(path: Path, body: bytes, **changes: Any) -> None:
    """A file of this body with the seal of an engine, whose hashes are right."""
    seal = Seal(MAGIC, FORMAT, 0, len(body) + struct.calcsize(SEAL), 0, 0, 0, 0, b"", b"", b"", b"", b"")
    path.write_bytes(body)
    with open(path, "r+b") as file:
        seal_engine(file, seal._replace(**changes))


def rewritten(path: Path, data: bytes, text: bytes) -> None:
    """The file with another header, whose hashes are right."""
    seal = seal_of(data)
    places = {"weights": seal.weights, "weights_length": seal.weights_length}
    rest = data[seal.header + seal.header_length : -struct.calcsize(SEAL)]
    resealed(path, data[: seal.header] + text + rest, header=seal.header, header_length=len(text), **places)


def test_round_trip(large: Artifact, data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "e.engine"
    write_engine(large, path)
    assert path.read_bytes() == data
    found = read_engine(path, verify=True)
    assert list(found.sections.items()) == [("empty", b""), ("loop-ir", b"text")]
    (artifact,) = found.artifacts
    assert replace(artifact, object=large.object, file=None, weights=large.weights, sections=large.sections) == large
    assert artifact.weights.tobytes() == large.weights.tobytes()
    assert isinstance(artifact.weights, np.memmap)
    assert not artifact.weights.flags.writeable
    assert os.listdir(tmp_path) == ["e.engine"]
    write_engine(artifact, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == data


def test_layout(large: Artifact, data: bytes) -> None:
    seal = seal_of(data)
    assert data.startswith(b"\x7fELF")
    assert (seal.magic, seal.format, seal.size) == (MAGIC, FORMAT, len(data))
    assert seal.weights % 4096 == 0
    assert seal.weights_length % 4096 == 0
    assert data[seal.weights :].startswith(large.weights.tobytes())
    text = data[seal.header : seal.header + seal.header_length]
    assert text.rstrip() == json.dumps(header_of(data), sort_keys=True, separators=(",", ":")).encode()
    assert seal.header % 64 == seal.header_length % 64 == 0
    sections = data[seal.header + seal.header_length : -struct.calcsize(SEAL)]
    for name, place in header_of(data)["sections"].items():
        assert sections[place["offset"] : place["offset"] + place["length"]] == large.sections[name]
        assert place["offset"] % 64 == 0
    after = seal.weights + seal.weights_length
    first = struct.pack("<8sIIQQQQQ", *seal[:8])
    body = data[: seal.weights] + data[after : seal.header] + text + first
    assert hashlib.blake2b(body, digest_size=32).digest() == seal.body_hash
    assert hashlib.blake2b(data[seal.weights : after] + sections, digest_size=32).digest() == seal.weights_hash


def test_no_weights(artifact: Artifact, tmp_path: Path) -> None:
    write_engine(replace(artifact, weights=np.empty(0, np.uint8)), tmp_path / "e")
    assert read_engine(tmp_path / "e", verify=True).artifacts[0].weights.size == 0


def test_truncated(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "e.engine"
    for size in [*range(0, len(data), 997), *range(len(data) - 300, len(data))]:
        path.write_bytes(data[:size])
        with pytest.raises(EngineError):
            read_engine(path)


@settings(max_examples=4 * settings().max_examples)
@given(st.data())
def test_flipped_bits(data: bytes, tmp_path_factory: pytest.TempPathFactory, draw: st.DataObject) -> None:
    """A flipped bit is found, wherever it is."""
    end = draw.draw(st.sampled_from([len(data), 300, 5000]))  # the seal and the header are small
    position = draw.draw(st.integers(len(data) - end, len(data) - 1))
    flipped = bytearray(data)
    flipped[position] ^= 1 << draw.draw(st.integers(0, 7))
    path = tmp_path_factory.getbasetemp() / "flipped.engine"
    path.write_bytes(flipped)
    with pytest.raises(EngineError):
        read_engine(path, verify=True)


def test_flipped_weights_are_found_on_request(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "e.engine"
    place = seal_of(data).weights + 77
    path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
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
    lambda h: h.pop("variants") and None,
    lambda h: h["variants"][0].pop("inputs") and None,
    put("sections")([]),
    put("sections", "loop-ir")(None),
    put("sections", "loop-ir", "offset")(1 << 62),
    put("sections", "loop-ir", "offset")(-64),
    put("sections", "loop-ir", "offset")(64),
    put("sections", "loop-ir", "offset")(1.5),
    put("sections", "loop-ir", "length")(1 << 62),
    put("sections", "loop-ir", "length")(-1),
    put("sections", "loop-ir", "hash")("0"),
    put("variants")([]),
    put("variants")({}),
    put("variants", 0)([]),
    put("variants", 0, "prefix")(0),
    put("variants", 0, "weights")([]),
    put("variants", 0, "weights", "length")(1 << 40),
    put("variants", 0, "weights", "length")(-1),
    put("variants", 0, "weights", "offset")(0),
    put("variants", 0, "weights", "offset")(1.5),
    put("variants", 0, "inputs")({}),
    put("variants", 0, "inputs", 0)(3),
    put("variants", 0, "inputs", 0, "dtype")("object"),
    put("variants", 0, "inputs", 0, "dtype")("bfloat16; import os"),
    put("variants", 0, "inputs", 0, "dtype")("__doc__"),
    put("variants", 0, "inputs", 0, "shape")([-1]),
    put("variants", 0, "inputs", 0, "shape")([1 << 80]),
    put("variants", 0, "inputs", 0, "shape")([True]),
    put("variants", 0, "inputs", 0, "shape")([[]]),
    put("variants", 0, "symbols")([3]),
    put("variants", 0, "kernels")([{}]),
    put("variants", 0, "kernels", 0, "nodes")("Conv"),
    put("variants", 0, "target")([]),
    put("variants", 0, "target", "cpu")(7),
    put("variants", 0, "backend")(None),
]


@pytest.mark.parametrize("index", range(len(HOSTILE)))
def test_hostile_headers(data: bytes, tmp_path: Path, index: int) -> None:
    path = tmp_path / "e.engine"
    header = header_of(data)
    changed = HOSTILE[index](header)
    rewritten(path, data, json.dumps(header if changed is None else changed).encode())
    refused(path)


@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"a":' * 50_000, b"9" * 5_000, b"\xff", b'{"format": NaN}', b""])
def test_hostile_json(data: bytes, tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "e.engine"
    rewritten(path, data, text)
    refused(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 1}, {"format": 4}, {"flags": 1}, {"weights": 1 << 62}, {"weights": 1}, {"weights_length": 1 << 63},
        {"header": 1 << 40}, {"header_length": (1 << 64) - 1}, {"header": 0}, {"header_length": 1},
    ],
)  # fmt: skip
def test_hostile_seals(data: bytes, tmp_path: Path, changes: dict[str, int]) -> None:
    path = tmp_path / "e.engine"
    seal = seal_of(data)._replace(**changes)
    packed = struct.pack(SEAL, *seal)[:-8]
    path.write_bytes(data[: -struct.calcsize(SEAL)] + packed + hashlib.blake2b(packed, digest_size=8).digest())
    refused(path)


def refused(path: Path) -> None:
    """Reading it raises EngineError, and takes no memory worth mentioning."""
    tracemalloc.start()
    try:
        with pytest.raises(EngineError):
            read_engine(path, verify=True)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


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
    for folder in (tmp_path, ".", "", "/"):
        with pytest.raises(EngineError, match=r"cannot write .*: it is a folder"):
            write_engine(artifact, folder)


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
