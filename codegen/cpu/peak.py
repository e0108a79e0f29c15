"""LLVM text of two kernels that do nothing but reach the machine's limits: multiply-adds in registers, and reading.

Both are bodies for ircc_pool_run: void (ptr args, i64 chunk), with args { i64 iterations, ptr memory,
i64 bytes per chunk, ptr sink, float x, float y }. The sink has SINK_BYTES per chunk; what is written there keeps LLVM
from dropping the work.
"""

from .llvm import Machine

SINK_BYTES = 64
READ_BYTES = 512  # bytes per chunk are a multiple of this


def lanes(machine: Machine) -> int:
    """float32 values in a vector register of the machine."""
    features = machine.required
    if machine.architecture.startswith("x86"):
        return 16 if "avx512f" in features else 8 if "avx" in features else 4
    return 4


def has_fma(machine: Machine) -> bool:
    """The machine multiplies and adds in one instruction."""
    return not machine.architecture.startswith("x86") or bool(machine.required & {"fma", "avx512f"})


def accumulators(machine: Machine) -> int:
    """Independent chains: enough to cover latency × units (4 × 2), with all of them in registers."""
    return 12 if has_fma(machine) else 10


def flops_per_iteration(machine: Machine) -> int:
    return 2 * lanes(machine) * accumulators(machine)


def text(machine: Machine) -> str:
    """ircc_peak_flops and ircc_peak_read."""
    return _flops(lanes(machine), accumulators(machine), has_fma(machine)) + _read(lanes(machine))


_PROLOGUE = f"""entry:
  %iterations = load i64, ptr %args
  %sinksp = getelementptr i64, ptr %args, i64 3
  %sinks = load ptr, ptr %sinksp
  %sinkat = mul i64 %chunk, {SINK_BYTES}
  %sink = getelementptr i8, ptr %sinks, i64 %sinkat"""


def _flops(width: int, count: int, fma: bool) -> str:
    vector = f"<{width} x float>"
    lines: list[str] = []
    for name, offset in (("x", 32), ("y", 36)):  # operands that LLVM cannot know
        lines += [
            f"  %{name}p = getelementptr i8, ptr %args, i64 {offset}",
            f"  %{name}s = load float, ptr %{name}p",
            f"  %{name}v = insertelement {vector} poison, float %{name}s, i64 0",
            f"  %{name} = shufflevector {vector} %{name}v, {vector} poison, <{width} x i32> zeroinitializer",
        ]
    lines += ["  br label %loop", "loop:", "  %i = phi i64 [ 0, %entry ], [ %i1, %loop ]"]
    for k in range(count):
        lines.append(f"  %a{k} = phi {vector} [ splat (float {float(k)}), %entry ], [ %b{k}, %loop ]")
    for k in range(count):
        if fma:
            operands = f"{vector} %a{k}, {vector} %x, {vector} %y"
            lines.append(f"  %b{k} = call {vector} @llvm.fma.v{width}f32({operands})")
        else:
            lines += [f"  %m{k} = fmul {vector} %a{k}, %x", f"  %b{k} = fadd {vector} %m{k}, %y"]
    lines += [
        "  %i1 = add i64 %i, 1",
        "  %more = icmp slt i64 %i1, %iterations",
        "  br i1 %more, label %loop, label %out",
        "out:",
        *(f"  store volatile {vector} %b{k}, ptr %sink, align 4" for k in range(count)),
        "  ret void",
    ]
    return _function("ircc_peak_flops", lines)


def _read(width: int) -> str:
    vector, count = f"<{width} x i32>", 8
    lines = [
        "  %memoryp = getelementptr i64, ptr %args, i64 1",
        "  %memory = load ptr, ptr %memoryp",
        "  %sizep = getelementptr i64, ptr %args, i64 2",
        "  %size = load i64, ptr %sizep",
        "  %start = mul i64 %chunk, %size",
        "  %base = getelementptr i8, ptr %memory, i64 %start",
        "  br label %pass",
        "pass:",
        "  %i = phi i64 [ 0, %entry ], [ %i1, %passed ]",
        *(f"  %c{k} = phi {vector} [ zeroinitializer, %entry ], [ %d{k}, %passed ]" for k in range(count)),
        "  br label %loop",
        "loop:",
        "  %at = phi i64 [ 0, %pass ], [ %at1, %loop ]",
        *(f"  %a{k} = phi {vector} [ %c{k}, %pass ], [ %d{k}, %loop ]" for k in range(count)),
        "  %place = getelementptr i8, ptr %base, i64 %at",
    ]
    for k in range(count):
        lines += [
            f"  %p{k} = getelementptr {vector}, ptr %place, i64 {k}",
            f"  %v{k} = load {vector}, ptr %p{k}",
            f"  %d{k} = xor {vector} %a{k}, %v{k}",
        ]
    lines += [
        f"  %at1 = add i64 %at, {count * width * 4}",
        "  %more = icmp slt i64 %at1, %size",
        "  br i1 %more, label %loop, label %passed",
        "passed:",
        "  %i1 = add i64 %i, 1",
        "  %again = icmp slt i64 %i1, %iterations",
        "  br i1 %again, label %pass, label %out",
        "out:",
        *(f"  store volatile {vector} %d{k}, ptr %sink, align 4" for k in range(count)),
        "  ret void",
    ]
    return _function("ircc_peak_read", lines)


def _function(name: str, lines: list[str]) -> str:
    body = "\n".join([_PROLOGUE, *lines])
    return f"define void @{name}(ptr %args, i64 %chunk) nounwind {{\n{body}\n}}\n"
