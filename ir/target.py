"""The description of a target, as data: what schedules ask instead of asking which chip it is."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from xdsl.dialects.builtin import BoolAttr, DictionaryAttr, IntegerAttr, ModuleOp, StringAttr, i64
from xdsl.ir import Attribute

from ..errors import IRError
from .types import dtype_of

ATTRIBUTE = "ircc.target"


@dataclass(frozen=True)
class Target:
    """What a target can do. Sizes of caches are in bytes, per core but for l3.

    `triple`, `cpu` and `features` are for the code generator alone; strategies look at the numbers. Of a device these
    and the numbers above `group` are those of the machine that it belongs to, on which the rest of a program runs.
    """

    name: str
    triple: str
    cpu: str
    features: str
    vector_bits: int  # the widest vector register; 0: there is none
    vector_registers: int
    fma: bool  # multiply and add in one instruction
    masks: bool  # loads and stores of a part of a vector are cheap
    l1: int = 32 << 10
    l2: int = 1 << 20
    l3: int = 16 << 20
    group: int = 0  # work items that run together on a device and can share memory; 0: kernels run on the cores
    team: int = 0  # ... of which so many can hand each other values; 0: only through memory
    shared: int = 0  # bytes of memory that a group shares
    driver: str = ""  # what compiles a device's kernels where it runs, if it is at hand: another may refuse others
    spaces: str = ""  # a device's own memory spaces, and the bytes of each: "scratchpad=65536 accumulator=16384"
    # What placement reckons with. With a link of 0 every kernel runs where it is supported: nothing is known, or the
    # device works on the host's memory. Whoever knows his chip says better ones than these, of some GPU and some CPU.
    link: int = 0  # bytes a nanosecond between the host's memory and the device's
    link_latency: int = 10_000  # nanoseconds of a copy before its first byte
    gflops: int = 5_000  # operations a nanosecond of the device, on float32
    bandwidth: int = 400  # bytes a nanosecond of its memory
    launch_latency: int = 5_000  # nanoseconds of a launch that does nothing
    host_gflops: int = 100
    host_bandwidth: int = 20
    host_latency: int = 500

    def lanes(self, element: Attribute) -> int:
        """Elements of this type in one vector."""
        return max(1, self.vector_bits // (8 * dtype_of(element).itemsize))

    @property
    def host(self) -> Target:
        """The machine that a device belongs to; itself where it is none."""
        return replace(self, **_DEVICE)

    @property
    def memories(self) -> dict[str, int]:
        """Bytes of each of a device's own memory spaces."""
        pairs = (part.partition("=") for part in self.spaces.split())
        return {name: int(size) for name, _, size in pairs if size.isdigit()}

    # ---- as the attribute `ircc.target` of a module

    def attribute(self) -> DictionaryAttr:
        def encode(value: object) -> Attribute:
            if isinstance(value, bool):
                return BoolAttr.from_bool(value)
            return IntegerAttr(value, i64) if isinstance(value, int) else StringAttr(str(value))

        return DictionaryAttr({k: encode(v) for k, v in asdict(self).items() if k not in _DEVICE or v != _DEVICE[k]})

    def attach(self, module: ModuleOp) -> None:
        """Say that `module` is for this target."""
        module.attributes[ATTRIBUTE] = self.attribute()

    @classmethod
    def of(cls, module: ModuleOp) -> Target:
        """The target that a module is for, the plainest where it does not say. Raises IRError for a malformed one."""
        attr = module.attributes.get(ATTRIBUTE)
        if attr is None:
            return PRESETS["x86-64"]
        values: dict[str, object] = {}
        if isinstance(attr, DictionaryAttr):
            for key, value in attr.data.items():
                if isinstance(value, StringAttr):
                    values[key] = value.data
                elif isinstance(value, IntegerAttr):
                    number = value.value.data
                    values[key] = bool(number) if value.type.bitwidth == 1 else number
        known = asdict(PRESETS["x86-64"])
        wrong = ({f.name for f in fields(cls)} ^ values.keys()) - _DEVICE.keys()
        wrong |= {key for key in known.keys() & values.keys() if type(values[key]) is not type(known[key])}
        if wrong:
            raise IRError(
                f"the module's {ATTRIBUTE} lacks, does not know or does not understand: {', '.join(sorted(wrong))}"
            )
        return cls(**values)  # pyright: ignore[reportArgumentType]


_DEVICE: dict[str, Any] = {  # what only devices have, written where it is another than this
    f.name: f.default for f in fields(Target)[[f.name for f in fields(Target)].index("group") :]
}
_TRIPLE = "x86_64-unknown-linux-gnu"
_RISCV = "riscv64-unknown-linux-gnu"
_LOONGARCH = "loongarch64-unknown-linux-gnu"
_V2 = "+sse,+sse2,+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16"
_V3 = f"{_V2},+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe"
_V4 = f"{_V3},+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl"
_GC = "+m,+a,+f,+d,+c"

# Of each architecture the plainest comes first, and the next ones ask for more. A target without vectors has vectors of
# 0 bits, so one lane of every type: strategies then tile for its scalar registers.
PRESETS: dict[str, Target] = {
    t.name: t
    for t in (
        Target("x86-64", _TRIPLE, "x86-64", "+sse,+sse2", 128, 16, fma=False, masks=False),
        Target("x86-64-v2", _TRIPLE, "x86-64-v2", _V2, 128, 16, fma=False, masks=False),
        Target("x86-64-v3", _TRIPLE, "x86-64-v3", _V3, 256, 16, fma=True, masks=True),
        Target("x86-64-v4", _TRIPLE, "x86-64-v4", _V4, 512, 32, fma=True, masks=True),
        Target("aarch64", "aarch64-unknown-linux-gnu", "generic", "+neon", 128, 32, fma=True, masks=False),
        Target("riscv64", _RISCV, "generic-rv64", _GC, 0, 32, fma=True, masks=False),
        Target("riscv64-v", _RISCV, "generic-rv64", f"{_GC},+v", 128, 32, fma=True, masks=True),
        Target("loongarch64", _LOONGARCH, "loongarch64", "+f,+d,+ual", 0, 32, fma=True, masks=False),
    )
}
