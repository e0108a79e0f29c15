"""Compiles magika, a real model that tells 214 file types from their bytes, and asks it about files.

    python examples/demo_magika.py [FILE ...]        without files: one of each kind in this repository

The model is the one inside the package `magika` (pip install --no-deps magika==1.0.3); nothing else of it is
used. What it eats is prepared here by the rule of its own `Magika._extract_features_from_seekable`.
"""

import importlib.util
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import ircc

REPOSITORY = Path(__file__).resolve().parent.parent


def find_model() -> Path:
    """The folder of the model in the installed package, which is not imported (it would want onnxruntime)."""
    spec = importlib.util.find_spec("magika")
    if spec is None or spec.origin is None:
        raise SystemExit("package magika is missing: run `make demo`, or pip install --no-deps magika==1.0.3")
    return Path(spec.origin).parent / "models" / "standard_v3_3"


def features(content: bytes, config: dict[str, Any]) -> np.ndarray:
    """int32 [beg_size + end_size]: how the file begins and how it ends.

    Of the first block leading white space is dropped and the first bytes kept, padded behind; of the last
    block trailing white space is dropped and the last bytes kept, padded in front.
    """
    beg_size, end_size, block = config["beg_size"], config["end_size"], config["block_size"]
    tokens = np.full(beg_size + end_size, config["padding_token"], np.int32)
    begin = content[:block].lstrip()[:beg_size]
    end = content[-block:].rstrip()[-end_size:]
    tokens[: len(begin)] = np.frombuffer(begin, np.uint8)
    tokens[len(tokens) - len(end) :] = np.frombuffer(end, np.uint8)
    return tokens


def label(scores: np.ndarray, config: dict[str, Any], is_text: dict[str, bool]) -> tuple[str, float]:
    """The name of the best class and its score; `txt` or `unknown` where the model is not sure enough."""
    best = int(np.argmax(scores))
    name, score = config["target_labels_space"][best], float(scores[best])
    enough = config["thresholds"].get(name, config["medium_confidence_threshold"])
    name = config["overwrite_map"].get(name, name)
    if score < enough:
        name = "txt" if is_text[name] else "unknown"
    return name, score


def files_of_repository(model: Path) -> list[Path]:
    """The largest file of each suffix (or name, without one) in the working tree, and the model itself."""
    kinds: dict[str, Path] = {}
    hidden = {".git", ".venv", "build", "__pycache__"}
    for path in sorted(REPOSITORY.rglob("*")):
        parts = path.relative_to(REPOSITORY).parts
        if not path.is_file() or path.is_symlink() or path.stat().st_size < 64:
            continue
        if any(part in hidden or (part.startswith(".") and part != ".ci") for part in parts):
            continue
        kind = path.suffix or path.name
        if kind not in kinds or path.stat().st_size > kinds[kind].stat().st_size:
            kinds[kind] = path
    return [*sorted(kinds.values())[:20], model]


def main(arguments: list[str]) -> None:
    folder = find_model()
    config = json.loads((folder / "config.min.json").read_text())
    knowledge = json.loads((folder.parents[1] / "config" / "content_types_kb.min.json").read_text())
    is_text = {name: bool(info["is_text"]) for name, info in knowledge.items()}

    model = folder / "model.onnx"
    print(f"compiling {model.name} ({model.stat().st_size / 1e6:.1f} MB) ...", flush=True)
    start = time.perf_counter()
    engine = ircc.compile(model, threads=1)
    print(f"compiled in {time.perf_counter() - start:.1f} s; a file at a time, one thread:\n")

    (feed,), (result,) = engine.inputs, engine.outputs
    paths = [Path(argument) for argument in arguments] or files_of_repository(model)
    latencies: list[float] = []
    print(f"{'file':<44} {'is':<14} {'':<38} {'score':>6} {'latency':>10}")
    for path in paths:
        content = path.read_bytes()
        if len(content.strip()) < config["min_file_size_for_dl"]:
            print(f"{path!s:<44} too small to tell")
            continue
        batch = features(content, config)[None, :]
        engine.run({feed.name: batch})  # the first call touches fresh memory
        start = time.perf_counter()
        scores = engine.run({feed.name: batch})[result.name]
        latencies.append(time.perf_counter() - start)
        name, score = label(scores[0], config, is_text)
        shown = path.relative_to(REPOSITORY) if path.is_relative_to(REPOSITORY) else Path(path.name)
        if ".venv" in shown.parts:
            shown = Path(shown.name)
        description = knowledge.get(name, {}).get("description", "")
        print(f"{shown!s:<44.44} {name:<14} {description:<38.38} {score:6.1%} {latencies[-1] * 1e3:7.2f} ms")
    if latencies:
        print(f"\n{len(latencies)} files, median latency {statistics.median(latencies) * 1e3:.2f} ms")


if __name__ == "__main__":
    main(sys.argv[1:])
