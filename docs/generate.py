"""Writes the pages of docs/ that follow from the code; `--check` only says whether they are up to date.

    python docs/generate.py [--check]

docs/dialects/*.md come from the docstrings of the operations, docs/passes.md from those of the passes and
their fields, docs/operators.md from ONNX's schemas and the importer's rules, docs/cli.md from the command's own
parser, docs/interface.md from what docs/interface.py sees of a backend at work. The other pages are written by hand,
but for the code blocks in them that stand under a comment like these:

    <!-- shown: conv.graph -->                      what the compiler prints, from docs/story.py
    <!-- shown: passes/fold_constants.py fold -->   a class or function, or the lines that hold a text
"""

import argparse
import ast
import dataclasses
import inspect
import re
import runpy
import sys
import textwrap
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from xdsl.irdl import IRDLOperation, OptionalDef, VariadicDef

from ircc.cli.parser import parsers
from ircc.testing import inventory

DOCS = Path(__file__).resolve().parent
NOTE = "<!-- written by docs/generate.py (make docs): edit the docstrings, not this page -->"


def text_of(documented: Any) -> str:
    """The docstring as Markdown: its numbered constraints become a list."""
    text = inspect.cleandoc(documented.__doc__ or "")
    return re.sub(r"(?:^|(?<=\s))(C\d+): ", r"\n- **\1**: ", text).replace("\n\n\n", "\n\n").strip()


def own_text(cls: type) -> str:
    """The docstring that a class has itself, not one it inherits."""
    return text_of(cls) if vars(cls).get("__doc__") else ""


def cell(text: str) -> str:
    """Text that may stand in a table."""
    return " ".join(text.split()).replace("|", "\\|")


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(cell, line))} |" for line in lines) if rows else ""


def page(parts: list[str]) -> str:
    text = "\n\n".join(part for part in parts if part)
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


# --- dialects ---------------------------------------------------------------------------------------------


def quantity(part: object) -> str:
    if isinstance(part, OptionalDef):
        return "?"
    return "*" if isinstance(part, VariadicDef) else ""


def signature(op: type[IRDLOperation]) -> str:
    """The parts of an operation by name: `x?` is optional, `x*` any number, `x = 1` has a default."""
    definition = op.get_irdl_definition()
    defaults: dict[str, Any] = getattr(op, "DEFAULTS", {})

    def attribute(name: str, part: Any) -> str:
        default = defaults.get(name, part.default_value)
        return name + quantity(part) if default is None else f"{name} = {default}"

    groups = {
        "operands": [name + quantity(part) for name, part in definition.operands],
        "properties": [
            attribute(name, part)
            for name, part in definition.properties.items()
            if name not in ("operandSegmentSizes", "resultSegmentSizes")
        ],
        "attributes": [attribute(name, part) for name, part in definition.attributes.items()],
        "regions": [name + quantity(part) for name, part in definition.regions],
        "results": [name + quantity(part) for name, part in definition.results],
    }
    named = [(group, ", ".join(f"`{part}`" for part in parts)) for group, parts in groups.items() if parts]
    return " · ".join(f"{group} {parts}" for group, parts in named)


def dialect_page(level: str) -> str:
    """A dialect: its attributes, its operations file by file, and what families of them share."""
    modules = inventory.modules(f"dialects.{level}")
    lines = [f"# The {level} dialect", NOTE, text_of(modules[0])]
    lines.append(
        "In the lists of parts `x?` is optional, `x*` stands for any number and `x = 1` has a default. "
        "C1, C2 ... are the constraints that the verifier names in its messages."
    )
    if attributes := inventory.attributes(level):
        lines.append("## Types and attributes")
        for attribute in attributes:
            lines += [f"### {attribute.name}", own_text(attribute)]
    families: dict[str, type] = {}
    for module in modules:
        operations = [op for op in inventory.operations(level) if op.__module__ == module.__name__]
        if operations:
            lines.append("## " + text_of(module).split("\n\n")[0].rstrip("."))
        for op in operations:
            shared = {base.__name__: base for base in inventory.families(op) if own_text(base)}
            families |= shared
            links = ", ".join(f"[{name}](#{name.lower()})" for name in shared)
            lines += [f"### {op.name}", own_text(op), signature(op), f"Shares {links}." if links else ""]
    if families:
        lines.append("## What families of operations share")
        for name, base in families.items():
            lines += [f"### {name}", own_text(base)]
    return page(lines)


# --- passes -----------------------------------------------------------------------------------------------


def default_of(option: dataclasses.Field[Any]) -> str:
    if option.default_factory is not dataclasses.MISSING:
        return f"`{option.default_factory()}`"
    return "(needed)" if option.default is dataclasses.MISSING else f"`{option.default}`"


def passes_page() -> str:
    lines = ["# Passes", NOTE]
    lines.append(
        "The pass `fold-constants` is the file `passes/fold_constants.py`; its example, before and after, is "
        "`tests/passes/fold_constants.mlir`. Options are written as on the command line: "
        "`--passes='some-pass{option=1},other-pass'`."
    )
    for name, cls in inventory.passes().items():
        # a dataclass without a docstring is given its signature as one
        own = "" if (cls.__doc__ or "").startswith(f"{cls.__name__}(") else own_text(cls)
        rows: list[list[str]] = []
        for option in dataclasses.fields(cls):
            kind = option.type.__name__ if isinstance(option.type, type) else str(option.type)
            rows.append([f"`{option.name}`", f"`{kind}`", default_of(option)])
        lines += [f"## {name}", own or text_of(sys.modules[cls.__module__])]
        lines.append(table(["option", "type", "default"], rows))
    return page(lines)


