"""Printed kernels run without an accelerator: CUDA's dialect as C++, its threads one after the other."""

import ctypes
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ircc.codegen.simt.grid import Printed
from ircc.codegen.simt.printer import print_kernel, source_of
from ircc.codegen.simt.words import CUDA
from ircc.dialects.loop import Kernel

SHIM = """
#include <math.h>
#include <string.h>
#define __global__
#define __device__
#define __shared__ static
#define __syncthreads()
struct Place { long long x; };
static Place blockIdx, threadIdx, blockDim = {1};
static int __float_as_int(float x) { int y; memcpy(&y, &x, 4); return y; }
static float __int_as_float(int x) { float y; memcpy(&y, &x, 4); return y; }
static long long __double_as_longlong(double x) { long long y; memcpy(&y, &x, 8); return y; }
static double __longlong_as_double(long long x) { double y; memcpy(&y, &x, 8); return y; }
extern "C" void place(long long group) { blockIdx.x = group; }
"""


class Shim:
    """Kernels compiled by the system's C++ compiler."""

    def __init__(self, kernels: Sequence[Kernel], folder: Path) -> None:
        self.printed: dict[str, Printed] = {k.sym_name.data: print_kernel(k, CUDA) for k in kernels}
        source = SHIM + source_of([p.code for p in self.printed.values()], CUDA)
        (folder / "kernels.cpp").write_text(source)
        command = ["g++", "-O0", "-ffp-contract=off", "-fno-strict-aliasing", "-shared", "-fPIC", "-w"]
        made = subprocess.run([*command, "-o", "kernels.so", "kernels.cpp"], cwd=folder, capture_output=True, text=True)
        assert made.returncode == 0, made.stderr[:4000]
        self.library = ctypes.CDLL(str(folder / "kernels.so"))

    def run(self, kernel: Kernel, buffers: Sequence[np.ndarray[Any, Any]], sizes: dict[str, int]) -> None:
        """One call, on flat buffers in memory."""
        args = [ctypes.c_void_p(b.ctypes.data) for b in buffers]
        args += [ctypes.c_int64(sizes[name]) for name in kernel.sizes]
        for part in self.printed[kernel.sym_name.data].parts:
            function = getattr(self.library, part.function)
            for item in range(part.items.evaluate(symbols=sizes)):
                self.library.place(ctypes.c_int64(item))
                function(*args)


@pytest.fixture
def shim(tmp_path: Path) -> Any:
    if shutil.which("g++") is None:
        pytest.skip("needs a C++ compiler: apt-get install g++")
    return lambda kernels: Shim(kernels, tmp_path)
