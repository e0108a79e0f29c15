"""What `ircc check` says about a model: what is compiled, what runs in Python, what cannot be done, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .compiler import Shapes, lower
from .errors import Error, Issue, NeedsPython, UnsupportedError
from .frontends.onnx import Model, Report, check_model, import_model, prepare
from .frontends.sizes import ports_of

NAMES = {0: "native", 1: "broken", UnsupportedError.exit_status: "unsupported", NeedsPython.exit_status: "python"}


@dataclass(frozen=True)
class Verdict:
    """Whether a model can be compiled. `ports` are its inputs and outputs: kind, name and type, where known.

    `exit_status`: 0 when all of it is compiled ahead of the first run, 4 when it runs but needs Python, 3 when ircc
    cannot run it, 1 when it is broken."""

    report: Report
    ports: Sequence[tuple[str, str, str]]
    exit_status: int

    @property
    def issues(self) -> Sequence[Issue]:
        """What cannot be compiled."""
        return self.report.issues

    @property
    def python(self) -> Sequence[Issue]:
        """What runs, but in Python or compiled at its first run."""
        return self.report.python

    @property
    def verdict(self) -> str:
        """In a sentence."""
        nodes = self.report.supported.total() + self.report.expanded.total()
        if not self.issues and not self.python:
            return f"ircc can compile it, all {nodes} nodes"
        operators = sorted({i.operator for i in self.issues or self.python if i.operator})
        what = f" ({', '.join(operators)})" if operators else ""
        if not self.issues:
            return f"ircc can run it, with Python: {counted(self.python, 'place')}{what}; {nodes} nodes are compiled"
        return f"ircc cannot compile it: {counted(self.issues, 'obstacle')}{what}; {nodes} nodes could be"

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        ports = [{"kind": kind, "name": name, "type": type_} for kind, name, type_ in self.ports]
        head = {"verdict": NAMES.get(self.exit_status, "broken"), "exit_status": self.exit_status}
        return {**head, **self.report.to_dict(), "ports": ports}


def counted(things: Sequence[object], name: str) -> str:
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"


def check(model: Model, *, shapes: Shapes | None = None) -> Verdict:
    """Everything in an ONNX model that ircc cannot compile. A broken model is a verdict too: nothing is raised."""
    report = check_model(model, shapes=shapes)
    try:
        if report.issues:
            import_model(model, shapes=shapes)  # says by its error whether the model or ircc is to blame
        module = lower(model, "tensor-ir", shapes=shapes)
    except NeedsPython:
        report.issues += _obstacles_between(model, shapes or {})
    except UnsupportedError as error:
        report.issues += [i for i in _issues(error) if i not in report.issues]
    except Error as error:
        if not report.issues:
            report.issues += _issues(error)
        return Verdict(report, (), error.exit_status)
    else:
        return Verdict(report, ports_of(module), 0)
    return Verdict(report, (), (UnsupportedError if report.issues else NeedsPython).exit_status)


def _obstacles_between(model: Model, shapes: Shapes) -> list[Issue]:
    """What cannot be compiled in the pieces between what needs Python."""
    whole = prepare(model, shapes)
    found: list[Issue] = []
    for piece in () if whole.open else whole.pieces():
        try:
            if not piece.reason:
                lower(piece.source, "tensor-ir")
        except NeedsPython:
            continue  # it is compiled when it runs first
        except Error as error:
            found += _issues(error)
    return found


def _issues(error: Error) -> Sequence[Issue]:
    if isinstance(error, UnsupportedError) and error.issues:
        return error.issues
    return [Issue(error.node or "", error.operator or "", 0, error.message, error.hint or "")]
