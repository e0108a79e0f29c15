"""What there is: the operations of each level and the passes, found by walking the packages.

The house's tests and the generated docs read this, so that neither keeps a list of its own.
"""

import importlib
import inspect
import pkgutil
from types import ModuleType
from typing import TypeVar

from xdsl.ir import Attribute
from xdsl.irdl import IRDLOperation
from xdsl.passes import ModulePass

LEVELS = ("graph", "control", "tensor", "loop")  # control stands at graph and at tensor level

_Class = TypeVar("_Class")


def modules(package: str) -> list[ModuleType]:
    """The package `ircc.<package>` and every module in it, imported, in the order of their names."""
    root = importlib.import_module(f"ircc.{package}")
    names = sorted(info.name for info in pkgutil.walk_packages(root.__path__, f"{root.__name__}."))
    return [root, *(importlib.import_module(name) for name in names)]


def defined(module: ModuleType, kind: type[_Class]) -> list[type[_Class]]:
    """The subclasses of `kind` that a module itself defines, in the order of its source."""
    values = [value for value in vars(module).values() if inspect.isclass(value)]
    return [value for value in values if issubclass(value, kind) and value.__module__ == module.__name__]


def classes(package: str, kind: type[_Class]) -> list[type[_Class]]:
    """The subclasses of `kind` that the modules of `ircc.<package>` define."""
    return [cls for module in modules(package) for cls in defined(module, kind)]


def operations(level: str) -> list[type[IRDLOperation]]:
    """The operations of a level; what only serves as a base class has no name and is left out."""
    return [op for op in classes(f"dialects.{level}", IRDLOperation) if "name" in vars(op)]


def attributes(level: str) -> list[type[Attribute]]:
    """The attributes and types written `#level.x` and `!level.x`; some are shared and live in ircc.ir."""
    found = [*classes("ir", Attribute), *classes(f"dialects.{level}", Attribute)]
    return [attr for attr in found if getattr(attr, "name", "").startswith(f"{level}.")]


def families(op: type[IRDLOperation]) -> list[type[IRDLOperation]]:
    """The base classes within ircc that an operation shares with others, nearest first."""
    ours = [base for base in op.__mro__[1:] if base.__module__.startswith("ircc.")]
    return [base for base in ours if issubclass(base, IRDLOperation)]


def passes() -> dict[str, type[ModulePass]]:
    """The passes by name, by the house's rule: `fold-constants` is the one pass of passes/fold_constants.py.

    Modules that begin with an underscore hold what passes share; those in a pass's folder are its parts.
    Raises LookupError where a file breaks the
    rule.
    """
    found: dict[str, type[ModulePass]] = {}
    for module in modules("passes")[1:]:
        stem = module.__name__.removeprefix("ircc.passes.")
        if stem.startswith("_") or "." in stem:
            continue
        here = [cls for cls in defined(module, ModulePass) if "name" in vars(cls)]
        expected = stem.replace("_", "-")
        if (names := [cls.name for cls in here]) != [expected]:
            raise LookupError(f"passes/{stem}.py must define one pass called {expected}, not {names}")
        found[expected] = here[0]
    return found
