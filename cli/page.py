"""Pages that a browser shows from one file: no server, no script, light or dark as the reader likes, also on a phone.

All that pages share is here: their style, escaping, tables. Text from outside goes through `text`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fdfcfa; --ink: #22252a; --faint: #6b7280; --rule: #dcdad5; --mark: #fff3c4;
  --c0: #0072b2; --c1: #d55e00; --c2: #009e73; --c3: #cc79a7;
  --c4: #b58900; --c5: #56b4e9; --c6: #8c6bb1; --c7: #7f7f7f;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #16181c; --ink: #e6e4df; --faint: #9aa0a8; --rule: #33373e; --mark: #4a4320;
    --c0: #4ba3dd; --c1: #f28c45; --c2: #35c79a; --c3: #e29cc4;
    --c4: #e0b83c; --c5: #8fd0f5; --c6: #b79bdb; --c7: #a3a3a3;
  }
}
* { box-sizing: border-box; }
body { background: var(--paper); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; margin: 0 auto;
  max-width: 72rem; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.5rem; line-height: 1.2; margin: 0 0 .5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .5rem; }
p { margin: .25rem 0; max-width: 46rem; }
.faint { color: var(--faint); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; width: 100%; }
th { color: var(--faint); font-weight: 600; position: sticky; top: 0; background: var(--paper); }
th, td { border-bottom: 1px solid var(--rule); padding: .3rem .9rem .3rem 0; text-align: left; vertical-align: top; }
th.number, td.number { text-align: right; white-space: nowrap; }
td { overflow-wrap: anywhere; min-width: 4rem; }
tr:target td { background: var(--mark); }
svg { display: block; height: auto; width: 100%; }
svg text { fill: var(--faint); font-size: 13px; }
svg .grid { stroke: var(--rule); }
svg .roof { fill: none; stroke: var(--ink); stroke-width: 1.5; }
svg .dot { fill-opacity: .55; stroke-width: 1.25; }
svg a:hover .dot, svg a:focus .dot { fill-opacity: .95; }
.key span { display: inline-block; margin-right: 1.25rem; white-space: nowrap; }
.key i { border-radius: 50%; display: inline-block; height: .7em; margin-right: .4em; width: .7em; }
@media (max-width: 40rem) { svg text { font-size: 22px; } body { padding-top: 1rem; } }
"""

COLORS = 8  # --c0 ... of the style; the last one is grey


def text(value: object) -> str:
    """As text or as the value of an attribute in quotes."""
    return escape(str(value), quote=True)


def page(title: str, *parts: str) -> str:
    """The whole document; `parts` are HTML."""
    body = "\n".join(part for part in parts if part)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{text(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>{text(title)}</h1>
{body}
</body>
</html>
"""


def paragraphs(lines: Iterable[str], kind: str = "") -> str:
    """One for each line of text."""
    attribute = f' class="{kind}"' if kind else ""
    return "\n".join(f"<p{attribute}>{text(line)}</p>" for line in lines)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], name: str = "row") -> str:
    """Cells of text. A column whose name begins with `>` is of numbers; row i can be linked to as `#name-i`."""
    kinds = [' class="number"' if column.startswith(">") else "" for column in columns]

    def line(tag: str, cells: Iterable[str]) -> str:
        return "".join(f"<{tag}{kind}>{text(cell)}</{tag}>" for kind, cell in zip(kinds, cells, strict=True))

    head = line("th", (column.removeprefix(">") for column in columns))
    body = "\n".join(f'<tr id="{name}-{i}">{line("td", row)}</tr>' for i, row in enumerate(rows))
    return f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>'
