"""The machine's instructions, with their meaning as loops."""

from __future__ import annotations

SCRATCHPAD, ACCUMULATOR = 512 << 10, 64 << 10  # bytes
LANES = 64  # of the vector unit
UNIT = 64  # rows, columns and depth of one matrix instruction, which the unit does in blocks of 16
TYPES = {  # what the machine computes with, and their zeros
    "f32": "0.0", "f16": "0.0", "i64": "0", "i32": "0", "i16": "0", "i8": "0", "i1": "0",
}  # fmt: skip
LOWEST = "0xFF800000"  # minus infinity, as constants of f32 spell it
LONGEST = 4096  # elements in a dim of a copy

_MATMUL = f"""
loop.instruction @npu.matmul(%a "a" : !loop.buffer<[M, K], f32, "scratchpad">,
    %b "b" : !loop.buffer<[K, N], f32, "scratchpad">, %c "c" : !loop.buffer<[M, N], f32, "accumulator">)
    outputs 1 sizes ["M", "N", "K"] most [{UNIT}, {UNIT}, {UNIT}] text "m.matmul({{at}}, {{c}}, {{a}}, {{b}})" {{
  loop.for "k" %k = 0 to K reduction {{
    loop.for "i" %i = 0 to M parallel {{
      loop.for "j" %j = 0 to N parallel {{
        %x = loop.load %a[%i, %k]
        %y = loop.load %b[%k, %j]
        %p = arith.mulf %x, %y : f32
        %o = loop.load %c[%i, %j]
        %s = arith.addf %o, %p : f32
        loop.store %s, %c[%i, %j]
      }}
    }}
  }}
}}
"""
_COPY = """
loop.instruction @npu.{name}(%x "x" : !loop.buffer<[A, B, C, D], {type}{source}>,
    %y "y" : !loop.buffer<[A, B, C, D], {type}{target}>)
    outputs 1 sizes ["A", "B", "C", "D"] most [{most}, {most}, {most}, {most}] text "{text}" queue "{queue}" {{
  loop.for "a" %a = 0 to A parallel {{
    loop.for "b" %b = 0 to B parallel {{
      loop.for "c" %c = 0 to C parallel {{
        loop.for "d" %d = 0 to D parallel {{
          {constant}
          %v = loop.load %x[%a, %b, %c, %d]{otherwise}
          loop.store %v, %y[%a, %b, %c, %d]
        }}
      }}
    }}
  }}
}}
"""


def _copy(name: str, element: str, queue: str, spaces: tuple[str, str], outside: str | None = None) -> str:
    source, target = (f', "{space}"' if space != "global" else "" for space in spaces)
    constant = "" if outside is None else f"%o = arith.constant {outside} : {element}"
    fill = "" if outside is None else ", -inf" if outside == LOWEST else ", 0"
    text = f"m.{queue}({{at}}, {{start}}, {{y}}, {{x}}{fill})"
    return _COPY.format(
        name=name, type=element, source=source, target=target, most=LONGEST, text=text, queue=queue, constant=constant,
        otherwise="" if outside is None else " else %o",
    )  # fmt: skip


def declarations() -> str:
    """All of them, as a module. `load` copies into the scratchpad, with 0 for what is outside of the buffer, `load.low`
    with the least value; `save` copies from there, `drain` from the accumulator."""
    parts = [_MATMUL]
    for element, zero in TYPES.items():
        parts.append(_copy(f"load.{element}", element, "load", ("global", "scratchpad"), zero))
        parts.append(_copy(f"save.{element}", element, "save", ("scratchpad", "global")))
    parts.append(_copy("load.low.f32", "f32", "load", ("global", "scratchpad"), LOWEST))
    parts.append(_copy("drain.f32", "f32", "save", ("accumulator", "global")))
    return f"builtin.module {{ {''.join(parts)} }}"
