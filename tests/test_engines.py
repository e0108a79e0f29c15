"""Engine files on the command line: inspected, verified, signed, compared. None of it loads their code."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

import ircc
from ircc.cli import main
from ircc.engines import compare_engines, describe_engine, verify_engine
from ircc.errors import EngineError, InputError
from ircc.runtime.file import read_engine, write_engine
from ircc.runtime.trust import new_key, sign_engine

MODEL = """
<ir_version: 9, opset_import: ["": 20]>
small (float[N, 18] x) => (float[N, 24] y)
{
    product = MatMul(x, w)
    scaled = Softmax(product)
    y = MatMul(scaled, v)
}
"""


def compiled(seed: int = 0, target: str | None = None) -> ircc.Engine:
    made = onnx.parser.parse_model(MODEL)
    rng = np.random.default_rng(seed)
    for name, shape in {"w": (18, 24), "v": (24, 24)}.items():
        made.graph.initializer.append(onnx.numpy_helper.from_array(rng.standard_normal(shape, np.float32), name))
    return ircc.compile(made, target=target)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("engines") / "m.engine"
    compiled().save(path)
    return path


def test_a_file_that_takes_the_place_of_a_loaded_one(file: Path, tmp_path: Path) -> None:
    """Each engine stays what it was when it was loaded, and is saved as that."""
    x = np.ones((2, 18), np.float32)
    first = ircc.load(file)
    before, data = first.run({"x": x})["y"], file.read_bytes()
    text = MODEL.replace("Softmax(product)", "Relu(product)").replace("v)\n}", "v)\n z = Relu(y)\n}")
    other = onnx.parser.parse_model(text.replace("24] y)", "24] y, float[N, 24] z)"))
    for name, shape in {"w": (18, 24), "v": (24, 24)}.items():
        other.graph.initializer.append(onnx.numpy_helper.from_array(np.ones(shape, np.float32), name))
    ircc.compile(other).save(file)
    second = ircc.load(file)
    assert (second.run({"x": x})["z"] == 18 * 24).all()
    assert np.array_equal(first.run({"x": x})["y"], before)
    first.save(tmp_path / "first.engine")
    assert (tmp_path / "first.engine").read_bytes() == data


@pytest.fixture
def file(original: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    path = tmp_path / "m.engine"
    path.write_bytes(original.read_bytes())
    return path


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("keys")
    new_key(folder / "a.pem", folder / "a.pub.pem")
    return folder / "a.pem", folder / "a.pub.pem"


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Command:
    def run(*arguments: str | Path) -> tuple[int, str, str]:
        capfd.readouterr()
        status = main([str(a) for a in arguments])
        out, err = capfd.readouterr()
        return status, out, err

    return run


def test_inspect(file: Path, command: Command) -> None:
    status, out, _ = command("inspect", file)
    assert status == 0
    kernels = read_engine(file).artifacts[0].kernels
    assert all(kernel.name in out for kernel in kernels)
    assert "float32" in out and "[N, 24]" in out and "softmax" in out.lower()
    status, out, _ = command("inspect", file, "--json")
    told = json.loads(out)
    assert told == describe_engine(file)
    assert told["file"]["bytes"] == file.stat().st_size
    (variant,) = told["variants"]
    assert [k["nodes"] for k in variant["kernels"]] == [list(k.nodes) for k in kernels]
    assert any("vectorize" in k.get("schedule", "") for k in variant["kernels"])
    assert variant["provenance"]["memory"]["buffers"] and variant["provenance"]["model"]["sha256"]


def test_the_plan_of_the_arena(file: Path) -> None:
    """Buffers lie inside of it."""
    from ircc.runtime.sizes import evaluate

    memory = read_engine(file).artifacts[0].provenance["memory"]
    for n in (1, 7, 100):
        arena = evaluate(str(memory["arena"]), {"N": n})
        assert arena > 0
        assert all(
            0 <= evaluate(str(a), {"N": n}) <= arena - evaluate(str(b), {"N": n}) for _, a, b in memory["buffers"]
        )


def test_inspecting_loads_no_code(file: Path) -> None:
    """And nothing of the compiler, so that an engine for any machine can be looked at."""
    text = (
        "import sys\nfrom ircc.cli import main\nmain(['inspect', sys.argv[1]])\nmain(['verify', sys.argv[1]])\n"
        "maps = open('/proc/self/maps').read() if sys.platform == 'linux' else ''\n"
        "assert 'r-xp' in maps and not any('m.engine' in l and 'x' in l.split()[1] for l in maps.splitlines())\n"
        "assert not {'xdsl', 'onnx', 'llvmlite'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", text, file], check=True, stdout=subprocess.DEVNULL)


def test_verify(file: Path, command: Command) -> None:
    status, _, err = command("verify", file)
    assert status == 0 and "not signed" in err
    assert verify_engine(file) is None
    data = bytearray(file.read_bytes())
    data[read_engine(file).seal.weights + 100] ^= 1
    file.write_bytes(data)
    status, _, err = command("verify", file)
    assert status == 1 and "weights and sections do not have their hash" in err
    ircc.load(file)  # asks for the code only
    with pytest.raises(EngineError, match="weights"):
        ircc.load(file, verify="all")
    with pytest.raises(InputError, match="'code' or 'all'"):
        ircc.load(file, verify="everything")  # pyright: ignore[reportArgumentType]


def test_signatures(file: Path, keys: tuple[Path, Path], tmp_path: Path, command: Command) -> None:
    private, public = keys
    assert private.stat().st_mode & 0o77 == 0
    plain = file.read_bytes()
    with pytest.raises(EngineError, match="is not signed"):
        ircc.load(file, trusted_keys=[public])
    assert command("verify", file, "--key", public)[0] == 1
    assert command("sign", file, "--key", private)[0] == 0
    assert sum(a != b for a, b in zip(plain, file.read_bytes(), strict=True)) <= 32 + 64 + 8
    status, _, err = command("verify", file, "--key", public)
    key = read_engine(file).seal.public_key
    assert status == 0 and f"signed by {key.hex()}" in err
    x = np.ones((3, 18), np.float32)
    expected = compiled().run({"x": x})["y"]
    for trusted in ([public], [key], [bytes(32), str(public)]):
        assert np.array_equal(ircc.load(file, trusted_keys=trusted).run({"x": x})["y"], expected)
    status, _, err = command("sign", "--new-key", tmp_path / "b")
    assert status == 0 and "keep it to yourself" in err
    other = tmp_path / "b.pub.pem"
    with pytest.raises(EngineError, match=f"a key that is not trusted: {key.hex()}"):
        ircc.load(file, trusted_keys=[other])
    assert command("sign", "--new-key", tmp_path / "b")[0] == 1  # a key is never written over
    (tmp_path / "c.pub.pem").touch()
    assert command("sign", "--new-key", tmp_path / "c")[0] == 1
    assert not (tmp_path / "c.pem").exists()  # one of a pair is of no use
    assert command("sign", file, "--key", public)[0] == 1
    assert command("sign", file)[0] == command("sign")[0] == 1
    file.chmod(0o640)
    sign_engine(file, tmp_path / "b.pem")
    assert file.stat().st_mode & 0o777 == 0o640
    with pytest.raises(EngineError, match="not trusted"):
        ircc.load(file, trusted_keys=[public])
    for key_alone in (public, str(public), key):
        with pytest.raises(InputError, match="expected a list of keys"):
            ircc.load(file, trusted_keys=key_alone)  # pyright: ignore[reportArgumentType]
    for no_key in (b"short", tmp_path / "nothing.pem", __file__):
        with pytest.raises(EngineError):
            ircc.load(file, trusted_keys=[no_key])


def test_altered_after_signing(file: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    """Whoever alters an engine can make hashes that are right, but no signature."""
    private, public = keys
    sign_engine(file, private)
    seal, other = read_engine(file).seal, tmp_path / "other.engine"
    artifact = replace(compiled().artifact, weights=read_engine(file).artifacts[0].weights * 1)
    artifact.weights[::97] ^= 1
    write_engine(artifact, other)
    from ircc.runtime.file import change_engine

    change_engine(other, lambda new: new._replace(public_key=seal.public_key, signature=seal.signature))
    with pytest.raises(EngineError, match="altered"):
        ircc.load(other, trusted_keys=[public])
    with pytest.raises(EngineError, match="altered"):
        verify_engine(other)
    change_engine(file, lambda new: new._replace(signature=bytes(64)))
    with pytest.raises(EngineError, match="altered"):
        ircc.load(file, trusted_keys=[public])


def test_diff(file: Path, tmp_path: Path, command: Command) -> None:
    same, weights, plain = (tmp_path / f"{name}.engine" for name in ("same", "weights", "plain"))
    compiled().save(same)
    assert compare_engines(file, same) == [] and command("diff", file, same)[0] == 0
    compiled(seed=1).save(weights)
    assert {d.what for d in compare_engines(file, weights)} == {"model sha256", "section graph", "weights"}
    compiled(target="cpu:x86-64").save(plain)
    status, out, _ = command("diff", file, plain, "--json")
    told = {d["what"] for d in json.loads(out)}
    assert status == 1 and {f"target {read_engine(f).artifacts[0].target['name']}" for f in (file, plain)} <= told
    artifact = read_engine(file).artifacts[0]
    first = artifact.kernels[0]
    changed = replace(first, schedule=first.schedule + "\nunroll i9")
    altered = replace(compiled().artifact, kernels=(changed, *artifact.kernels[1:]), symbols=("M",))
    write_engine(altered, tmp_path / "altered.engine")
    found = {d.what: (d.first, d.second) for d in compare_engines(file, tmp_path / "altered.engine")}
    assert found == {f"kernel {first.name}: schedule": ("", "unroll i9"), "open sizes": ("N", "M")}
    assert command("diff", file, tmp_path / "altered.engine")[0] == 1
