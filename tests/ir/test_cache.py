"""What is kept on disk: sizes, what goes first, files that appear whole or not at all."""

import os
from pathlib import Path

import pytest

from ircc.errors import InputError
from ircc.ir import cache
from ircc.ir.cache import ENGINES, KERNELS, SIZE, key_of, limit, root, shrink


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IRCC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("IRCC_CACHE_SIZE", "1K")
    return tmp_path / "cache"


def test_its_folder_is_the_users_own_where_nothing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("IRCC_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert root() == tmp_path / ".cache" / "ircc"


@pytest.mark.parametrize(
    ("text", "size"), [("", SIZE), ("0", 0), ("12", 12), ("500M", 500 << 20), ("2g", 2 << 30), ("1 TB", 1 << 40)]
)
def test_its_limit_is_a_number_with_a_unit(monkeypatch: pytest.MonkeyPatch, text: str, size: int) -> None:
    monkeypatch.setenv("IRCC_CACHE_SIZE", text)
    assert limit() == size


def test_another_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IRCC_CACHE_SIZE", "much")
    with pytest.raises(InputError, match="IRCC_CACHE_SIZE=much is no size"):
        limit()


def test_keys_tell_their_parts_apart() -> None:
    keys = [key_of("a", "b"), key_of("ab"), key_of("a", ("b",)), key_of("a", "b", ""), key_of("b", "a")]
    assert len(set(keys)) == len(keys)
    assert key_of("a", 1, None) == key_of("a", 1, None)


def test_a_file_is_kept_under_its_key() -> None:
    ENGINES.put("k", lambda path: path.write_bytes(b"engine"))
    assert ENGINES.path("k").read_bytes() == b"engine"
    assert [p.name for p in ENGINES.folder.iterdir()] == ["k.engine"]
    ENGINES.drop("k")
    assert not ENGINES.path("k").exists()


def test_a_file_that_is_not_finished_is_not_there() -> None:
    def write(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError("the disk is full")

    KERNELS.put("k", write)
    assert list(KERNELS.folder.iterdir()) == []


def test_what_was_not_used_for_long_goes_first() -> None:
    for age, (store, key) in enumerate([(ENGINES, "old"), (KERNELS, "older"), (ENGINES, "oldest")]):
        store.put(key, lambda path: path.write_bytes(bytes(400)))
        os.utime(store.path(key), (1000 - age, 1000 - age))
    ENGINES.used("oldest")
    KERNELS.put("new", lambda path: path.write_bytes(bytes(400)))
    shrink(limit())
    assert ENGINES.path("oldest").exists() and KERNELS.path("new").exists()
    assert not KERNELS.path("older").exists() and not ENGINES.path("old").exists()
    shrink(0)
    assert not ENGINES.path("oldest").exists() and not KERNELS.path("new").exists()


def test_a_folder_that_cannot_be_written_costs_nothing_but_time(folder: Path) -> None:
    folder.write_text("a file")
    ENGINES.put("k", lambda path: path.write_bytes(b"engine"))
    ENGINES.used("k")
    ENGINES.drop("k")
    assert folder.read_text() == "a file"


def test_the_compiler_is_known_by_its_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    found = cache.compiler_identity.__wrapped__()
    assert found is not None and len(found) == 1 + len(cache.PACKAGES)
    assert found == cache.compiler_identity.__wrapped__()
    read = Path.read_bytes

    def changed(path: Path) -> bytes:
        return read(path) + b" " * (path.name == "fuse_elementwise.py")

    monkeypatch.setattr(Path, "read_bytes", changed)
    assert cache.compiler_identity.__wrapped__() != found


def test_with_packages_from_outside_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "entry_points", lambda group: [group] if group == "ircc.schedules" else [])
    assert cache.compiler_identity.__wrapped__() is None
