"""What the device half of a backend for GPUs reads in an artifact: sources or binaries, and what a launch is of which.

Needs NumPy and ctypes only: an engine loads without the compiler."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Sequence
from typing import NamedTuple

from ...runtime.artifact import Artifact
from ...runtime.sizes import evaluate


class Launch(NamedTuple):
    """A function, and for how many groups it is launched."""

    function: str
    groups: int


class Launches:
    """The section that `device_artifact` (backend.py) wrote."""

    def __init__(self, artifact: Artifact) -> None:
        section = json.loads(artifact.sections[artifact.backend])
        self.group: int = section["group"]  # work items in a group
        self.names: list[str] = section["launches"]  # of kernels, by the number of the launch
        self.head: str = section["head"]  # in front of sources
        kernels = section["kernels"]
        self.sources: dict[str, str] = {name: k["source"] for name, k in kernels.items() if "source" in k}
        self.binaries = {name: b64decode(k["binary"]) for name, k in kernels.items() if "binary" in k}
        self.buffers: dict[str, int] = {name: kernel["buffers"] for name, kernel in kernels.items()}
        self._sizes: dict[str, list[str]] = {name: kernel["sizes"] for name, kernel in kernels.items()}
        self._parts: dict[str, list[tuple[str, str, bool]]] = {name: k["parts"] for name, k in kernels.items()}
        self._known: dict[tuple[str, tuple[int, ...]], tuple[Launch, ...]] = {}

    def functions(self, name: str) -> list[str]:
        """All functions of a kernel."""
        return [function for function, _, _ in self._parts[name]]

    def of(self, kernel: int, args: Sequence[int]) -> tuple[str, tuple[Launch, ...]]:
        """The kernel of a launch by its number, and what it launches one after the other: what has something to do."""
        name = self.names[kernel]
        sizes = tuple(args[self.buffers[name] :])
        if (found := self._known.get((name, sizes))) is None:
            symbols = dict(zip(self._sizes[name], sizes, strict=True))
            counts = [(function, evaluate(text, symbols), whole) for function, text, whole in self._parts[name]]
            made = (Launch(function, n if whole else -(-n // self.group)) for function, n, whole in counts)
            found = self._known[name, sizes] = tuple(launch for launch in made if launch.groups > 0)
        return name, found
