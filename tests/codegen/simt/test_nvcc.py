"""NVIDIA's compiler, which needs no GPU, takes what is printed in CUDA's dialect."""

import random
import shutil
import subprocess
import sysconfig
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import onnx.parser
import pytest

import ircc
from ircc.codegen.simt.printer import print_kernel, source_of
from ircc.codegen.simt.words import CUDA, Words
from ircc.dialects.loop import Kernel
from ircc.testing.group_kernels import WIDE_KINDS, group_kernels, team_kernels, wide_kernel
from ircc.testing.loop_kernels import random_kernel
from ircc.testing.scalar_cases import CASES, kernel, operands

PACKAGES = Path(sysconfig.get_path("purelib")) / "nvidia"
NVCC = shutil.which("nvcc") or next(map(str, sorted(PACKAGES.glob("*/bin/nvcc"))), None)
if NVCC is None or shutil.which("g++") is None:
    pytest.skip("needs nvcc and a C++ compiler: pip install nvidia-cuda-nvcc, g++", allow_module_level=True)

EACH = 4  # one operation of so many for each GPU
NET = """
<ir_version: 9, opset_import: ["": 20]>
net (float[N, 64, 28, 28] x, float[64, 1, 3, 3] d, float[64, 64, 3, 3] w, float[64] b,
     float[28, 96] v, float16[96, K] h)
    => (float[N, 64, 28, 96] y, float16[N, 64, 28, K] z)
{
    deep = Conv<pads = [1, 1, 1, 1], group = 64>(x, d)
    conv = Conv<pads = [1, 1, 1, 1]>(deep, w, b)
    product = MatMul(conv, v)
    y = Softmax(product)
    half = Cast<to = 10>(y)
    z = MatMul(half, h)
}
"""


def refused(kernels: Sequence[Kernel], gpu: str, folder: Path, words: Words = CUDA) -> str:
    """What the compiler has to say against kernels; "": it takes them."""
    source, made = folder / f"kernels{words.suffix}", folder / "kernels.cubin"
    source.write_text(source_of([print_kernel(k, words).code for k in kernels], words))
    places = {"nvcc": NVCC, "{source}": source, "{object}": made}
    command = [str(places.get(word, word)) for word in words.compiler]
    done = subprocess.run([*command, f"-arch={gpu}"], cwd=folder, capture_output=True, text=True)
    assert (done.returncode == 0) == made.exists()
    made.unlink(missing_ok=True)
    return done.stdout + done.stderr if done.returncode else ""


def test_teams_and_neighbours(tmp_path: Path) -> None:
    """Shuffles of every type, and vectors."""
    assert not refused([*team_kernels(48), *map(wide_kernel, WIDE_KINDS)], "sm_80", tmp_path)


@pytest.mark.parametrize(("gpu", "start"), [("sm_80", 0), ("sm_90", 2)])
def test_operations(gpu: str, start: int, tmp_path: Path) -> None:
    made = [kernel(case, 1, len(operands(case)[0])) for case in CASES[start::EACH]]
    assert len(made) > 100 and not refused(made, gpu, tmp_path)


def test_schedules(tmp_path: Path) -> None:
    """Loops of any kind, what groups share, teams; and a word that is wrong is seen."""
    rng = random.Random("nvcc")
    module = ircc.lower(onnx.parser.parse_model(NET), to="loop-ir", target="simt:cuda-c")
    net = [op for op in module.body.ops if isinstance(op, Kernel) and not op.on_host]
    assert {k.strategy.data for k in net if k.strategy is not None} >= {"tiled", "halo", "grouped", "simt"}
    drawn = [random_kernel(rng, f"k{i}", symbolic=i % 4 != 0).kernel for i in range(12)]
    assert not refused([*net, *drawn, *group_kernels()], "sm_80", tmp_path)
    wrong = replace(CUDA, barrier="__syncthread();")
    assert "__syncthread" in refused(list(group_kernels()), "sm_80", tmp_path, wrong)
