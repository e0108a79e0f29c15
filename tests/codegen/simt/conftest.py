"""Printed kernels run without an accelerator: CUDA's dialect as C++, a group as one thread or as several."""

import ctypes
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

from ircc.codegen.simt.grid import Printed
from ircc.codegen.simt.printer import print_kernel, source_of
from ircc.codegen.simt.words import CUDA
from ircc.dialects.loop import Kernel

SHIM = """
#include <math.h>
#include <pthread.h>
#include <string.h>
#define __global__
#define __device__
#define __shared__ static
#define __syncthreads() pthread_barrier_wait(&together)
#define __syncwarp() pthread_barrier_wait(&teams[threadIdx.x / warpSize])
struct Place { long long x; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(16) int4 { int x, y, z, w; };
struct alignas(16) double2 { double x, y; };
struct alignas(16) longlong2 { long long x, y; };
static Place blockIdx, blockDim = {1};
static thread_local Place threadIdx;
static int warpSize = 1;
static pthread_barrier_t together, teams[64];
extern "C" void lanes(int width, int team) {
  blockDim.x = width; warpSize = team;
  pthread_barrier_init(&together, 0, width);
  for (int i = 0; i < width / team; ++i) pthread_barrier_init(&teams[i], 0, team);
}
template <class T> T __shfl_xor_sync(unsigned, T x, int bits) {
  static long long given[64];
  memcpy(&given[threadIdx.x], &x, sizeof x);
  __syncwarp();
  T y;
  memcpy(&y, &given[threadIdx.x ^ bits], sizeof y);
  __syncwarp();
  return y;
}
static int __float_as_int(float x) { int y; memcpy(&y, &x, 4); return y; }
static float __int_as_float(int x) { float y; memcpy(&y, &x, 4); return y; }
static long long __double_as_longlong(double x) { long long y; memcpy(&y, &x, 8); return y; }
static double __longlong_as_double(long long x) { double y; memcpy(&y, &x, 8); return y; }
extern "C" void place(long long group, long long lane) { blockIdx.x = group; threadIdx.x = lane; }
"""


class Shim:
    """Kernels compiled by the system's C++ compiler."""

    def __init__(self, kernels: Sequence[Kernel], folder: Path) -> None:
        self.printed: dict[str, Printed] = {k.sym_name.data: print_kernel(k, CUDA) for k in kernels}
        source = SHIM + source_of([p.code for p in self.printed.values()], CUDA)
        (folder / "kernels.cpp").write_text(source)
        command = ["g++", "-O0", "-ffp-contract=off", "-fno-strict-aliasing", "-shared", "-fPIC", "-pthread", "-w"]
        made = subprocess.run([*command, "-o", "kernels.so", "kernels.cpp"], cwd=folder, capture_output=True, text=True)
        assert made.returncode == 0, made.stderr[:4000]
        self.library = ctypes.CDLL(str(folder / "kernels.so"))

    def run(
        self,
        kernel: Kernel,
        buffers: Sequence[np.ndarray[Any, Any]],
        sizes: dict[str, int],
        width: int = 1,
        team: int = 1,
    ) -> None:
        """One call, on flat buffers in memory; by groups of `width` lanes, in teams."""
        args = [ctypes.c_void_p(b.ctypes.data) for b in buffers]
        args += [ctypes.c_int64(sizes[name]) for name in kernel.sizes]
        for part in self.printed[kernel.sym_name.data].parts:
            function = getattr(self.library, part.function)
            together = width if part.groups else 1
            self.library.lanes(together, team if part.groups else 1)

            def lane(item: int, number: int, function: Any = function) -> None:
                self.library.place(ctypes.c_int64(item), ctypes.c_int64(number))
                function(*args)

            for item in range(part.items.evaluate(symbols=sizes)):
                threads = [Thread(target=lane, args=(item, n)) for n in range(1, together)]
                for thread in threads:
                    thread.start()
                lane(item, 0)
                for thread in threads:
                    thread.join()


@pytest.fixture
def shim(tmp_path: Path) -> Any:
    if shutil.which("g++") is None:
        pytest.skip("needs a C++ compiler: apt-get install g++")
    return lambda kernels: Shim(kernels, tmp_path)
