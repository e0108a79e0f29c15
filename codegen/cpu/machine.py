"""The description of the machine that this process runs on."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from ...ir.target import PRESETS, Target
from ...runtime.machine import architecture
from .llvm import host


@cache
def host_target() -> Target:
    """What the host's features and caches say."""
    machine = host()
    have = machine.required
    x86 = machine.architecture == "x86_64"
    known = [t for t in PRESETS.values() if architecture(t.triple) == machine.architecture]
    like = [t for t in known if {f[1:] for f in t.features.split(",")} <= have][-1:] or known[:1]
    wide = {"avx512f", "avx512vl", "avx512dq", "avx512bw"} <= have
    avx2 = {"avx2", "fma"} <= have
    return Target(
        name="host",
        triple=machine.triple,
        cpu=machine.cpu,
        features=machine.features,
        vector_bits=512 if wide else 256 if avx2 else 128 if x86 or not like else like[0].vector_bits,
        vector_registers=32 if wide or not x86 else 16,
        fma=not x86 or "fma" in have,
        masks=wide or avx2 or (not x86 and bool(like) and like[0].masks),
        l1=_cache(1, 32 << 10),
        l2=_cache(2, 1 << 20),
        l3=_cache(3, 16 << 20),
    )


def _cache(level: int, otherwise: int) -> int:
    """Bytes of a data cache as the system says, else a usual size."""
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            if (index / "type").read_text().strip() == "Instruction" or int((index / "level").read_text()) != level:
                continue
            text = (index / "size").read_text().strip()
            return int(text.rstrip("KM")) << {"K": 10, "M": 20}.get(text[-1], 0)
        except (OSError, ValueError):
            continue
    return otherwise
