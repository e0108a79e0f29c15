"""What kind of machine this is, by the one name that its architecture has here."""

from __future__ import annotations

import platform

_NAMES = {"amd64": "x86_64", "arm64": "aarch64"}  # systems have several for some


def architecture(triple: str = "") -> str:
    """`x86_64`, `aarch64`, `riscv64` ...: the architecture that an LLVM triple names, without one this machine's."""
    name = triple.partition("-")[0].lower() if triple else platform.machine().lower()
    return _NAMES.get(name, name)
