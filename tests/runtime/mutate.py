"""Engine files with something wrong in them, from a seed: always the same ones. As a program: loads some of them.

    python tests/runtime/mutate.py ENGINE FOLDER FIRST END

For each from FIRST to END a line of JSON: its number and kind, and what loading said.
"""

import hashlib
import json
import random
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ircc.errors import Error
from ircc.runtime.engine import load
from ircc.runtime.file import Seal, seal_engine

SEAL = struct.Struct("<8sIIQQQQQ32s32s32s64s8s")
Mutation = Callable[[bytes, Seal, random.Random], "bytes | tuple[bytes, dict[str, int]]"]


def flip(data: bytes, start: int, end: int, rng: random.Random) -> bytes:
    """Some bits of a part are others."""
    changed = bytearray(data)
    for place in {rng.randrange(start, end) for _ in range(rng.choice([1, 1, 1, 2, 9]))}:
        changed[place] ^= 1 << rng.randrange(8)
    return bytes(changed)


def code(data: bytes, seal: Seal, rng: random.Random) -> bytes:
    return flip(data, 0, seal.weights, rng)


def start(data: bytes, seal: Seal, rng: random.Random) -> bytes:
    return flip(data, 0, 64, rng)


def weights(data: bytes, seal: Seal, rng: random.Random) -> bytes:
    return flip(data, seal.weights, seal.weights + seal.weights_length, rng)


def behind_the_weights(data: bytes, seal: Seal, rng: random.Random) -> bytes:
    return flip(data, seal.weights + seal.weights_length, seal.header, rng)


def sections(data: bytes, seal: Seal, rng: random.Random) -> bytes:
    return flip(data, seal.header + seal.header_length, len(data) - SEAL.size, rng)


def header(data: bytes, seal: Seal, rng: random.Random) -> bytes:
    return flip(data, seal.header, seal.header + seal.header_length, rng)


def the_seal(data: bytes, seal: Seal, rng: random.Random) -> bytes:
    return flip(data, len(data) - SEAL.size, len(data), rng)


def shorter(data: bytes, seal: Seal, rng: random.Random) -> bytes:
    return data[: rng.choice([rng.randrange(len(data)), len(data) - rng.randrange(1, 400)])]


def longer(data: bytes, seal: Seal, rng: random.Random) -> bytes:
    return data + rng.randbytes(rng.choice([1, 8, 224, 4096]))


def cut_out(data: bytes, seal: Seal, rng: random.Random) -> bytes:
    """A part is missing, the seal is there."""
    first = rng.randrange(len(data) - SEAL.size - 1)
    return data[:first] + data[rng.randrange(first + 1, len(data) - SEAL.size) :]


def put_in(data: bytes, seal: Seal, rng: random.Random) -> bytes:
    place = rng.randrange(len(data) - SEAL.size)
    return data[:place] + rng.randbytes(rng.choice([1, 64, 4096])) + data[place:]


def zeros(data: bytes, seal: Seal, rng: random.Random) -> bytes:
    """A page that was not written."""
    pages = [i for i in range(0, len(data) - 4096, 4096) if any(data[i : i + 4096])]
    place = rng.choice(pages)
    return data[:place] + bytes(4096) + data[place + 4096 :]


# ---- with hashes that are right: who reads it has to look at what it says


