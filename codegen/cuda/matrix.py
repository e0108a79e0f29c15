"""Tensor cores: products of 16 × 16 tiles as instructions, with their meaning as loops and their text in LLVM.

`wmma` of the PTX ISA (section 9.7.14): the lanes of a warp load, multiply and store a tile together; which lane holds
which element is theirs. Tiles lie in memory that the group shares."""

from __future__ import annotations

SIDE = 16
NAMES = {"f16": "mma_f16", "bf16": "mma_bf16"}  # instructions by the element type of both operands
LAYOUTS = {"r": "row", "c": "col"}
LLVM = {"mma_f16": "half", "mma_bf16": "bfloat"}

_MEANING = """
loop.instruction @{name}(%a "a" : !loop.buffer<[16, 16], {element}, "stack">,
    %b "b" : !loop.buffer<[16, 16], {element}, "stack">, %c "c" : !loop.buffer<[16, 16], f32, "stack">)
    outputs 1 sizes [] most [] text "wmma.m16n16k16" {{
  loop.for "k" %k = 0 to 16 reduction {{
    loop.for "i" %i = 0 to 16 parallel {{
      loop.for "j" %j = 0 to 16 parallel {{
        %x = loop.load %a[%i, %k]
        %y = loop.load %b[%k, %j]
        %u = arith.extf %x : {element} to f32
        %v = arith.extf %y : {element} to f32
        %p = arith.mulf %u, %v : f32
        %o = loop.load %c[%i, %j]
        %s = arith.addf %o, %p : f32
        loop.store %s, %c[%i, %j]
      }}
    }}
  }}
}}
"""
INSTRUCTIONS = "".join(_MEANING.format(name=name, element=element) for element, name in NAMES.items())


def words(name: str, a: str, b: str) -> str:
    """The function @ircc.NAME.AB: pointers to the tiles a, b and c, each with the elements from a row to the next one;
    of `a` and `b` one of LAYOUTS says whether it is so, or from a column to the next one."""
    element = next(element for element, n in NAMES.items() if n == name)
    part, count, kind = ("<2 x half>", 8, "f32.f32") if element == "f16" else ("i32", 4, "bf16")
    wmma, layouts = "@llvm.nvvm.wmma.m16n16k16", {"a": LAYOUTS[a], "b": LAYOUTS[b], "c": "row"}
    operands = {"a": (part, count, element), "b": (part, count, element), "c": ("float", 8, "f32")}
    fragments = {x: f"{{{', '.join([p] * n)}}}" for x, (p, n, _) in operands.items()}
    loaders = {x: f"{wmma}.load.{x}.{layouts[x]}.stride.{t}.p3" for x, (_, _, t) in operands.items()}
    multiply, store = f"{wmma}.mma.{LAYOUTS[a]}.{LAYOUTS[b]}.{kind}", f"{wmma}.store.d.row.stride.f32.p3"
    taken = [f"{p} %{x}.{i}" for x, (p, n, _) in operands.items() for i in range(n)]
    results = [f"float %d.{i}" for i in range(8)]
    lines = [f"declare {fragments[x]} {loaders[x]}(ptr addrspace(3), i32)" for x in operands]
    lines += [
        f"declare {fragments['c']} {multiply}({', '.join(t.split(' %')[0] for t in taken)})",
        f"declare void {store}(ptr addrspace(3), {', '.join(['float'] * 8)}, i32)",
        f"define internal void @ircc.{name}.{a}{b}(ptr %a, i64 %la, ptr %b, i64 %lb, ptr %c, i64 %lc) "
        "alwaysinline convergent nounwind {",
    ]
    for x, (_, n, _) in operands.items():
        lines += [
            f"  %{x}.at = addrspacecast ptr %{x} to ptr addrspace(3)",
            f"  %{x}.row = trunc i64 %l{x} to i32",
            f"  %{x}.all = call {fragments[x]} {loaders[x]}(ptr addrspace(3) %{x}.at, i32 %{x}.row)",
            *(f"  %{x}.{i} = extractvalue {fragments[x]} %{x}.all, {i}" for i in range(n)),
        ]
    lines += [
        f"  %d.all = call {fragments['c']} {multiply}({', '.join(taken)})",
        *(f"  %d.{i} = extractvalue {fragments['c']} %d.all, {i}" for i in range(8)),
        f"  call void {store}(ptr addrspace(3) %c.at, {', '.join(results)}, i32 %c.row)",
        "  call void @ircc.meet()",
        "  ret void",
        "}",
        "",
    ]
    return "\n".join(lines)
