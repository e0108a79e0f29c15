"""PTX of kernels: what is in it, that NVIDIA's assembler takes it, and what happens where LLVM has none."""

import re
from typing import Any

import numpy as np
import onnx.parser
import pytest
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.utils.exceptions import VerifyException

import ircc
from ircc.codegen.cuda import matrix
from ircc.codegen.cuda.backend import MODELS, ptx_of
from ircc.codegen.cuda.emit import emit_kernel, module_text
from ircc.codegen.cuda.ptx import compiled
from ircc.codegen.simt.teams import COMBINATIONS
from ircc.dialects.loop import Kernel
from ircc.errors import BackendError, Error
from ircc.testing import ptxas
from ircc.testing.case_programs import inputs_of_case, program_of_case
from ircc.testing.graph_cases import CASES, SIZES
from ircc.testing.group_kernels import team_kernels
from ircc.testing.scalar_cases import CASES as OPERATIONS
from ircc.testing.scalar_cases import kernel, operands

CASES_OF_EACH = 12  # operators of the graph dialect, other ones for each GPU
assembled = pytest.mark.skipif(ptxas.find() is None, reason=f"needs ptxas: {ptxas.HOW}")

NET = """
<ir_version: 9, opset_import: ["": 20]>
net (float[N, 3, 32, 32] x, float[64, 3, 3, 3] w, float[64] b, float[64, 1, 3, 3] d, float[64, 96] v, float[96] s)
    => (float[N, 64, 96] y)
<int64[3] shape = {0, 64, -1}, int64[3] turned = {0, -1, 64}>
{
    conv = Conv<pads = [1, 1, 1, 1]>(x, w, b)
    relu = Relu(conv)
    deep = Conv<pads = [1, 1, 1, 1], group = 64>(relu, d)
    pooled = MaxPool<kernel_shape = [4, 4], strides = [4, 4]>(deep)
    rows = Reshape(pooled, shape)
    product = MatMul(rows, v)
    normal = LayerNormalization(product, s)
    gelu = Gelu(normal)
    y = Softmax(gelu)
}
"""


def net() -> onnx.ModelProto:
    return onnx.parser.parse_model(NET)


def kernels(module: Any) -> list[Kernel]:
    assert isinstance(module, ModuleOp)
    return [op for op in module.body.ops if isinstance(op, Kernel)]


def test_what_is_in_it() -> None:
    """Memory of the right kind, barriers, widths that are asked for and sums that are rounded once."""
    x = "float[64, 128] x, float[128, 96] w"
    model = onnx.parser.parse_model(
        f'<ir_version: 9, opset_import: ["": 20]> m ({x}) => (float[64, 96] y) {{y = MatMul(x, w)}}'
    )
    for name in MODELS:
        text = str(ircc.emit(model, "ptx", target=f"cuda:{name}"))
        assert f".target {name}" in text and ".entry MatMul_0__0(" in text
        for word in ("ld.global.", "st.shared.", "ld.shared.", "bar.sync", "%ntid.x", "%ctaid.x", "fma.rn.f32"):
            assert word in text, word
        assert not re.search(r"\b(ld|st)\.b32|\.(req|max)ntid|\.f64", text)
    assert "define ptx_kernel void" in str(ircc.emit(model, "llvm-ir", target="cuda"))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("element", ["f16", "bf16"])
def test_tensor_cores(element: str, model: str) -> None:
    """Products of halves are tiles by the instruction; those of other sizes and types are not."""
    name = {"f16": "float16", "bf16": "bfloat16"}[element]
    text = '<ir_version: 9, opset_import: ["": 20]> '
    text += "m ({0}[{1}, 64] x, {0}[64, 48] w) => ({0}[{1}, 48] y) {{y = MatMul(x, w)}}"
    product = onnx.parser.parse_model(text.format(name, 32))
    ptx = str(ircc.emit(product, "ptx", target=f"cuda:{model}"))
    for word in ("load.a", "load.b", "load.c", "mma", "store.d"):
        assert len(re.findall(rf"wmma.{word}.sync.aligned.row\S*", ptx)) == 1, word
    assert f".shared.{element}" in ptx
    if ptxas.find() is not None:
        assert ptxas.refused(ptx, model) is None
    for other, rows in ((name, 30), ("float", 32)):
        small = onnx.parser.parse_model(text.format(other, rows))
        assert "wmma" not in str(ircc.emit(small, "ptx", target=f"cuda:{model}"))


