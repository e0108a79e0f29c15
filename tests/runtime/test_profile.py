"""Profiles: every kernel counted, and the machine's limits measured in the same process."""

from dataclasses import replace

import numpy as np
import pytest

from ircc.codegen.cpu import llvm, peak
from ircc.runtime.artifact import Artifact, Kernel
from ircc.runtime.engine import Engine
from ircc.runtime.profile import KernelTime, Profile, profile


@pytest.mark.parametrize("threads", [1, 2])
def test_kernels_and_peaks(artifact: Artifact, threads: int) -> None:
    x = np.ones((1000, 4), np.float32)
    engine = Engine(artifact, threads=threads)
    found = profile(engine, {"x": x}, rounds=3)
    assert found.threads == threads
    assert len(found.runs) == 3
    assert [k.name for k in found.kernels] == ["scale", "shift"]
    for kernel in found.kernels:
        assert kernel.calls == 1
        assert kernel.flops == 4000
        assert kernel.bytes == 32_000
        assert 0 < kernel.median < 1
        percent = found.peak_percent(kernel)
        assert percent is not None
        assert percent > 0
    assert found.peak_flops > 1e9  # any core of this century
    rates = [found.peak_bytes[size] for size in sorted(found.peak_bytes)]
    assert min(rates) > 1e8
    assert np.array_equal(engine.run({"x": x})["y"], x * [1, 2, -3, 0.5] + np.float32(1))


def test_limits() -> None:
    found = Profile((), (), 1, peak_flops=100.0, peak_bytes={10: 50.0, 1000: 5.0})

    def kernel(calls: int, flops: int, size: int) -> KernelTime:
        return KernelTime("k", (), "", calls, (4.0, 2.0, 99.0), flops, size)

    assert found.limit(kernel(1, 300, 1)) == 3.0  # arithmetic
    assert found.limit(kernel(1, 1, 100)) == 20.0  # memory, working set of 100
    assert found.limit(kernel(20, 1, 100)) == 2.0  # 20 calls of 5 bytes each: the faster memory
    assert found.limit(kernel(1, 0, 5000)) == 1000.0  # larger than what was measured
    assert found.peak_percent(kernel(1, 300, 1)) == 75.0
    less = replace(kernel(1, 300, 1), nominal=900)  # an algorithm that does with a third
    assert found.limit(less) == 3.0
    assert found.limit(less, nominal=True) == 9.0
    assert found.peak_percent(less) == 75.0
    assert found.peak_percent(kernel(1, 0, 0)) is None


def test_work_that_follows_from_data_is_not_counted(artifact: Artifact) -> None:
    late = replace(artifact, kernels=(Kernel("a", flops="K"), Kernel("b", flops="7")))
    found = profile(Engine(late, threads=1), {"x": np.ones((2, 4), np.float32)}, rounds=1, peaks=False)
    assert [k.flops for k in found.kernels] == [0, 7]


@pytest.mark.parametrize(
    ("machine", "instruction", "lanes"),
    [
        (llvm.Machine("x86_64-unknown-linux-gnu"), "mulps", 4),
        (llvm.Machine("x86_64-unknown-linux-gnu", features="+avx2,+fma,+avx"), "vfmadd", 8),
        (llvm.Machine("x86_64-unknown-linux-gnu", features="+avx512f,+avx,+fma"), "zmm", 16),
        (llvm.Machine("aarch64-unknown-linux-gnu"), "fmla", 4),
    ],
)
def test_peak_kernels_use_the_machine(machine: llvm.Machine, instruction: str, lanes: int) -> None:
    assembly = llvm.compile_assembly(peak.text(machine), machine)
    assert instruction in assembly
    assert peak.lanes(machine) == lanes
    body = assembly.split("ircc_peak_flops:")[1].split("ircc_peak_read:")[0]
    loop = body[: body.rindex("fmla" if instruction == "fmla" else "mulps" if lanes == 4 else "vfmadd")]
    assert "fma@PLT" not in assembly  # no call of a library's fma
    assert loop.count("Spill") == 0
    assert loop.count("Reload") == 0
