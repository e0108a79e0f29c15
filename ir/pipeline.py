"""Pipelines: passes in a row, as text and as a thing to run.

    Pipeline.parse("canonicalize,fuse-elementwise{max-ops=64}").run(module, instruments=[VerifyEach()])

The same text serves the command line, a test and a script.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, ClassVar

from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.arg_spec import ArgSpec, ParameterType, parse_pipeline
from xdsl.utils.exceptions import ArgSpecParseError, PassFailedException, VerifyException

from ..errors import Error, PassError
from .passes import Pass, find_pass

_LOOSE_COMMA = re.compile(r'("(?:\\.|[^"\\])*")|\s*,\s*')


@dataclass
class Step:
    """One pass of a running pipeline, as instruments see it."""

    number: int  # from 1
    count: int
    pass_: Pass
    module: ModuleOp
    changed: bool = False  # known after the pass

    def __str__(self) -> str:
        return f"pass {text_of(self.pass_)} ({self.number} of {self.count})"


class Instrument:
    """Looks on while a pipeline runs. Each method is called with the step; all do nothing by themselves."""

    #: whether nothing is missed where the passes need not run, because what they make is known from before
    optional: ClassVar[bool] = False

    def begin(self, module: ModuleOp) -> None:
        """Before the first pass."""

    def before(self, step: Step) -> None:
        """Before a pass."""

    def after(self, step: Step) -> None:
        """After a pass. May raise PassError, which stops the pipeline."""

    def end(self, module: ModuleOp) -> None:
        """After the last pass, unless something was raised."""


@dataclass(frozen=True)
class Pipeline:
    """Passes to run one after the other."""

    passes: tuple[Pass, ...] = ()

    @classmethod
    def of(cls, *passes: Pass | str) -> Pipeline:
        """A pipeline of passes, or of the text of one or more of them. Raises PassError."""
        found: list[Pass] = []
        for p in passes:
            found += cls.parse(p).passes if isinstance(p, str) else [p]
        return cls(tuple(found))

    @classmethod
    def parse(cls, text: str) -> Pipeline:
        """The pipeline that `text` spells, such as `tile{size=64},vectorize{width=16}`. Raises PassError for an unknown
        pass, an unknown or ill-typed option, or text that is no pipeline."""
        plain = _LOOSE_COMMA.sub(lambda m: m[1] or ",", text.strip()).strip(",")
        try:
            specs = list(parse_pipeline(plain))
        except ArgSpecParseError as error:
            raise PassError(
                f"cannot read the pipeline {text!r}: {error.args[0]}", hint="write pass{option=1 other=a},pass"
            ) from error
        return cls(tuple(_made(spec) for spec in specs))

    def __str__(self) -> str:
        return ",".join(map(text_of, self.passes))

    def __iter__(self) -> Iterator[Pass]:
        return iter(self.passes)

    def __len__(self) -> int:
        return len(self.passes)

    def run(self, module: ModuleOp, *, instruments: Iterable[Instrument] = ()) -> ModuleOp:
        """Run the passes on `module`, in place, and return it. Raises PassError, naming the pass, where one fails."""
        watching = tuple(instruments)
        for i in watching:
            i.begin(module)
        for number, pass_ in enumerate(self.passes, 1):
            step = Step(number, len(self.passes), pass_, module)
            for i in watching:
                i.before(step)
            try:
                step.changed = pass_.run(module)
            except (VerifyException, PassFailedException) as error:
                raise PassError(f"{step} failed: {error}") from error
            except Error as error:
                error.add_note(f"in {step}")
                raise
            for i in watching:
                i.after(step)
        for i in watching:
            i.end(module)
        return module


def _made(spec: ArgSpec) -> Pass:
    cls = find_pass(spec.name)
    try:
        return cls.from_spec(spec) if spec.parameters else _without_options(cls)
    except (ValueError, TypeError) as error:
        options = ", ".join(f.name.replace("_", "-") for f in fields(cls)) or "none"
        raise PassError(f"pass {spec.name}: {error}", hint=f"its options are: {options}") from error


@cache
def _without_options(cls: type[Pass]) -> Pass:
    """One object is enough, since passes do not change: xDSL evaluates the types of all options when it makes one."""
    return cls.from_spec(ArgSpec(cls.name, {}))


def text_of(pass_: Pass) -> str:
    """The text of a pass with the options that are not at their defaults."""
    options = [
        "=".join([key.replace("_", "-"), *([",".join(map(_value_text, values))] if values else [])])
        for key, values in pass_.spec().parameters.items()
    ]
    return f"{pass_.name}{{{' '.join(options)}}}" if options else pass_.name


def _value_text(value: ParameterType) -> Any:
    match value:
        case bool():
            return str(value).lower()
        case float():  # the reader takes a number without a point for an integer
            text = repr(value)
            return text if "." in text else text.replace("e", ".0e")
        case str() if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", value) or value in ("true", "false"):
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        case _:
            return str(value)