@assembled
@pytest.mark.parametrize("model", MODELS)
def test_assembler_takes_tiles(model: str) -> None:
    """By rows and by columns."""
    calls = [
        f"  call void @ircc.{name}.{a}{b}(ptr %p, i64 16, ptr %p, i64 16, ptr %p, i64 16)"
        for name in matrix.LLVM
        for a in matrix.LAYOUTS
        for b in matrix.LAYOUTS
    ]
    tile = "@tile = internal addrspace(3) global [1024 x i8] undef, align 128\n"
    start = "define ptx_kernel void @tiles() {\n  %p = addrspacecast ptr addrspace(3) @tile to ptr"
    ptx = compiled("\n".join([tile + start, *calls, "  ret void\n}\n"]), model)
    assert not isinstance(ptx, BackendError) and ptx.count("wmma.mma.") == len(calls) == 8
    assert ptxas.refused(ptx, model) is None


@pytest.mark.parametrize("model", MODELS)
def test_lanes_hand_each_other_values(model: str) -> None:
    """Rows are combined by shuffles: a turn for the partial results, and one for what comes of them."""
    text = '<ir_version: 9, opset_import: ["": 20]> m (float[N, 300] x) => (float[N, 300] y) {y = Softmax(x)}'
    ptx = str(ircc.emit(onnx.parser.parse_model(text), "ptx", target=f"cuda:{model}"))
    largest, total = [part for part in ptx.split(".entry ")[1:] if "shfl.sync.bfly.b32" in part]
    for part in (largest, total):
        assert part.count("shfl.sync.bfly.b32") == 2 and "WARP_SZ" in part and part.count("bar.sync") <= 7
    assert "max.NaN.f32" in largest and "max.NaN.f32" not in total
    if ptxas.find() is not None:
        assert ptxas.refused(ptx, model) is None


@assembled
@pytest.mark.parametrize("model", MODELS)
def test_assembler_takes_teams(model: str) -> None:
    """Everything that they combine, also in two halves."""
    ptx = ptx_of(team_kernels(48), model)
    assert ptx.count(".entry") == len(COMBINATIONS) == 6 and ptx.count("shfl.sync.bfly.b32") == 8
    assert ptxas.refused(ptx, model) is None


MAP = '<ir_version: 9, opset_import: ["": 20]> m ({0}[N, {1}] x, {0}[{1}] b) => ({0}[N, {1}] y) {{y = Add(x, b)}}'


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    ("element", "size", "word"), [("float", 32, "v4.b32"), ("double", 6, "v2.b64"), ("float", 33, "")]
)
def test_neighbours_are_loaded_together(element: str, size: int, word: str, model: str) -> None:
    """16 bytes at a time where sizes allow it."""
    ptx = str(ircc.emit(onnx.parser.parse_model(MAP.format(element, size)), "ptx", target=f"cuda:{model}"))
    assert len(re.findall(r"ld\.global\.v\d\.\w+", ptx)) == (2 if word else 0), ptx
    assert not word or (f"ld.global.{word}" in ptx and f"st.global.{word}" in ptx)
    if ptxas.find() is not None:
        assert ptxas.refused(ptx, model) is None


def test_an_unknown_gpu() -> None:
    with pytest.raises(BackendError, match="unknown GPU 'sm_1'"):
        ircc.compile(net(), target="cuda:sm_1")


