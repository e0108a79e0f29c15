"""What a primitive is: a named loop rewrite that keeps the meaning or refuses, and one line of text."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Self

from ..dialects.loop.program import Kernel
from ..errors import ScheduleError

LABEL = re.compile(r"[A-Za-z_][\w.]*\Z")
_PARTS = re.compile(r"\[[^\]]*\]|\S+")


@dataclass(frozen=True)
class Primitive(ABC):
    """A loop rewrite. Loops are addressed by label: the primitive applies to EVERY loop of that label, so that what
    `split` leaves over follows the same schedule, and each application checks that it is legal.

    `form` is its text: words as they are, `<field>` for a word, `<field...>` for one or more, `[word]` for a word that
    may be there (a bool field of that name), `[word <field>]` for two that may (a field with a default)."""

    form: ClassVar[str]

    @abstractmethod
    def apply(self, kernel: Kernel) -> None:
        """Rewrite the kernel. Raises ScheduleError, with the reason, where that could change its meaning; the kernel
        may be half rewritten then."""

    @classmethod
    def word(cls) -> str:
        """The word that its line begins with."""
        return cls.form.split()[0]

    @classmethod
    def parse(cls, line: str) -> Self:
        """The primitive that `line` spells. Raises ScheduleError."""
        words = line.split()
        values: dict[str, str | tuple[str, ...] | bool] = {}
        for part in _PARTS.findall(cls.form):
            if part.endswith(">]"):
                word, field = part[1:-2].split(" <")
                if words and words[0] == word:
                    if len(words) < 2:
                        raise ScheduleError(f"cannot read {line!r}", hint=f"it is written {cls.form}")
                    values[field], words = words[1], words[2:]
            elif part.startswith("["):
                values[part[1:-1]] = bool(words) and words[0] == part[1:-1]
                if values[part[1:-1]]:
                    words.pop(0)
            elif part.endswith("...>"):
                if not words:
                    raise ScheduleError(f"cannot read {line!r}", hint=f"it is written {cls.form}")
                values[part[1:-4]], words = tuple(words), []
            elif not words or not (part.startswith("<") or words[0] == part):
                raise ScheduleError(f"cannot read {line!r}", hint=f"it is written {cls.form}")
            elif part.startswith("<"):
                values[part[1:-1]] = words.pop(0)
            else:
                words.pop(0)
        if words:
            raise ScheduleError(f"cannot read {line!r}: what is {words[0]!r}?", hint=f"it is written {cls.form}")
        return cls.of(values)

    @classmethod
    def of(cls, values: dict[str, str | tuple[str, ...] | bool]) -> Self:
        """From the words of its text."""
        return cls(**values)

    def __str__(self) -> str:
        out: list[str] = []
        for part in _PARTS.findall(self.form):
            if part.endswith(">]"):
                word, field = part[1:-2].split(" <")
                out += [word, self.spell(getattr(self, field))] if getattr(self, field) else []
            elif part.startswith("["):
                out += [part[1:-1]] if getattr(self, part[1:-1]) else []
            elif part.endswith("...>"):
                out += map(str, getattr(self, part[1:-4]))
            elif part.startswith("<"):
                out.append(self.spell(getattr(self, part[1:-1])))
            else:
                out.append(part)
        return " ".join(out)

    def spell(self, value: object) -> str:
        """A field's value as a word."""
        return "|".join(map(str, value)) if isinstance(value, tuple) else str(value)


def sizes_of(text: str, line: str) -> tuple[int | str, ...]:
    """`8|4|rest` as numbers and words. Raises ScheduleError."""
    parts: list[int | str] = []
    for word in text.split("|"):
        if word != "rest" and not (word.isdigit() and int(word) > 0):
            raise ScheduleError(f"{line}: {text!r} are no sizes", hint="write numbers and a last `rest`: 8|4|rest")
        parts.append(word if word == "rest" else int(word))
    if "rest" in parts[:-1]:
        raise ScheduleError(f"{line}: `rest` comes last")
    return tuple(parts)


def number_of(text: str, line: str) -> int:
    """A positive number. Raises ScheduleError."""
    if not text.isdigit() or not int(text):
        raise ScheduleError(f"{line}: {text!r} is no positive number")
    return int(text)
