"""What the dialects of C for accelerators call the same things: a table of words each.

The printed code names element types as ircc does (`f32`, `i64`), which `head` defines; all else that differs is a word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Words:
    """One dialect. Words with braces are filled in."""

    name: str
    suffix: str  # of a source file
    head: str  # what every source begins with
    head_f64: str  # and one that uses doubles
    kernel: str  # in front of a kernel's name
    helper: str  # in front of a function that kernels call
    memory: str  # in front of a pointer to device memory
    shared: str  # in front of an array that a group shares
    unroll: str  # in front of a loop
    barrier: str  # all lanes of a group come here
    item: str  # number of this work item among all
    group_item: str  # number of its group
    lane: str  # its number in its group
    width: str  # work items in its group
    shuffle: str  # the value {0} of the lane of its team whose number differs in the bits {1}; empty: through memory
    f32_bits: str
    bits_f32: str
    f64_bits: str
    bits_f64: str
    function: str  # a function of the dialect's library on f32
    offsets: bool  # a buffer is a memory object and an offset, not an address
    compiler: tuple[str, ...]  # the command that {source} is compiled with into {object}; empty: the driver does it
    group: int  # work items in a group, where the target does not say
    matrix: Mapping[str, str]  # matrix instructions by name: their text
    verified: bool  # whether its kernels were run on what they are for
    team: str = ""  # how many lanes run in step; empty: they hand each other nothing
    teams: int = 0  # ... as schedules reckon; kernels ask
    meet: str = ""  # all lanes of a team come here
    load: str = (
        ""  # {n} neighbours from {at} on into the array {to}; `store` the other way round. Both empty: one by one
    )
    store: str = ""
    vectors: Mapping[str, str] = field(default_factory=dict[str, str])  # ... or through these, by element and number


_C_TYPES = """\
typedef signed char i8; typedef short i16; typedef int i32; typedef long long i64;
typedef unsigned char u8; typedef unsigned short u16; typedef unsigned int u32; typedef unsigned long long u64;
typedef float f32; typedef double f64;
"""

OPENCL = Words(
    name="opencl",
    suffix=".cl",
    head="""\
#pragma OPENCL FP_CONTRACT OFF
typedef char i8; typedef short i16; typedef int i32; typedef long i64;
typedef uchar u8; typedef ushort u16; typedef uint u32; typedef ulong u64;
typedef float f32;
""",
    head_f64="#pragma OPENCL EXTENSION cl_khr_fp64 : enable\ntypedef double f64;\n",
    kernel="__kernel void",
    helper="static inline",
    memory="__global ",
    shared="__local ",
    unroll="__attribute__((opencl_unroll_hint))",
    barrier="barrier(CLK_LOCAL_MEM_FENCE);",
    item="get_global_id(0)",
    group_item="get_group_id(0)",
    lane="get_local_id(0)",
    width="get_local_size(0)",
    shuffle="",
    f32_bits="as_int({})",
    bits_f32="as_float({})",
    f64_bits="as_long({})",
    bits_f64="as_double({})",
    function="{}",
    offsets=True,
    compiler=(),
    group=64,
    matrix={},
    verified=True,
    load="vstore{n}(vload{n}(0, {at}), 0, {to});",
    store="vstore{n}(vload{n}(0, {to}), 0, {at});",
)

CUDA = Words(
    name="cuda-c",
    suffix=".cu",
    head=_C_TYPES,
    head_f64="",
    kernel='extern "C" __global__ void',
    helper="static __device__ inline",
    memory="",
    shared="__shared__ ",
    unroll="#pragma unroll",
    barrier="__syncthreads();",
    item="(i64)blockIdx.x * blockDim.x + threadIdx.x",
    group_item="blockIdx.x",
    lane="threadIdx.x",
    width="blockDim.x",
    shuffle="__shfl_xor_sync(0xffffffffu, {0}, {1})",
    f32_bits="__float_as_int({})",
    bits_f32="__int_as_float({})",
    f64_bits="__double_as_longlong({})",
    bits_f64="__longlong_as_double({})",
    function="{}f",
    offsets=False,
    compiler=("nvcc", "--fmad=false", "-O3", "-cubin", "-o", "{object}", "{source}"),
    group=128,
    matrix={},
    verified=False,
    team="warpSize",
    teams=32,
    meet="__syncwarp();",
    vectors={"f32x2": "float2", "f32x4": "float4", "i32x4": "int4", "f64x2": "double2", "i64x2": "longlong2"},
)

HIP = replace(
    CUDA,
    name="hip",
    suffix=".hip",
    head="#include <hip/hip_runtime.h>\n" + _C_TYPES,
    teams=64,
    meet='__builtin_amdgcn_fence(__ATOMIC_RELEASE, "wavefront"); __builtin_amdgcn_wave_barrier(); '
    '__builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "wavefront");',
    shuffle="__shfl_xor({0}, {1})",
    compiler=("hipcc", "--genco", "-ffp-contract=off", "-O3", "-o", "{object}", "{source}"),
    group=256,
)

# The makers document these dialects as CUDA's with other names of tools and headers.
MUSA = replace(
    CUDA,
    name="musa",
    suffix=".mu",
    head="#include <musa_runtime.h>\n" + _C_TYPES,
    compiler=("mcc", "-ffp-contract=off", "-O3", "--cuda-device-only", "-o", "{object}", "{source}"),
)

MACA = replace(
    CUDA,
    name="maca",
    suffix=".maca",
    head="#include <mc_runtime.h>\n" + _C_TYPES,
    teams=64,
    meet="__syncwarp(0xffffffffffffffffull);",
    shuffle="__shfl_xor_sync(0xffffffffffffffffull, {0}, {1})",
    compiler=("mxcc", "-ffp-contract=off", "-O3", "-device-obj", "-o", "{object}", "{source}"),
    group=256,
)

DIALECTS: Mapping[str, Words] = {w.name: w for w in (OPENCL, CUDA, HIP, MUSA, MACA)}
