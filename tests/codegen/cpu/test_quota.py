"""How many threads an engine has by itself when C opens it: affinity, and the quotas of both kinds of cgroups."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import onnx.parser
import pytest

import ircc
from ircc.codegen.cpu import api, llvm, pool, quota
from ircc.codegen.cpu.jit import LoadedObject

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="cgroups are Linux's")
NONE = (1 << 63) - 1
MODEL = '<ir_version: 9, opset_import: ["": 20]> m (float[4] x) => (float[4] y) { y = Neg(x) }'


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, LoadedObject]:
    """A folder for the files of cgroups, and the code that reads them."""
    folder = tmp_path_factory.mktemp("quota")
    text = quota.text(llvm.host().triple, str(folder / "cgroup"), str(folder / "self"))
    exported = text.replace("define internal i64 @ircc.quota()", "define i64 @ircc_quota()")
    code = f"declare i32 @snprintf(ptr, i64, ptr, ...)\n{exported}"
    return folder, LoadedObject(llvm.compile_object(code, llvm.host()), ("ircc_quota",))


def granted(asked: tuple[Path, LoadedObject], files: dict[str, str]) -> int:
    """What the code says where there are these files."""
    folder, code = asked
    subprocess.run(["rm", "-rf", *folder.iterdir()], check=True)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return ctypes.CFUNCTYPE(ctypes.c_int64)(code.address("ircc_quota"))()


@pytest.mark.parametrize(
    ("inner", "outer", "count"),
    [
        ("max 100000\n", "max 100000\n", NONE),
        ("250000 100000\n", "max 100000\n", 3),
        ("max 100000\n", "100000 100000\n", 1),
        ("800000 100000\n", "200000 100000\n", 2),
        ("1000 100000\n", "max 100000\n", 1),
        ("9900000 100000", "max 100000", 99),
        ("nonsense", "200000 100000", 2),
        ("200000 0\n", "300000 100000\n", 3),
        ("", "", NONE),
    ],
)
def test_version_2(asked: tuple[Path, LoadedObject], inner: str, outer: str, count: int) -> None:
    files = {"self": "0::/jobs/mine\n", "cgroup/jobs/mine/cpu.max": inner, "cgroup/jobs/cpu.max": outer}
    assert granted(asked, files) == count


@pytest.mark.parametrize(("quota", "count"), [("-1\n", NONE), ("400000\n", 4), ("50000\n", 1)])
@pytest.mark.parametrize("controllers", ["cpu", "cpu,cpuacct", "cpuacct,cpu", "net_prio,cpu,cpuacct"])
def test_version_1(asked: tuple[Path, LoadedObject], controllers: str, quota: str, count: int) -> None:
    own = f"12:cpuset:/other\n4:{controllers}:/mine\n3:memory:/mine\n"
    files = {"self": own, "cgroup/cpu/mine/cpu.cfs_quota_us": quota, "cgroup/cpu/mine/cpu.cfs_period_us": "100000\n"}
    assert granted(asked, files) == count


def test_other_forms(asked: tuple[Path, LoadedObject]) -> None:
    assert granted(asked, {}) == NONE
    assert granted(asked, {"self": "what is this\n\n"}) == NONE
    assert granted(asked, {"self": "0::/", "cgroup/cpu.max": "150000 100000"}) == 2  # in a namespace of its own
    assert granted(asked, {"self": "0::/gone/away\n", "cgroup/cpu.max": "150000 100000"}) == 2
    both = {"self": "2:cpu:/a\n0::/a\n", "cgroup/cpu/a/cpu.cfs_quota_us": "3", "cgroup/cpu/a/cpu.cfs_period_us": "1"}
    assert granted(asked, {**both, "cgroup/a/cpu.max": "5 1"}) == 3
    assert granted(asked, {**both, "cgroup/a/cpu.max": "2 1"}) == 2
    long = "/".join(["d" * 200] * 30)
    assert granted(asked, {"self": f"0::/{long}/{'e' * 2000}", "cgroup/cpu.max": "7 1"}) == 7


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engine")


@pytest.fixture(scope="module")
def file(folder: Path) -> Path:
    """An engine that takes its cgroups from files of this folder."""
    with pytest.MonkeyPatch.context() as patch:
        text = quota.text
        fake = str(folder / "cgroup"), str(folder / "self")
        patch.setattr(api.quota, "text", lambda triple: text(triple, *fake))
        made = ircc.compile(onnx.parser.parse_model(MODEL))
        made.save(folder / "m.engine")
    return folder / "m.engine"


THREADS = f"""
import ctypes, os, sys
if sys.argv[2]: os.sched_setaffinity(0, {{int(sys.argv[2])}})
library, engine = ctypes.CDLL(sys.argv[1]), ctypes.c_void_p()
assert library.ircc_engine_create(int(sys.argv[3]), ctypes.byref(engine)) == 0
table = ctypes.c_void_p.from_address(engine.value).value
pool = ctypes.c_void_p.from_address(table + {pool.TABLE["pool"]}).value
print(ctypes.c_int32.from_address(pool + {pool.FIELDS["threads"]}).value if pool else 1)
library.ircc_engine_destroy(engine)
"""


@pytest.mark.parametrize(
    ("limit", "pinned", "asked_for", "expected"),
    [("max 1", False, 0, "all"), ("1 1", False, 0, "1"), ("max 1", True, 0, "1"), ("1 1", True, 3, "3")],
)
def test_threads_of_an_engine(
    folder: Path, file: Path, limit: str, pinned: bool, asked_for: int, expected: str
) -> None:
    (folder / "self").write_text("0::/mine\n")
    (folder / "cgroup" / "mine").mkdir(parents=True, exist_ok=True)
    (folder / "cgroup" / "mine" / "cpu.max").write_text(limit)
    cores = os.sched_getaffinity(0)
    command = [sys.executable, "-c", THREADS, str(file), str(min(cores)) if pinned else "", str(asked_for)]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert found == (str(len(cores)) if expected == "all" else expected)
