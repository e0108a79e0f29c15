"""What this machine is, for those who read a measurement later."""

from __future__ import annotations

import platform
from pathlib import Path


def processor() -> str:
    """The processor's name as its maker has it, or at least its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [value.strip() for key, _, value in (line.partition(":") for line in lines) if key.strip() == "model name"]
    return names[0] if names else platform.processor() or platform.machine()
