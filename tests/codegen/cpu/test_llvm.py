"""LLVM text to object code."""

import pytest

from ircc.codegen.cpu import llvm
from ircc.codegen.cpu.jit import LoadedObject
from ircc.errors import BackendError, EngineError

TWICE = "define i64 @twice(i64 %x) {\n  %y = mul i64 %x, 2\n  ret i64 %y\n}\n"


def test_same_text_same_object() -> None:
    assert llvm.compile_object(TWICE, llvm.host()) == llvm.compile_object(TWICE, llvm.host())


@pytest.mark.parametrize("text", ["define nonsense", "define i32 @f() {\n  ret i64 0\n}\n"])
def test_refused_text_is_an_error(text: str) -> None:
    with pytest.raises(BackendError, match="LLVM refuses"):
        llvm.compile_object(text, llvm.host())


def test_unknown_triple_is_an_error() -> None:
    with pytest.raises(BackendError, match="sparkle-unknown-none"):
        llvm.compile_object(TWICE, llvm.Machine("sparkle-unknown-none"))


def test_features_change_the_code() -> None:
    text = """define <8 x float> @f(<8 x float> %a, <8 x float> %b) {
  %c = call <8 x float> @llvm.fma.v8f32(<8 x float> %a, <8 x float> %b, <8 x float> %b)
  ret <8 x float> %c
}
"""
    triple = "x86_64-unknown-linux-gnu"
    assert "vfmadd" in llvm.compile_assembly(text, llvm.Machine(triple, features="+avx2,+fma"))
    assert "vfmadd" not in llvm.compile_assembly(text, llvm.Machine(triple))


def test_scalar_code_is_not_vectorised() -> None:
    """Kernels arrive as vector code: LLVM's own vectorisers stay off."""
    text = """define void @f(ptr noalias %a, ptr noalias %b) {
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %j, %loop ]
  %p = getelementptr float, ptr %a, i64 %i
  %q = getelementptr float, ptr %b, i64 %i
  %x = load float, ptr %p
  %y = fadd float %x, 1.0
  store float %y, ptr %q
  %j = add i64 %i, 1
  %more = icmp ult i64 %j, 1024
  br i1 %more, label %loop, label %out
out:
  ret void
}
"""
    assembly = llvm.compile_assembly(text, llvm.Machine("x86_64-unknown-linux-gnu"), passes=1)
    assert "addps" not in assembly
    assert assembly.count("addss") == 1


def test_missing_symbols_are_errors() -> None:
    code = LoadedObject(llvm.compile_object(TWICE, llvm.host()), ("twice",))
    with pytest.raises(EngineError, match="does not export thrice"):
        code.address("thrice")
    calls = "declare void @ircc_there_is_no_such_function()\n" + TWICE.replace(
        "  ret", "  call void @ircc_there_is_no_such_function()\n  ret"
    )
    with pytest.raises(EngineError, match="cannot be loaded"):
        LoadedObject(llvm.compile_object(calls, llvm.host()), ("twice",))


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"no object at all" * 100])
def test_damaged_objects_are_errors(data: bytes) -> None:
    with pytest.raises(EngineError, match="cannot be loaded"):
        LoadedObject(data, ("twice",))
