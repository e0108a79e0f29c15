"""How many threads this process may keep busy."""

from __future__ import annotations

import os
from pathlib import Path

# Rounds of an idle worker before it sleeps: some 0.1 ms, longer than the serial work between two kernels. Workers that
# have no core of their own must not take the caller's.
SPIN = 2000
SPIN_CROWDED = 20

_CGROUPS = Path("/sys/fs/cgroup")
_SELF = Path("/proc/self/cgroup")  # lines of `id:controllers:path`


def available() -> int:
    """Cores by affinity, less where a cgroup's quota grants less; at least 1."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    quota = _quota()
    return max(1, cores if quota is None else min(cores, int(quota + 0.999)))


def _quota() -> float | None:
    """The least quota, in cores, on the way from this process's cgroup (version 2 or 1) to the root."""
    try:
        lines = _SELF.read_text().splitlines()
    except OSError:
        return None
    least: float | None = None
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        if not colon:
            continue
        version_2 = controllers == ""
        if not version_2 and "cpu" not in controllers.split(","):
            continue
        root = _CGROUPS if version_2 else _CGROUPS / "cpu"
        place = root / path.lstrip("/")
        for folder in (place, *place.parents):
            found = _limit(folder, version_2)
            if found is not None and (least is None or found < least):
                least = found
            if folder == root:
                break
    return least


def _limit(folder: Path, version_2: bool) -> float | None:
    try:
        if version_2:
            quota, period = (folder / "cpu.max").read_text().split()
            if quota == "max":
                return None
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        granted = int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None
    return granted if granted > 0 else None  # -1: no limit