# --- ONNX's operators ---------------------------------------------------------------------------------------


def operators_page() -> str:
    found = runpy.run_path(str(DOCS / "operators.py"))
    lines = ["# Operators", NOTE, found["INTRODUCTION"].format(version=found["VERSION"])]
    for title, rows in found["sections"]():
        done = sum(row[-1] != "–" for row in rows)
        lines += [f"## {title}", f"{done} of {len(rows)} operators."]
        lines.append(table(["operator", "opsets", "types", "how"], rows))
    return page(lines)


def older_onnx(file: Path) -> bool:
    """True where the installed onnx has older schemas than those that the page was written from."""
    written = re.search(r"^Schemas of onnx (\d+)\.(\d+)", file.read_text() if file.exists() else "", re.MULTILINE)
    installed = tuple(map(int, version("onnx").split(".")[:2]))
    return written is not None and installed < tuple(map(int, written.groups()))


# --- backends -----------------------------------------------------------------------------------------------


def interface_page() -> str:
    found = runpy.run_path(str(DOCS / "interface.py"))
    lines = ["# The interface of a backend, by examples", NOTE, found["INTRODUCTION"], f"```\n{found['MODEL']}\n```"]
    for name, documented, asked, examples in found["sections"]():
        lines += [f"## {name}{' (asked for)' if asked else ''}", text_of(documented) if documented else ""]
        for title, text in examples:
            lines += [f"{title}:", f"```\n{text.strip()}\n```"]
    return page(lines)


# --- the command ------------------------------------------------------------------------------------------


def command_section(parser: argparse.ArgumentParser) -> Iterator[str]:
    """From the parser's own data, because the layout of --help differs between versions of Python."""
    yield f"## {parser.prog}"
    yield f"```\n{inspect.cleandoc(parser.description or '')}\n```"
    rows: list[list[str]] = []
    for action in parser._actions:  # pyright: ignore[reportPrivateUsage]
        if action.help != argparse.SUPPRESS:
            value = "" if action.nargs == 0 else f" {action.metavar or action.dest}"
            names = ", ".join(option + value for option in action.option_strings) or value.strip()
            rows.append([f"`{names}`", (action.help or "") % {**vars(action), "prog": parser.prog}])
    yield table(["argument", "meaning"], rows)
    yield f"```\n{inspect.cleandoc(parser.epilog or '')}\n```"


# --- pages by hand: what is shown in them -----------------------------------------------------------------

SHOWN = re.compile(r"(<!-- shown: (\S+?)(?: ([^\n]+?))?? -->\n```\w*\n).*?(^```$)", re.MULTILINE | re.DOTALL)


def source(file: str, name: str) -> str:
    """A class or function of a file by name, with its decorators and the comment above it; a case of a golden file by
    number; or all lines that hold a text. Raises LookupError."""
    text = (DOCS.parent / file).read_text()
    if file.endswith(".mlir") and name.isdigit():
        return text.split("// -----\n")[int(name)].strip()
    lines = text.splitlines()
    nodes = ast.walk(ast.parse(text)) if file.endswith(".py") else ()
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            while lines[first - 2].lstrip().startswith("# ") and not lines[first - 2].startswith("# --"):
                first -= 1
            return textwrap.dedent("\n".join(lines[first - 1 : node.end_lineno]))
    found = [line for line in lines if name in line]
    if not found:
        raise LookupError(f"{file} has no {name}")
    return textwrap.dedent("\n".join(found))


def filled(text: str, blocks: Mapping[str, str]) -> str:
    """A page with its blocks as they are now. Raises LookupError for one that there is not."""

    def fill(match: re.Match[str]) -> str:
        head, what, name, end = match.groups()
        return f"{head}{source(what, name) if name else blocks[what]}\n{end}"

    return SHOWN.sub(fill, text)


# --- all of them ------------------------------------------------------------------------------------------


def pages() -> dict[Path, str]:
    """Every generated page: its file and its text."""
    found = {DOCS / "dialects" / f"{level}.md": dialect_page(level) for level in inventory.LEVELS}
    found[DOCS / "passes.md"] = passes_page()
    found[DOCS / "interface.md"] = interface_page()
    if not older_onnx(DOCS / "operators.md"):
        found[DOCS / "operators.md"] = operators_page()
    sections = [part for parser in parsers() for part in command_section(parser)]
    found[DOCS / "cli.md"] = page(["# The command", NOTE, *sections])
    blocks = runpy.run_path(str(DOCS / "story.py"))["blocks"]()
    for path in [*DOCS.glob("*.md"), *DOCS.parent.glob("*.md")]:
        if path not in found:
            found[path] = filled(path.read_text(), blocks)
    return found


def stale() -> dict[Path, str]:
    """The pages that differ from what the code says now, and what they should be."""
    return {path: text for path, text in pages().items() if not path.exists() or path.read_text() != text}


def main(arguments: list[str]) -> int:
    outdated = stale()
    for path, text in outdated.items():
        name = path.relative_to(DOCS.parent)
        if "--check" in arguments:
            print(f"{name} is not up to date: run `make docs`")
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            print(f"wrote {name}")
    return 1 if outdated and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
