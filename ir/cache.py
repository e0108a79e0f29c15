"""Files of the user's that can be made again: what printed IR refers to, engines, object code of kernels.

    $IRCC_CACHE (~/.cache/ircc)/
        weights/    data that passes made, for printed text (ir/weights.py)
        engines/    models as they were compiled before
        kernels/    object code

Engines and kernels are kept under a hash of all that they are made from, so that nothing in there is ever out of date.
Where they take more than $IRCC_CACHE_SIZE (2G; 0: nothing is kept), what was not used for the longest time goes. A file
appears whole or not at all; any number of processes may use the folder, and one that cannot be written costs time only.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import threading
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path

from ..errors import EngineError, InputError

SIZE = 2 << 30  # bytes of engines and kernels together
PACKAGES = ("xdsl", "onnx", "numpy", "ml_dtypes", "llvmlite")  # what code depends on, beside ircc itself
GROUPS = ("ircc.passes", "ircc.schedules", "ircc.backends")  # where packages outside join

log = logging.getLogger(__name__)


def root() -> Path:
    """The folder of everything that is kept; for a user without a home one that cannot be."""
    try:
        return Path(os.environ.get("IRCC_CACHE") or Path.home() / ".cache" / "ircc")
    except RuntimeError:
        return Path(os.devnull) / "ircc"


def limit() -> int:
    """Bytes that engines and kernels may take. Raises InputError for a size that is none."""
    text = os.environ.get("IRCC_CACHE_SIZE", "").strip()
    if not text:
        return SIZE
    found = re.fullmatch(r"(\d+)\s*([KMGT]?)B?", text.upper())
    if found is None:
        raise InputError(f"IRCC_CACHE_SIZE={text} is no size", hint="write 500M or 2G; 0 keeps nothing")
    return int(found[1]) << {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}[found[2]]


@cache
def compiler_identity() -> tuple[Hashable, ...] | None:
    """What there is of the compiler: its sources and the packages that it is built on. None where packages outside
    take part, of which nobody knows whether they changed."""
    if any(entry_points(group=group) for group in GROUPS):
        return None
    package = Path(__file__).resolve().parent.parent
    folders = [f.parent for f in package.glob("*/__init__.py") if f.parent.name not in ("cli", "testing", "tests")]
    sources = hashlib.sha256()
    for path in sorted([*package.glob("*.py"), *(f for folder in folders for f in folder.rglob("*.py"))]):
        code = path.read_bytes()
        sources.update(f"{path.relative_to(package).as_posix()}\0{len(code)}\0".encode())
        sources.update(code)
    return (sources.hexdigest(), *map(_version, PACKAGES))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def key_of(*parts: Hashable) -> str:
    """A name for what is made from these parts, each of which is told by its `repr`."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()


@dataclass(frozen=True)
class Store:
    """One kind of files, by key. `checked`: they hold a hash of all that is in them, so that a crash of the machine
    need not be thought of."""

    kind: str
    suffix: str
    checked: bool

    @property
    def folder(self) -> Path:
        return root() / self.kind

    def path(self, key: str) -> Path:
        """Where the file of a key is, if there is one."""
        return self.folder / f"{key}{self.suffix}"

    def used(self, key: str) -> None:
        """Note that the file of a key was of use just now."""
        with suppress(OSError):
            os.utime(self.path(key))

    def put(self, key: str, write: Callable[[Path], object]) -> None:
        """Keep the file that `write(path)` makes at the path that it is given; without it, where that is not possible:
        no room, say, or no linker."""
        target = self.path(key)
        partial = target.with_name(f"{target.name}.{os.getpid()}.{threading.get_ident()}")
        try:
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                write(partial)
                if not self.checked:
                    with open(partial, "rb") as file:
                        os.fsync(file.fileno())  # else a crash may leave a file of the right length that is empty
                size = partial.stat().st_size
                os.replace(partial, target)
                _grown[self.folder] = _grown.get(self.folder, 0) + size
            finally:
                partial.unlink(missing_ok=True)
        except (OSError, EngineError) as error:
            log.info("nothing is kept in %s: %s", self.folder, getattr(error, "strerror", None) or error)

    def drop(self, key: str) -> None:
        """Remove a file that is not what it should be."""
        with suppress(OSError):
            self.path(key).unlink(missing_ok=True)


ENGINES = Store("engines", ".engine", checked=False)
KERNELS = Store("kernels", ".o", checked=True)


_grown: dict[Path, int] = {}  # bytes that this process has put into a folder since it was looked through for `_most`
_most = -1


def shrink(most: int) -> None:
    """Remove the files that were not used for the longest time until the others take at most `most` bytes; and a
    hundredth more, because they are counted only where this process has put that much since it did so last."""
    global _most
    folders = [store.folder for store in (ENGINES, KERNELS)]
    if most == _most and sum(_grown.get(folder, most) for folder in folders) <= most // 100:
        return
    _most = most
    _grown.update(dict.fromkeys(folders, 0))
    found: list[tuple[float, int, Path]] = []
    for store in (ENGINES, KERNELS):
        with suppress(OSError), os.scandir(store.folder) as entries:
            for entry in entries:
                with suppress(OSError):
                    status = entry.stat()
                    found.append((status.st_mtime, status.st_size, Path(entry.path)))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= most:
            return
        with suppress(OSError):
            path.unlink()
            total -= size