def numbers_of_the_seal(data: bytes, seal: Seal, rng: random.Random) -> bytes:
    field = rng.choice(["format", "flags", "size", "weights", "weights_length", "header", "header_length"])
    most = (1 << 32 if field in ("format", "flags") else 1 << 64) - 1
    value = getattr(seal, field)
    choices = [0, 1, value + 1, value * 2, value // 2, most, most // 2, most - value, rng.randrange(most)]
    found = SEAL.pack(*seal._replace(**{field: rng.choice([c for c in choices if c != value and c <= most])}))[:-8]
    return data[: -SEAL.size] + found + hashlib.blake2b(found, digest_size=8).digest()


def with_header(data: bytes, seal: Seal, text: bytes) -> tuple[bytes, dict[str, int]]:
    rest = data[seal.header + seal.header_length : -SEAL.size]
    return data[: seal.header] + text + rest, {"header_length": len(text)}


def read(data: bytes, seal: Seal) -> Any:
    return json.loads(data[seal.header : seal.header + seal.header_length])


def text_of_the_header(data: bytes, seal: Seal, rng: random.Random) -> tuple[bytes, dict[str, int]]:
    """No JSON, or other JSON."""
    text = data[seal.header : seal.header + seal.header_length]
    whole = [b"", b"[]", b"3", b"null", b"{}", b"\xff\xfe", b"[" * 5000, b'{"a":' * 5000, b'"' + text, text + b"}"]
    return with_header(data, seal, rng.choice([*whole, text[: rng.randrange(len(text))]]))


def section_table(data: bytes, seal: Seal, rng: random.Random) -> tuple[bytes, dict[str, int]]:
    made = read(data, seal)
    entry = made["sections"][rng.choice(sorted(made["sections"]))]
    match rng.choice(["offset", "length", "hash", "key", "entry"]):
        case "hash":
            entry["hash"] = rng.choice(["", rng.randbytes(32).hex(), 5, None, entry["hash"].upper() + "0"])
        case "key":
            del entry[rng.choice(sorted(entry))]
        case "entry":
            made["sections"] = rng.choice([[], 0, None, {"graph": rng.choice([[], 1, "x", {}])}])
        case key:
            entry[key] = rng.choice([-1, 1 << 62, entry[key] + 64, "0", 1.5, None, [], -entry[key] - 1])
    return with_header(data, seal, json.dumps(made).encode())


def places_of_weights(data: bytes, seal: Seal, rng: random.Random) -> tuple[bytes, dict[str, int]]:
    made = read(data, seal)
    entry = made["variants"][0]["weights"]
    key = rng.choice(["offset", "length"])
    bad = [-1, -64, 1 << 40, 1 << 62, "0", 1.5, None, [], {}]
    entry[key] = rng.choice([*bad, *([1, seal.weights - 64, seal.weights + 1] if key == "offset" else [])])
    return with_header(data, seal, json.dumps(made).encode())


def fields_of_a_variant(data: bytes, seal: Seal, rng: random.Random) -> tuple[bytes, dict[str, int]]:
    """A field is missing, or of another type, or names what is not there."""
    made = read(data, seal)
    variant = made["variants"][0]
    key = rng.choice(sorted(variant))
    match rng.choice(["missing", "type", "target", "prefix"]):
        case "missing":
            del variant[key]
        case "type":
            variant[key] = rng.choice([None, 1.5, True] if isinstance(variant[key], int) else [None, 1.5, 7])
        case "target":
            variant["target"]["triple"] = rng.choice(
                ["", "x", "riscv64-unknown-linux-gnu", "x86_64-pc-windows-msvc", 5]
            )
        case _:
            variant["prefix"] = rng.choice(["v1.", "x", "\0", "ü", 5, None])
    return with_header(data, seal, json.dumps(made).encode())


MUTATIONS: list[Mutation] = [
    code, start, weights, behind_the_weights, sections, header, the_seal, shorter, longer, cut_out, put_in, zeros,
    numbers_of_the_seal, text_of_the_header, section_table, places_of_weights, fields_of_a_variant,
]  # fmt: skip


def write(data: bytes, number: int, path: Path) -> str:
    """Write the file of a number, and say of which kind it is."""
    rng = random.Random(number)
    mutation = MUTATIONS[number % len(MUTATIONS)]
    seal = Seal(*SEAL.unpack(data[-SEAL.size :]))
    made = mutation(data, seal, rng)
    body, changes = made if isinstance(made, tuple) else (made, {})
    path.write_bytes(body)
    if changes:
        path.write_bytes(body + bytes(SEAL.size))
        with open(path, "r+b") as file:
            seal_engine(file, seal._replace(size=len(body) + SEAL.size, **changes))
    return mutation.__name__


def tell(value: Any, end: str) -> None:
    sys.stdout.write(json.dumps(value) + end)
    sys.stdout.flush()


def main(engine: str, folder: str, first: str, end: str) -> None:
    data, path = Path(engine).read_bytes(), Path(folder) / f"{first}.engine"
    for number in range(int(first), int(end)):
        kind = write(data, number, path)
        tell([number, kind], " ")  # before it is loaded, so that it is known which one ended the process
        try:
            load(path, threads=1, verify="all")
        except Error as error:
            tell([type(error).__name__, str(error)], "\n")
        else:
            tell(["loaded", ""], "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
