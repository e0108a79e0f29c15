"""Engine files as shared libraries: what the linker makes, and the C interface, from C and without Python."""

import ctypes
import hashlib
import os
import shutil
import struct
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest

import ircc
from ircc.codegen.cpu import api, features, shared
from ircc.codegen.cpu.llvm import host
from ircc.errors import EngineError
from ircc.ir.target import PRESETS
from ircc.runtime.file import FORMAT, MAGIC, write_engine

ROOT = Path(ircc.__file__).parent
C = pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler here")

# constants in the code and in the weights, an open size, an output whose sizes come from data, a state
MODEL = """
<ir_version: 9, opset_import: ["": 20]>
m (float[N, 18] x, float[4] state) => (float[N, 24] y, int64[2, K] where, float[4] next)
<float two = {2}>
{
    product = MatMul(x, w)
    half = Div(product, two)
    y = Relu(half)
    where = NonZero(y)
    next = Add(state, two)
}
"""


@pytest.fixture(scope="module")
def engine() -> ircc.Engine:
    made = onnx.parser.parse_model(MODEL)
    weights = np.random.default_rng(1).standard_normal((18, 24), np.float32)
    made.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    return ircc.compile(made, threads=2)


@pytest.fixture(scope="module")
def file(engine: ircc.Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shared") / "m.engine"
    engine.save(path)
    return path


def inputs(n: int = 5) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(n)
    return {"x": rng.standard_normal((n, 18), np.float32), "state": np.arange(4, dtype=np.float32)}


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Compiles a C program with the opener."""

    def made(source: str) -> Path:
        folder = tmp_path_factory.mktemp("c")
        (folder / "main.c").write_text(source)
        place = ROOT / "runtime" / "c"
        flags = ["-O1", "-std=c11", "-Wall", "-Wextra", "-Werror", f"-I{place}"]
        command = ["cc", *flags, "-o", str(folder / "main"), str(folder / "main.c"), str(place / "ircc.c")]
        subprocess.run([*command, "-ldl", "-lpthread"], check=True)
        return folder / "main"

    return made


@pytest.mark.parametrize("n", [0, 1, 5, 300])
def test_the_file_computes_what_this_process_does(engine: ircc.Engine, file: Path, n: int) -> None:
    expected, found = engine.run(inputs(n)), ircc.load(file, threads=2).run(inputs(n))
    assert {k: v.tobytes() for k, v in found.items()} == {k: v.tobytes() for k, v in expected.items()}


def test_it_needs_no_other_library(file: Path) -> None:
    told = subprocess.run(["readelf", "-dW", file], capture_output=True, text=True, check=True).stdout
    assert "NEEDED" not in told
    symbols = subprocess.run(["nm", "-D", file], capture_output=True, text=True, check=True).stdout.split("\n")
    defined = {line.split()[2] for line in symbols if len(line.split()) == 3}
    wanted = {line.split()[1] for line in symbols if line.split()[:1] == ["U"]}
    assert all(name.startswith("ircc_") for name in defined)
    assert wanted <= {
        "aligned_alloc", "clock_gettime", "free", "madvise", "memcpy", "memmove", "memset", "pthread_create",
        "pthread_join", "sched_getaffinity", "sched_yield", "snprintf", "syscall",
        "open", "read", "close", "strtoll", "strstr", "strchr", "strrchr",
    }  # fmt: skip


RARE = """
<ir_version: 9, opset_import: ["": 20]>
m (float[N] x, double[N] d) => (float[N] y, double[N] e) { y = Cosh(x) e = Exp(d) }
"""


@C
@pytest.mark.parametrize("linker", ["ld", "ld.lld", "cc"])
def test_functions_of_libm(
    tmp_path: Path, build: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, linker: str
) -> None:
    """Where it needs some, the file names libm: a program that was not linked with it runs it all the same."""
    if not shutil.which(linker):
        pytest.skip(f"no {linker} here")
    monkeypatch.setenv(shared.LINKER, linker)
    shared.find_linker.cache_clear()
    rare, file = ircc.compile(onnx.parser.parse_model(RARE)), tmp_path / "m.engine"
    try:
        rare.save(file)
    finally:
        monkeypatch.undo()
        shared.find_linker.cache_clear()
    told = subprocess.run(["readelf", "-dW", file], capture_output=True, text=True, check=True).stdout
    assert [line.partition("[")[2] for line in told.splitlines() if "(NEEDED)" in line] == ["libm.so.6]"]
    given = {"x": np.linspace(-3, 3, 7, dtype=np.float32), "d": np.linspace(-3, 3, 7)}
    for name, array in given.items():
        array.tofile(tmp_path / f"{name}.in")
    program = build((ROOT / "examples" / "c" / "run.c").read_text())
    words = [file, tmp_path / "x.in", tmp_path / "d.in", "--", tmp_path / "y", tmp_path / "e"]
    subprocess.run([program, *words], env={"SIZES": "7,7"}, check=True)
    for name, array in rare.run(given).items():
        assert (tmp_path / name).read_bytes() == array.tobytes()


def test_two_files_of_a_model_are_the_same(engine: ircc.Engine, file: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    engine.save(tmp_path / "elsewhere" / "other.engine")
    assert (tmp_path / "elsewhere" / "other.engine").read_bytes() == file.read_bytes()


def test_types_have_onnx_numbers() -> None:
    for name, number in api.TYPES.items():
        dtype = onnx.helper.tensor_dtype_to_np_dtype(number)
        assert dtype.name == name


def test_every_preset_is_asked_of_the_machine() -> None:
    for target in PRESETS.values():
        wanted = {f[1:] for f in target.features.split(",")}
        architecture = target.triple.partition("-")[0]
        assert {n.feature for n in features.needs(architecture, wanted)} >= wanted
    asked = features.needs("x86_64", ["avx2", "sse2"])
    assert [n.feature for n in asked][:2] == ["avx2", "sse2"]
    assert [n.leaf for n in asked[-3:]] == [1, features.XCR0, features.XCR0]  # xgetbv only where cpuid says it is there
    assert features.needs("x86_64", ["clwb", "time-travel"]) == []


def test_a_machine_that_lacks_something(engine: ircc.Engine, tmp_path: Path) -> None:
    if host().architecture != "x86_64":
        pytest.skip("the feature that no machine has is one of x86-64")
    artifact = engine.artifact
    none_has_both = f"{artifact.target['features']},+fma4,+amx-tile"
    path = tmp_path / "m.engine"
    write_engine(replace(artifact, target={**artifact.target, "features": none_has_both, "name": "odd"}), path)
    with pytest.raises(EngineError, match=r"has code for odd; this machine .* lacks .*: (amx-tile|fma4)"):
        ircc.load(path)
    other = {**artifact.target, "triple": "riscv64-unknown-linux-gnu", "name": "odd"}
    foreign = path.with_name("foreign")
    with pytest.raises(EngineError, match=r"linker|LLVM"):
        write_engine(replace(artifact, target=other), foreign)
    assert not foreign.exists()


def test_without_a_linker(engine: ircc.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without(_name: str) -> None:
        return None

    monkeypatch.setattr(shared.shutil, "which", without)
    monkeypatch.setattr(shared.importlib.util, "find_spec", without)
    shared.find_linker.cache_clear()
    try:
        with pytest.raises(EngineError, match="needs a linker") as raised:
            engine.save(tmp_path / "m.engine")
        assert "ircc[aot]" in str(raised.value)
        assert os.listdir(tmp_path) == []
    finally:
        shared.find_linker.cache_clear()


@pytest.mark.parametrize("linker", ["ld", "ld.lld", "cc"])
def test_linkers(engine: ircc.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linker: str) -> None:
    if not shutil.which(linker):
        pytest.skip(f"no {linker} here")
    monkeypatch.setenv(shared.LINKER, linker)
    shared.find_linker.cache_clear()
    try:
        engine.save(tmp_path / "m.engine")
    finally:
        monkeypatch.undo()
        shared.find_linker.cache_clear()
    expected = engine.run(inputs())
    assert all(np.array_equal(v, expected[k]) for k, v in ircc.load(tmp_path / "m.engine").run(inputs()).items())


# ---- from C


LANGUAGES = {"c": ("cc", 100), "cpp": ("c++", 100), "rust": ("rustc", 130)}  # the compiler, and lines at most


@C
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_examples(engine: ircc.Engine, file: Path, tmp_path: Path, language: str) -> None:
    """The programs of examples, built as they say, with nothing in their environment."""
    compiler, lines = LANGUAGES[language]
    if not shutil.which(compiler) or not shutil.which("make"):
        pytest.skip(f"no {compiler}, or no make")
    for folder in (f"examples/{language}", "runtime/c"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("run", "*.o"))
    place = tmp_path / "examples" / language
    (source,) = place.glob("run.*")
    assert source.read_text().count("\n") < lines
    warnings = {"CFLAGS": "-O1 -Wall -Wextra -Werror -std=c11", "CXXFLAGS": "-O1 -Wall -Wextra -Werror -std=c++17"}
    subprocess.run(["make", "-C", place, *(f"{k}={v}" for k, v in warnings.items())], check=True, capture_output=True)
    program, given = place / "run", inputs(7)
    for name, array in given.items():
        array.tofile(tmp_path / f"{name}.bin")
    results = [str(tmp_path / f"{p.name}.out") for p in engine.outputs]
    files = [str(tmp_path / f"{p.name}.bin") for p in engine.inputs]
    command = [str(program), str(file), *files, "--", *results]
    subprocess.run(command, env={"SIZES": "7,18,4"}, check=True)
    for path, array in zip(results, engine.run(given).values(), strict=True):
        assert Path(path).read_bytes() == array.tobytes()
    refused = {"7,19,4": "dimension 1 of [N, 18] does not fit: it is 19"}
    refused |= {"-7,18,4": "its sizes are open"} if language == "c" else {"8,18,4": "not the size of its input"}
    for sizes, told in refused.items():
        done = subprocess.run(command, env={"SIZES": sizes}, capture_output=True, text=True, check=False)
        assert done.returncode == 1 and told in done.stderr
    done = subprocess.run([str(program), __file__], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "it is no engine file" in done.stderr


CHECKS = r"""
#include "ircc.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define MUST(x) do { if (!(x)) { printf("line %d: %s\n", __LINE__, #x); return 1; } } while (0)

static int used(ircc_library *lib) {
    ircc_engine *engine;
    ircc_context *a, *b;
    float x[2 * 18], y[2 * 24], state[4] = {1, 2, 3, 4};
    int64_t sizes[] = {2, 18, 4}, negative[] = {-1, 18, 4}, results[5];
    const ircc_info *info = lib->describe();
    MUST(info->abi_version == 1 && info->target_count == 1 && info->input_count == 2 && info->output_count == 3);
    MUST(!strcmp(info->inputs[0].name, "x") && info->inputs[0].type == 1 && info->inputs[0].rank == 2);
    MUST(info->inputs[0].sizes[0] == -1 && !strcmp(info->inputs[0].symbols[0], "N") && !info->inputs[0].symbols[1]);
    MUST(info->outputs[1].type == 7 && info->outputs[1].flags == IRCC_LATE && info->outputs[0].flags == 0);
    MUST(info->outputs[2].in_place_count == 1 && info->outputs[2].in_place[0] == 1);
    MUST(lib->select() == 0 && !lib->missing());
    for (int i = 0; i < 36; i++) x[i] = (float)(i % 5 - 2);
    MUST(lib->engine_create(3, &engine) == IRCC_OK);
    MUST(lib->context_create(engine, &a) == IRCC_OK && lib->context_create(engine, &b) == IRCC_OK);
    const void *inputs[] = {x, state};
    void *outputs[] = {y, NULL, state};
    MUST(!*lib->context_error(a) && lib->context_run(a, inputs, outputs) == IRCC_NOT_READY && *lib->context_error(a));
    MUST(lib->context_resize(a, negative, results) == IRCC_BAD_INPUT && strstr(lib->context_error(a), "it is -1"));
    MUST(lib->context_run(a, inputs, outputs) == IRCC_NOT_READY);
    MUST(lib->context_resize(a, sizes, results) == IRCC_OK && lib->context_resize(b, sizes, NULL) == IRCC_OK);
    MUST(results[0] == 2 && results[1] == 24 && results[4] == 4);
    MUST(lib->context_run(a, inputs, outputs) == IRCC_OK);
    MUST(state[0] == 3 && state[3] == 6); /* in place */
    lib->context_sizes(a, results);
    int64_t count = 0;
    for (int i = 0; i < 48; i++) count += y[i] != 0;
    MUST(results[2] == 2 && results[3] == count && count > 0);
    const int64_t *where = outputs[1];
    for (int64_t i = 0; i < count; i++) MUST(y[24 * where[i] + where[count + i]] != 0);
    MUST(lib->engine_set_threads(engine, 1) == IRCC_OK && lib->engine_set_threads(engine, 0) == IRCC_OK);
    float again[2 * 24];
    outputs[0] = again;
    MUST(lib->context_run(b, inputs, outputs) == IRCC_OK && !memcmp(y, again, sizeof y));
    lib->context_destroy(a), lib->context_destroy(b), lib->context_destroy(NULL);
    lib->engine_destroy(engine), lib->engine_destroy(NULL);
    return 0;
}

int main(int n, char **words) {
    ircc_library lib;
    char text[200];
    MUST(n == 2 && ircc_open("/nowhere", 0, &lib, text, sizeof text) == IRCC_BAD_FILE);
    MUST(ircc_open(words[0], 0, &lib, text, sizeof text) == IRCC_BAD_FILE && strstr(text, "no engine file"));
    MUST(ircc_open(words[1], IRCC_CHECK_ALL, &lib, NULL, 0) == IRCC_OK);
    if (used(&lib)) return 1;
    ircc_close(&lib);
    FILE *file = fopen(words[1], "rb");
    MUST(file && !fseek(file, 0, SEEK_END));
    size_t size = (size_t)ftell(file);
    char *data = malloc(size);
    rewind(file);
    MUST(data && fread(data, 1, size, file) == size && !fclose(file));
    MUST(ircc_open_memory(data, size, IRCC_CHECK_ALL, &lib, text, sizeof text) == IRCC_OK);
    if (used(&lib)) return 1;
    ircc_library second;
    MUST(ircc_open_memory(data, size, IRCC_CHECK_CODE, &second, text, sizeof text) == IRCC_OK);
    MUST(second.describe() != lib.describe()); /* two files of no name, not one */
    ircc_close(&second);
    ircc_close(&lib);
    for (size_t i = 0; i < size; i += i + 300 < size ? 101 : 1) {
        data[i] ^= 16;
        MUST(ircc_open_memory(data, size, IRCC_CHECK_ALL, &lib, text, sizeof text) == IRCC_BAD_FILE && *text);
        data[i] ^= 16;
    }
    for (size_t some = 0; some < size; some += 1 + size / 50)
        MUST(ircc_open_memory(data, some, IRCC_CHECK_CODE, &lib, text, 20) == IRCC_BAD_FILE && strlen(text) < 20);
    free(data);
    return 0;
}
"""


@C
def test_the_interface(file: Path, build: Callable[[str], Path]) -> None:
    done = subprocess.run([str(build(CHECKS)), str(file)], env={}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


OPENER = r"""
#include "ircc.h"
#include <stdio.h>
int main(int n, char **words) { /* `old new`: open old, let new take its place, open that */
    ircc_library first, second;
    char text[200] = "";
    int32_t code = ircc_open(words[1], IRCC_CHECK_CODE, &first, text, sizeof text);
    if (n == 2 || code) return puts(text), code;
    if (rename(words[2], words[1]) || ircc_open(words[1], IRCC_CHECK_CODE, &second, text, sizeof text)) return 99;
    return 10 * first.describe()->input_count + second.describe()->input_count;
}
"""


@C
def test_a_file_that_took_the_place_of_a_loaded_one_is_opened(
    file: Path, build: Callable[[str], Path], tmp_path: Path
) -> None:
    old, new = tmp_path / "old.engine", tmp_path / "new.engine"
    old.write_bytes(file.read_bytes())
    one = '<ir_version: 9, opset_import: ["": 20]> m (float[N] x) => (float[N] y) { y = Relu(x) }'
    ircc.compile(onnx.parser.parse_model(one)).save(new)
    assert subprocess.run([str(build(OPENER)), str(old), str(new)], check=False).returncode == 21


@C
@pytest.mark.parametrize("weights", [-100, 1 << 63])
def test_weights_that_lie_outside_of_the_file_are_refused(
    build: Callable[[str], Path], tmp_path: Path, weights: int
) -> None:
    size = 4096
    first = struct.pack("<8sIIQQQQQ", MAGIC, FORMAT, 0, size, weights % size if weights < 0 else weights, 0, 0, 0)
    seal = first + bytes(32 + 32 + 32 + 64)
    data = bytes(size - len(seal) - 8) + seal + hashlib.blake2b(seal, digest_size=8).digest()
    (tmp_path / "bad").write_bytes(data)
    done = subprocess.run([str(build(OPENER)), str(tmp_path / "bad")], capture_output=True, text=True, check=False)
    assert done.returncode == 6 and "its size is not what it was" in done.stdout


@C
def test_a_program_linked_with_an_engine(file: Path, tmp_path: Path) -> None:
    (tmp_path / "main.c").write_text('#include "ircc.h"\nint main(void) { return ircc_describe()->input_count; }\n')
    place = ROOT / "runtime" / "c"
    subprocess.run(["cc", f"-I{place}", "-o", "main", "main.c", str(file), "-lpthread"], cwd=tmp_path, check=True)
    assert subprocess.run([str(tmp_path / "main")], env={}, check=False).returncode == 2


def test_the_header_is_what_is_exported(file: Path) -> None:
    library = ctypes.CDLL(str(file))
    header = (ROOT / "runtime" / "c" / "ircc.h").read_text()
    before_the_opener: str = header.partition("/* ---- ircc.c")[0]
    declared = [w for w in before_the_opener.replace("*", " ").replace("(", " ( ").split() if w.startswith("ircc_")]
    names: set[Any] = {a for a in declared if f"{a}(" in before_the_opener and f"struct {a}" not in before_the_opener}
    assert len(names) == 13
    assert all(hasattr(library, name) for name in names)
