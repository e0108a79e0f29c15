"""`ircc new-backend NAME`: a package with a backend that works, to be made a chip's step by step."""

from __future__ import annotations

import keyword
import re
from argparse import Namespace
from importlib.util import find_spec
from pathlib import Path

from ..codegen.backend import backend_names
from ..errors import InputError
from . import console

TEMPLATE = "ircc.testing.conformance.template"  # and a device beside it
START = (
    "A backend to start from: `ircc new-backend NAME` copies this file and `template_device.py` "
    "into a package of its own."
)
PROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "ircc-{name}"
version = "0.1.0"
description = "ircc for {name}"
requires-python = ">=3.11"
dependencies = ["ircc[testing]"]

[project.entry-points."ircc.backends"]
{name} = "{module}:{title}Backend"

[project.entry-points."ircc.devices"]
{name} = "{module}_device:open_device"

[tool.setuptools]
py-modules = ["{module}", "{module}_device"]
"""


def run(args: Namespace) -> int:
    """Write the package. Raises InputError for a name that cannot be one, and where it exists."""
    name: str = args.name
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise InputError(f"{name!r} is no name for a backend", hint="small letters, digits and _: mychip")
    if name in backend_names():
        raise InputError(f"there is a backend {name} already", hint="`ircc targets` lists them")
    folder = Path(args.folder or f"ircc-{name}")
    try:
        folder.mkdir(parents=True)
        for path, text in files(name).items():
            (folder / path).write_text(text)
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror}") from error
    console.say(f"{folder}: a backend that interprets its kernels. Next:\n")
    console.say(f"  pip install -e {folder}")
    console.say(f"  ircc conformance --backend {name} --levels L0")
    console.say(f"  then STEP 1 to STEP 3 in {folder}/ircc_{name}*.py, which docs/bring-your-chip.md takes with a chip")
    return 0


def files(name: str) -> dict[str, str]:
    """The package's files."""
    title = "".join(part.capitalize() for part in name.split("_"))
    module = f"ircc_{name}"
    made = {"pyproject.toml": PROJECT.format(name=name, module=module, title=title)}
    for part in ("", "_device"):
        spec = find_spec(TEMPLATE + part)
        if spec is None or spec.origin is None:
            raise InputError("the template is not installed", hint="pip install ircc[testing]")
        code = Path(spec.origin).read_text()
        code = code.replace("from ...", "from ircc.").replace("Template", title)
        code = code.replace('"template"', f'"{name}"').replace("--backend template", f"--backend {name}")
        code = code.replace("`template.py`", f"`{module}.py`").replace("a backend to start from", f"the backend {name}")
        made[f"{module}{part}.py"] = code.replace(START, f"The backend {name}, made by `ircc new-backend {name}`.")
    return made
