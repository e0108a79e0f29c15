"""How many threads: affinity, and the quotas of both kinds of cgroups."""

import os
from pathlib import Path

import pytest

from ircc.runtime import threads


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sixteen cores, and cgroup files under tmp_path."""
    monkeypatch.setattr(threads, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(threads, "_SELF", tmp_path / "self")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(16)), raising=False)
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_here() -> None:
    assert 1 <= threads.available() <= (os.cpu_count() or 1)


def test_affinity_alone(machine: Path) -> None:
    assert threads.available() == 16


@pytest.mark.parametrize(
    ("inner", "outer", "count"),
    [
        ("max 100000", "max 100000", 16),
        ("250000 100000", "max 100000", 3),
        ("max 100000", "100000 100000", 1),
        ("800000 100000", "200000 100000", 2),
        ("1000 100000", "max 100000", 1),
        ("9900000 100000", "max 100000", 16),
        ("nonsense", "200000 100000", 2),
    ],
)
def test_version_2(machine: Path, inner: str, outer: str, count: int) -> None:
    write(machine / "self", "0::/jobs/mine\n")
    write(machine / "cgroup/jobs/mine/cpu.max", inner)
    write(machine / "cgroup/jobs/cpu.max", outer)
    assert threads.available() == count


@pytest.mark.parametrize(("quota", "count"), [("-1", 16), ("400000", 4), ("50000", 1)])
def test_version_1(machine: Path, quota: str, count: int) -> None:
    write(machine / "self", "4:cpu,cpuacct:/mine\n3:memory:/mine\n")
    write(machine / "cgroup/cpu/mine/cpu.cfs_quota_us", quota)
    write(machine / "cgroup/cpu/mine/cpu.cfs_period_us", "100000")
    assert threads.available() == count


def test_unreadable(machine: Path) -> None:
    write(machine / "self", "what is this\n\n")
    assert threads.available() == 16
