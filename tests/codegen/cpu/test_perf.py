"""What `perf` is told about loaded code."""

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from ircc.codegen.cpu import llvm, perf

TEXT = """
define internal i64 @hidden_body(i64 %x) noinline {
  %y = mul i64 %x, 3
  ret i64 %y
}
define i64 @first(i64 %x) {
  %y = call i64 @hidden_body(i64 %x)
  ret i64 %y
}
define i64 @ircc_main(i64 %x) {
  %y = call i64 @first(i64 %x)
  ret i64 %y
}
"""
LINUX = llvm.Machine("x86_64-unknown-linux-gnu")


def test_functions() -> None:
    found = {f.name: f for f in perf.functions(llvm.compile_object(TEXT, LINUX))}
    assert set(found) == {"hidden_body", "first", "ircc_main"}
    assert all(f.size > 0 for f in found.values())
    assert len({f.section for f in found.values()}) == 1
    ends = sorted((f.offset, f.offset + f.size) for f in found.values())
    assert all(end <= start for (_, end), (start, _) in pairwise(ends))


def test_no_elf() -> None:
    assert list(perf.functions(b"")) == []
    assert list(perf.functions(b"\xcf\xfa\xed\xfe" + bytes(100))) == []


@pytest.mark.skipif(sys.platform != "linux", reason="perf is Linux's")
def test_map() -> None:
    text = f"""
import os
from ircc.codegen.cpu import jit, llvm, perf
code = llvm.compile_object({TEXT!r}, llvm.host())
loaded = jit.LoadedObject(code, ("ircc_main", "first"))
perf.write_map(code, loaded.address, "ircc_main")
print(os.getpid(), hex(loaded.address("first")))
"""
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60, check=True)
    pid, first = done.stdout.split()
    path = Path(f"/tmp/perf-{pid}.map")
    try:
        lines = [line.split() for line in path.read_text().splitlines()]
    finally:
        os.unlink(path)
    assert {name for _, _, name in lines} == {"hidden_body", "first", "ircc_main"}
    assert [int(address, 16) for address, _, name in lines if name == "first"] == [int(first, 16)]
