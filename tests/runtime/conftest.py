"""A model compiled by hand, so that the run time is tested without the compiler: y[N, 4] = x[N, 4] * w[4] + 1.

Two kernels over rows (one row is one chunk) with an intermediate in the arena; N may be 1000 at most.
"""

from collections.abc import Callable

import numpy as np
import pytest

from ircc.codegen.cpu import llvm, pool
from ircc.runtime.artifact import Artifact, Kernel, Port, WeightsBuilder

FLOAT = np.dtype(np.float32)
WEIGHTS = np.array([1.0, 2.0, -3.0, 0.5], np.float32)

HOST = """
define i32 @ircc_check(ptr %dims) {
  %n = load i64, ptr %dims
  %negative = icmp slt i64 %n, 0
  %places = getelementptr i64, ptr %dims, i64 1
  %d = load i64, ptr %places
  %wrong = icmp ne i64 %d, 4
  %second = select i1 %wrong, i32 2, i32 0
  %code = select i1 %negative, i32 1, i32 %second
  ret i32 %code
}

define i32 @ircc_plan(ptr %dims, ptr %plan) {
  %n = load i64, ptr %dims
  store i64 %n, ptr %plan
  %bytes = mul i64 %n, 16
  %p1 = getelementptr i64, ptr %plan, i64 1
  store i64 %bytes, ptr %p1
  %p2 = getelementptr i64, ptr %plan, i64 2
  store i64 %n, ptr %p2
  %p3 = getelementptr i64, ptr %plan, i64 3
  store i64 4, ptr %p3
  %bad = icmp sgt i64 %n, 1000
  %code = zext i1 %bad to i32
  ret i32 %code
}

define i32 @ircc_main(ptr %device, ptr %frame) {
entry:
  %args = alloca [4 x ptr]
  %plan = load ptr, ptr %frame
  %n = load ptr, ptr %plan
  %arenap = getelementptr ptr, ptr %frame, i64 1
  %arena = load ptr, ptr %arenap
  %weightsp = getelementptr ptr, ptr %frame, i64 2
  %weights = load ptr, ptr %weightsp
  %inputsp = getelementptr ptr, ptr %frame, i64 3
  %inputs = load ptr, ptr %inputsp
  %x = load ptr, ptr %inputs
  %outputsp = getelementptr ptr, ptr %frame, i64 4
  %outputs = load ptr, ptr %outputsp
  %y = load ptr, ptr %outputs
  %contextp = getelementptr ptr, ptr %device, i64 1
  %context = load ptr, ptr %contextp
  %launchp = getelementptr ptr, ptr %device, i64 2
  %launch = load ptr, ptr %launchp
  %waitp = getelementptr ptr, ptr %device, i64 6
  %wait = load ptr, ptr %waitp
  %a1 = getelementptr ptr, ptr %args, i64 1
  %a2 = getelementptr ptr, ptr %args, i64 2
  %a3 = getelementptr ptr, ptr %args, i64 3
  store ptr %x, ptr %args
  store ptr %weights, ptr %a1
  store ptr %arena, ptr %a2
  store ptr %n, ptr %a3
  %e0 = call i32 %launch(ptr %context, i32 0, ptr %args, i64 4)
  %bad0 = icmp ne i32 %e0, 0
  br i1 %bad0, label %failed, label %second
failed:
  ret i32 %e0
second:
  store ptr %arena, ptr %args
  store ptr %y, ptr %a1
  store ptr %n, ptr %a2
  %e1 = call i32 %launch(ptr %context, i32 1, ptr %args, i64 3)
  %bad1 = icmp ne i32 %e1, 0
  br i1 %bad1, label %failed1, label %done
failed1:
  ret i32 %e1
done:
  %e2 = call i32 %wait(ptr %context)
  ret i32 %e2
}
"""

KERNELS = """
@ircc_kernels = constant [2 x ptr] [ptr @scale, ptr @shift]
@ircc_kernel_count = constant i64 2

define internal void @scale.row(ptr %args, i64 %chunk) {
  %x = load ptr, ptr %args
  %a1 = getelementptr ptr, ptr %args, i64 1
  %w = load ptr, ptr %a1
  %a2 = getelementptr ptr, ptr %args, i64 2
  %t = load ptr, ptr %a2
  %xp = getelementptr <4 x float>, ptr %x, i64 %chunk
  %tp = getelementptr <4 x float>, ptr %t, i64 %chunk
  %xv = load <4 x float>, ptr %xp, align 4
  %wv = load <4 x float>, ptr %w, align 64
  %p = fmul <4 x float> %xv, %wv
  store <4 x float> %p, ptr %tp, align 16
  ret void
}
define internal void @shift.row(ptr %args, i64 %chunk) {
  %t = load ptr, ptr %args
  %a1 = getelementptr ptr, ptr %args, i64 1
  %y = load ptr, ptr %a1
  %tp = getelementptr <4 x float>, ptr %t, i64 %chunk
  %yp = getelementptr <4 x float>, ptr %y, i64 %chunk
  %tv = load <4 x float>, ptr %tp, align 16
  %s = fadd <4 x float> %tv, splat (float 1.0)
  store <4 x float> %s, ptr %yp, align 16
  ret void
}
define internal void @shift(ptr %launch, ptr %args) {
  %pool = load ptr, ptr %launch
  %np = getelementptr i64, ptr %args, i64 2
  %n = load i64, ptr %np
  call void @ircc_pool_run(ptr %pool, ptr @shift.row, ptr %args, i64 %n)
  ret void
}
"""

SCALE = """
define internal void @scale(ptr %launch, ptr %args) {
  %pool = load ptr, ptr %launch
  %np = getelementptr i64, ptr %args, i64 3
  %n = load i64, ptr %np
  call void @ircc_pool_run(ptr %pool, ptr @scale.row, ptr %args, i64 %n)
  ret void
}
"""


def reference(x: np.ndarray) -> np.ndarray:
    return x * WEIGHTS + np.float32(1)


def build(backend: str = "cpu", scale: str = SCALE) -> Artifact:
    """`scale`: the text of the first kernel."""
    machine = llvm.host()
    text = HOST + KERNELS + scale + pool.text(machine.triple) if backend == "cpu" else HOST
    weights = WeightsBuilder()
    assert weights.add(WEIGHTS) == 0
    return Artifact(
        backend=backend,
        target={"triple": machine.triple, "cpu": machine.cpu, "features": machine.features},
        inputs=(Port("x", FLOAT, ("N", 4)),),
        outputs=(Port("y", FLOAT, ("N", 4)),),
        symbols=("N",),
        checks=("input 'x': at most 1000 rows",),
        kernels=(
            Kernel("scale", ("Mul_0",), "elementwise", flops="4*N", bytes="32*N"),
            Kernel("shift", ("Add_0",), "elementwise", flops="4*N", bytes="32*N"),
        ),
        object=llvm.compile_object(text, machine),
        weights=weights.build(),
        provenance={"source": "by hand"},
    )


@pytest.fixture(scope="session")
def make_artifact() -> Callable[..., Artifact]:
    return build


@pytest.fixture(scope="session")
def artifact() -> Artifact:
    return build()


@pytest.fixture(scope="session")
def expected() -> Callable[[np.ndarray], np.ndarray]:
    return reference
