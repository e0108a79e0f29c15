"""Weights of engine files in memory: not there before they are used, and shared by all processes that use them."""

import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

import ircc

SIZE = 64 << 20  # bytes of weights
MODEL = '<ir_version: 9, opset_import: ["": 20]> m (int64[N] i) => (float[N, 1024] y) { y = Gather(w, i) }'

PROCESS = """
import sys, numpy, ircc
engine = ircc.load(sys.argv[1], threads=1)
print("loaded", flush=True)
sys.stdin.readline()
print(engine.run({"i": numpy.arange(16384)})["y"].sum(dtype=float), flush=True)
sys.stdin.readline()
"""

pytestmark = pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="pages are counted by Linux's /proc")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An engine that reads every element of its weights for the rows 0 to 16383."""
    made = onnx.parser.parse_model(MODEL)
    weights = np.random.default_rng(1).standard_normal((16384, 1024), np.float32)
    made.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    path = tmp_path_factory.mktemp("mapping") / "m.engine"
    ircc.compile(made).save(path)
    return path


def pages(process: int, file: Path) -> Counter[str]:
    """Bytes of the file in a process's memory, by the kernel's words: Rss, Pss, Private_Dirty ..."""
    found, inside = Counter[str](), False
    for line in Path(f"/proc/{process}/smaps").read_text().splitlines():
        word, *rest = line.split()
        if not word.endswith(":"):
            inside = bool(rest) and rest[-1] == str(file)
        elif inside and rest[-1] == "kB":
            found[word[:-1]] += int(rest[0]) * 1024
    return found


def test_two_processes_share_the_weights(file: Path) -> None:
    with ExitStack() as stack:
        command = [sys.executable, "-c", PROCESS, str(file)]
        both = [
            stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)) for _ in "12"
        ]

        def next_line(process: subprocess.Popen[bytes]) -> bytes:
            assert process.stdout is not None
            return process.stdout.readline().strip()

        assert [next_line(process) for process in both] == [b"loaded"] * 2
        for process in both:
            assert 0 < pages(process.pid, file)["Rss"] < SIZE / 16, "loading has read the weights"
        sums = list[bytes]()
        for process in both:
            assert process.stdin is not None
            process.stdin.write(b"\n")
            process.stdin.flush()
            sums.append(next_line(process))
        assert sums[0] == sums[1] and float(sums[0])
        for process in both:
            found = pages(process.pid, file)
            private = found["Private_Clean"] + found["Private_Dirty"]
            assert found["Rss"] >= SIZE, found
            assert private < SIZE / 16 and found["Pss"] < 0.6 * found["Rss"], found
            assert found["Private_Dirty"] < 1 << 20, found
