"""A file that stays the one that was opened, whatever takes its place under its name."""

from __future__ import annotations

import os
import weakref
from pathlib import Path

_CHUNK = 1 << 20
_DESCRIPTORS = "/proc/self/fd"


class OpenFile:
    """A file to be read; closed with the last reference. What is loaded, read and copied is what was checked."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self.descriptor).atexit = False

    def read(self, offset: int, length: int) -> bytes:
        """As many bytes from there; fewer where the file ends. Any number of threads may read at once."""
        parts: list[bytes] = []
        while length > 0 and (part := os.pread(self.descriptor, min(length, _CHUNK), offset)):
            parts.append(part)
            offset, length = offset + len(part), length - len(part)
        return b"".join(parts)

    def copy_to(self, path: str | os.PathLike[str]) -> None:
        """Writes a file with the same bytes."""
        offset = 0
        with open(path, "wb") as file:
            while part := self.read(offset, _CHUNK):
                file.write(part)
                offset += len(part)

    def library_name(self) -> str:
        """A name for dlopen, which takes a name that it has met for the library that it has, whatever the file of that
        name is now. So the number of the file is in it, as slashes and dots that mean nothing to the system."""
        about = os.fstat(self.descriptor)
        number = "".join("/." if bit == "1" else "/" for bit in f"{about.st_dev << 64 | about.st_ino:b}")
        if os.path.isdir(_DESCRIPTORS):
            return f"{_DESCRIPTORS}{number}/{self.descriptor}"
        folder, name = os.path.split(os.path.abspath(self.path))  # no /proc: this process sees a part of the system
        return f"{folder}{number}/{name}"
