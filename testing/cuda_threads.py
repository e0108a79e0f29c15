"""Kernels in CUDA's dialect of C as C++ whose lanes are threads, under ThreadSanitizer: do lanes wait for each other?

Groups run beside each other, each with its own copy of the function, whose static arrays are what the group shares.
What two lanes touch, and one of them writes, without a barrier between them, is a race that the sanitizer reports,
whether or not it has changed a result (Serebryany and Iskhodzhanov, ThreadSanitizer, 2009)."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..codegen.simt.printer import print_kernel, source_of
from ..codegen.simt.words import CUDA, Words
from ..dialects.loop import Kernel

GROUPS = 3  # beside each other
RACE = 66  # the exit status that says so
ALIGNMENT = 64

HEAD = """
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <thread>
#include <utility>
#include <vector>
#define __device__
#define __shared__ static
#define __syncthreads() pthread_barrier_wait(&all[GROUP])
struct Place { long long x; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(16) int4 { int x, y, z, w; };
struct alignas(16) double2 { double x, y; };
struct alignas(16) longlong2 { long long x, y; };
static thread_local Place blockIdx, threadIdx;
static thread_local int slot;  // of its group among those beside each other
static const Place blockDim = {LANES};
static const int warpSize = TEAM;
static pthread_barrier_t all[GROUPS], teams[GROUPS][LANES / TEAM];
#define __syncwarp() pthread_barrier_wait(&teams[slot][threadIdx.x / warpSize])
template <class T> static T __shfl_xor_sync(unsigned, T x, int bits) {
  static long long given[GROUPS][LANES];
  memcpy(&given[slot][threadIdx.x], &x, sizeof x);
  __syncwarp();
  T y;
  memcpy(&y, &given[slot][threadIdx.x ^ bits], sizeof y);
  __syncwarp();
  return y;
}
static int __float_as_int(float x) { int y; memcpy(&y, &x, 4); return y; }
static float __int_as_float(int x) { float y; memcpy(&y, &x, 4); return y; }
static long long __double_as_longlong(double x) { long long y; memcpy(&y, &x, 8); return y; }
static double __longlong_as_double(long long x) { double y; memcpy(&y, &x, 8); return y; }
"""

DISPATCH = """
template <class... A> static void call(void (*)(A...), const long long *);
template <int GROUP> static void run(const char *name, const long long *a) {{
{calls}  abort();
}}
"""

# The program: FILE FUNCTION GROUPS ARGUMENT..., where pN is the place N in the file, which is memory, and iN is N.
MAIN = """
template <class... A, std::size_t... I>
static void apply(void (*f)(A...), const long long *a, std::index_sequence<I...>) { f((A)a[I]...); }
template <class... A>
static void call(void (*f)(A...), const long long *a) { apply(f, a, std::index_sequence_for<A...>()); }

template <int GROUP> static void group(const char *name, long long groups, const long long *a) {
  std::vector<std::thread> lanes;
  pthread_barrier_init(&all[GROUP], 0, LANES);
  for (auto &team : teams[GROUP]) pthread_barrier_init(&team, 0, TEAM);
  for (int lane = 0; lane < LANES; ++lane)
    lanes.emplace_back([=] {
      threadIdx.x = lane;
      slot = GROUP;
      for (long long g = GROUP; g < groups; g += GROUPS) {
        blockIdx.x = g;
        run<GROUP>(name, a);
        pthread_barrier_wait(&all[GROUP]);  // the next group has the same memory
      }
    });
  for (auto &lane : lanes) lane.join();
}
template <int... G> static void launch(const char *name, long long n, long long *a, std::integer_sequence<int, G...>) {
  std::vector<std::thread> groups;
  (groups.emplace_back([=] { group<G>(name, n, a); }), ...);
  for (auto &one : groups) one.join();
}
int main(int count, char **words) {
  int file = open(words[1], O_RDWR);
  char *memory = (char *)mmap(0, lseek(file, 0, SEEK_END), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  std::vector<long long> args;
  for (int i = 4; i < count; ++i) args.push_back(atoll(words[i] + 1) + (words[i][0] == 'p' ? (long long)memory : 0));
  launch(words[2], atoll(words[3]), args.data(), std::make_integer_sequence<int, GROUPS>());
}
"""


class Raced(Exception):
    """Lanes that do not wait for each other; what the sanitizer says."""


class Threads:
    """Kernels, compiled in a folder, for groups of `lanes` lanes, in teams of `team`.

    Raises OSError where there is no C++ compiler."""

    def __init__(
        self, kernels: Sequence[Kernel], folder: Path, lanes: int = 4, team: int = 2, words: Words = CUDA
    ) -> None:
        self.folder, self.lanes = folder, lanes
        self.printed = {k.sym_name.data: print_kernel(k, words) for k in kernels}
        source = source_of([p.code for p in self.printed.values()], words)
        source = source.replace(words.kernel, "template <int GROUP> static void")
        functions = [part.function for p in self.printed.values() for part in p.parts]
        calls = "".join(f'  if (!strcmp(name, "{f}")) return call({f}<GROUP>, a);\n' for f in functions)
        runs = DISPATCH.format(calls=calls)
        text = f"#define LANES {lanes}\n#define TEAM {team}\n#define GROUPS {GROUPS}\n{HEAD}{source}\n{runs}{MAIN}"
        (folder / "kernels.cpp").write_text(text)
        command = ["g++", "-std=c++17", "-O1", "-fsanitize=thread", "-ffp-contract=off", "-fno-strict-aliasing", "-w"]
        made = subprocess.run([*command, "-o", "kernels", "kernels.cpp"], cwd=folder, capture_output=True, text=True)
        if made.returncode:
            raise OSError(made.stderr[:2000])

    def run(self, kernel: Kernel, buffers: Sequence[np.ndarray[Any, Any]], sizes: Mapping[str, int]) -> None:
        """One call, on flat buffers. Raises Raced."""
        places = np.cumsum([0] + [-(-max(b.nbytes, 1) // ALIGNMENT) * ALIGNMENT for b in buffers]).tolist()
        file = self.folder / "memory"
        memory = np.memmap(file, np.uint8, "w+", shape=(places[-1] + ALIGNMENT,))
        for place, buffer in zip(places, buffers, strict=False):
            memory[place : place + buffer.nbytes] = buffer.reshape(-1).view(np.uint8)
        args = [f"p{place}" for place in places[:-1]] + [f"i{sizes[name]}" for name in kernel.sizes]
        for part in self.printed[kernel.sym_name.data].parts:
            items = part.items.evaluate(symbols=dict(sizes))
            groups = items if part.groups else -(-items // self.lanes)
            memory.flush()
            done = subprocess.run(
                ["setarch", "-R", "./kernels", "memory", part.function, str(groups), *args],
                cwd=self.folder, capture_output=True, text=True, env=os.environ | {"TSAN_OPTIONS": f"exitcode={RACE}"},
            )  # fmt: skip
            if done.returncode == RACE:
                raise Raced(f"{part.function}: {re.sub(r'(?m)^=+$', '', done.stderr).strip()[:2000]}")
            if done.returncode:
                raise RuntimeError(f"{part.function} ended with {done.returncode}: {done.stderr[:1000]}")
        for place, buffer in zip(places, buffers, strict=False):
            buffer.reshape(-1).view(np.uint8)[...] = memory[place : place + buffer.nbytes]
