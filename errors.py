"""The one family of errors that ircc raises: everything that can go wrong for a user is an `Error`.

An error says what was wrong, where (the ONNX node and its operator, when there is one) and what to do about
it. The command prints `str(error)` and leaves with `error.exit_status`; a traceback means a bug in ircc.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class Error(Exception):
    """Anything that ircc reports to its user.

    `node` is the name of the ONNX node concerned, `operator` its operator, `hint` the remedy.
    `message` is the text without them; `str(error)` has them all.
    """

    exit_status = 1

    def __init__(
        self,
        message: str,
        *,
        node: str | None = None,
        operator: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.node = node
        self.operator = operator
        self.hint = hint

    def __str__(self) -> str:
        text = f"{place}: {self.message}" if (place := location(self.node, self.operator)) else self.message
        return f"{text}\n  hint: {self.hint}" if self.hint else text

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions are rebuilt from `args`; ours have keyword fields too, and they cross process borders.
        return _rebuild, (type(self), self.args, self.__dict__)

    def at(self, node: str | None, operator: str | None = None) -> "Error":
        """This error, placed at `node` unless it names one: rules know what is wrong, their callers where."""
        if self.node is None:
            self.node = node
        if self.operator is None:
            self.operator = operator
        return self


def _rebuild(cls: type[Error], args: tuple[object, ...], fields: dict[str, object]) -> Error:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(fields)
    return error


def location(node: str | None, operator: str | None) -> str:
    """`node 'Conv_0' (Conv)`, or as much of it as is known."""
    if node and operator:
        return f"node '{node}' ({operator})"
    if node:
        return f"node '{node}'"
    return operator or ""


class ModelError(Error):
    """The model file cannot be read or breaks the rules of ONNX: truncated, corrupt, ill-typed, hostile."""


@dataclass(frozen=True)
class Issue:
    """One thing in a model that ircc cannot compile."""

    node: str
    operator: str  # with its domain when that is not ONNX's own: `com.microsoft.FusedConv`
    opset: int
    reason: str
    hint: str = ""

    def __str__(self) -> str:
        text = f"{location(self.node, self.operator)}, opset {self.opset}: {self.reason}"
        return f"{text} (hint: {self.hint})" if self.hint else text


class UnsupportedError(Error):
    """The model is valid, but ircc cannot compile it. `issues` lists every obstacle, not only the first."""

    exit_status = 3

    def __init__(
        self,
        message: str = "",
        issues: Iterable[Issue] = (),
        *,
        node: str | None = None,
        operator: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.issues: Sequence[Issue] = tuple(issues)
        if not message:
            count = len(self.issues)
            message = f"{count} node{'' if count == 1 else 's'} of this model cannot be compiled"
        super().__init__(message, node=node, operator=operator, hint=hint)

    def __str__(self) -> str:
        return "\n".join([super().__str__(), *(f"  {issue}" for issue in self.issues)])


class NeedsPython(UnsupportedError):
    """The model is valid and runs, but not as compiled code alone: `issues` lists what has no native meaning, or is not
    decided before the first run. `ircc.compile` runs it all the same; an engine file cannot hold it."""

    exit_status = 4


class InputError(Error):
    """What was given to `run`, `bind` or a command does not fit: a missing input, a wrong dtype or shape."""


class IRError(Error):
    """Textual IR that does not parse, or a module that does not verify."""


class PassError(Error):
    """A pass that does not exist, has wrong options, or broke the module (--verify-each, --check-each)."""


class ScheduleError(Error):
    """A schedule that does not parse, or a primitive that refuses: the reason is in the message."""


class BackendError(Error):
    """A target that is unknown or cannot be used here, or code generation that failed."""


class EngineError(Error):
    """An engine file that is corrupt, too new, or needs what this machine lacks; or a run that failed."""
