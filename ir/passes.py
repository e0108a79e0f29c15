"""What a pass is: a named rewrite of a module whose options are its fields.

A pass is found by its place: `fold-constants` is the file `passes/fold_constants.py` (or the folder of that name), and
packages outside join through the entry points `ircc.passes`. Nothing registers anything, and this module, which the
passes import, imports none of them.
"""

from __future__ import annotations

import difflib
import pkgutil
from abc import abstractmethod
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from ..errors import PassError

PACKAGE = f"{__name__.split('.')[0]}.passes"
GROUP = "ircc.passes"


@dataclass(frozen=True)
class Pass(ModulePass):
    """Base of ircc's passes: a frozen dataclass with a `name`, whose fields are its options and whose docstring is its
    help. Valid IR in, valid IR out, the same value computed."""

    @abstractmethod
    def run(self, module: ModuleOp) -> bool:
        """Rewrite `module` in place; True if that changed anything. If not, text and operation objects are the same."""

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """xDSL's entrance."""
        self.run(op)


def find_pass(name: str) -> type[Pass]:
    """The class of a pass. Raises PassError for an unknown name, with the names that are near to it."""
    stem = name.replace("-", "_")
    if stem in own_passes():
        return _own_pass(stem, name)
    for entry in entry_points(group=GROUP, name=name):
        found = entry.load()
        if not (isinstance(found, type) and issubclass(found, Pass)):
            raise PassError(f"entry point {entry.value}, pass {name}, is not a subclass of {Pass.__module__}.Pass")
        return found
    raise PassError(f"unknown pass {name!r}", hint=_near(name))


@cache
def _own_pass(stem: str, name: str) -> type[Pass]:
    module = import_module(f"{PACKAGE}.{stem}")
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, Pass) and getattr(value, "name", None) == name:
            return value
    raise PassError(f"{module.__name__} defines no pass called {name}")


@cache
def own_passes() -> set[str]:
    """File names of ircc's own passes, without imports; what begins with an underscore is shared by passes."""
    package = import_module(PACKAGE)
    return {info.name for info in pkgutil.iter_modules(package.__path__) if not info.name.startswith("_")}


def pass_names() -> list[str]:
    """Names of all passes, sorted; those of outside packages included."""
    return sorted({n.replace("_", "-") for n in own_passes()} | {e.name for e in entry_points(group=GROUP)})


def _near(name: str) -> str:
    names = pass_names()
    near = difflib.get_close_matches(name, names)
    return f"did you mean {' or '.join(near)}?" if near else f"passes are {', '.join(names)}"