def test_llvm_ends() -> None:
    """What LLVM has no code for ends its process, not this one; the next kernel is compiled as ever."""
    good = "define ptx_kernel void @good() { ret void }\n"
    bad = """
declare float @llvm.exp.f32(float)
define ptx_kernel void @bad(ptr %p) {
  %x = load float, ptr %p
  %y = call float @llvm.exp.f32(float %x)
  store float %y, ptr %p
  ret void
}
"""
    for _ in range(2):
        found = compiled(bad, "sm_80")
        assert isinstance(found, BackendError) and "LLVM gave up on it for sm_80: " in found.message
        assert "exp" in found.message
        assert ".entry good()" in str(compiled(good, "sm_80"))
        compiled.cache_clear()
    refused = compiled("define void @worse() { ret i32 }\n", "sm_80")
    assert isinstance(refused, BackendError) and "LLVM refuses the generated code" in refused.message


def test_what_has_no_ptx_runs_on_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["": 20]> m (double[N] x) => (double[N] y) {z = Relu(x) y = Exp(z)}'
    )
    (relu_and_exp,) = kernels(ircc.lower(model, to="loop-ir", target="cuda"))
    assert relu_and_exp.on_host
    assert relu_and_exp.attributes["because"] == StringAttr("the GPU has no function exp of f64")
    gone = BackendError("LLVM gave up on it for sm_80")
    monkeypatch.setattr("ircc.codegen.cuda.backend.compiled", lambda text, model: gone)
    every = kernels(ircc.lower(net(), to="loop-ir", target="cuda"))
    assert every and all(k.on_host and "LLVM gave up on it" in str(k.attributes["because"]) for k in every)


@assembled
@pytest.mark.parametrize("model", MODELS)
def test_assembler_takes_operations(model: str) -> None:
    codes: list[str] = []
    for case in OPERATIONS:
        try:
            codes.append(emit_kernel(kernel(case, 1, len(operands(case)[0]))).code)
        except BackendError as error:
            assert "the GPU has no function" in error.message
    ptx = compiled(module_text(codes), model)
    assert not isinstance(ptx, BackendError), ptx.message
    assert len(codes) > 300 and ptx.count(".entry") == len(codes)
    assert ptxas.refused(ptx, model) is None


@assembled
@pytest.mark.parametrize("model", MODELS)
def test_assembler_takes_operators(model: str) -> None:
    """Some of what the conformance kit asks for, and a small net."""
    start = list(MODELS).index(model)
    tried = 0
    for case in CASES[start :: len(CASES) // CASES_OF_EACH]:
        symbols = SIZES | dict(case.sizes[0])
        try:
            types, _ = inputs_of_case(case, np.random.default_rng(0), symbols)
            module = program_of_case(case, types, symbols)
        except (Error, ArithmeticError, LookupError, ValueError, VerifyException):
            continue
        tried += check(module, model)
    assert tried >= CASES_OF_EACH // 2
    assert check(net(), model) >= 6
    open_sizes = "m (float[B, M, K] x, float[B, K, N] w) => (float[B, M, N] y) {p = MatMul(x, w) y = Softmax(p)}"
    assert check(onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["": 20]> {open_sizes}'), model) >= 3


def check(source: Any, model: str) -> int:
    """The kernels of a module or a model that became PTX, all of which the assembler takes."""
    own = [k for k in kernels(ircc.lower(source, to="loop-ir", target=f"cuda:{model}")) if not k.on_host]
    if own:
        assert (why := ptxas.refused(ptx_of(own, model), model)) is None, f"{source}\n{why}"
    return len(own)


def test_the_assembler_refuses_what_is_wrong() -> None:
    if ptxas.find() is None:
        pytest.skip(f"needs ptxas: {ptxas.HOW}")
    ptx = str(compiled("define ptx_kernel void @good() { ret void }\n", "sm_80"))
    assert ptxas.refused(ptx, "sm_80") is None
    assert "nonsense" in str(ptxas.refused(ptx.replace("ret;", "ret.nonsense;"), "sm_80"))
