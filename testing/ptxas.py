"""NVIDIA's assembler, which needs no GPU: whether PTX is right, and what a kernel takes of the machine."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
import tempfile
from functools import cache
from pathlib import Path

HOW = "pip install nvidia-cuda-nvcc"


@cache
def find() -> str | None:
    """The command: the system's, or that of the package nvidia-cuda-nvcc; None where there is none."""
    packages = Path(sysconfig.get_path("purelib")) / "nvidia"
    found = sorted(packages.glob("*/bin/ptxas"))
    return shutil.which("ptxas") or (str(found[-1]) if found else None)


def refused(ptx: str, model: str) -> str | None:
    """What the assembler has to say against PTX for a model of GPU; None: it takes it. Raises OSError without one."""
    command = find()
    if command is None:
        raise FileNotFoundError(f"there is no ptxas: {HOW}")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernels.ptx"
        file.write_text(ptx)
        made = subprocess.run(
            [command, f"-arch={model}", str(file), "-o", str(Path(folder) / "kernels.cubin")],
            capture_output=True,
            text=True,
        )
    return None if made.returncode == 0 else (made.stderr or made.stdout).strip() or f"it ended with {made.returncode}"
