"""Engine files under many threads: contexts of their own, sizes that change, memory that does not grow."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

import ircc

ROOT = Path(ircc.__file__).parent
pytestmark = pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler here")

# rows are computed by themselves, so a run of N rows can be checked against each row's run alone; the sizes of `where`
# come from data
MODEL = """
<ir_version: 9, opset_import: ["": 20]>
m (float[N, 18] x) => (float[N, 24] y, int64[2, K] where)
{
    product = MatMul(x, w)
    soft = Softmax(product)
    y = MatMul(soft, v)
    positive = Relu(product)
    where = NonZero(positive)
}
"""

PROGRAM = r"""
#include "ircc.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#define MUST(x) do { if (!(x)) { fprintf(stderr, "line %d: %s\n", __LINE__, #x); exit(1); } } while (0)
enum { MOST = 40, IN = 18, OUT = 24 };

static float x[MOST * IN], rows[MOST * OUT];
static int64_t positive[MOST];
static ircc_library lib;
static ircc_engine *engine;
static int runs;

static int64_t run(ircc_context *context, int64_t n, int first, float *y) {
    int64_t sizes[] = {n, IN}, results[4];
    const int64_t *where;
    MUST(lib.context_resize(context, sizes, results) == IRCC_OK && results[0] == n && results[1] == OUT);
    const void *inputs[] = {x + first * IN};
    void *outputs[] = {y, NULL};
    MUST(lib.context_run(context, inputs, outputs) == IRCC_OK);
    lib.context_sizes(context, results);
    where = outputs[1];
    for (int64_t i = 0; i < results[3]; i++) MUST(where[i] >= 0 && where[i] < n);
    return results[3];
}

static void *caller(void *seed) {
    unsigned state = (unsigned)(size_t)seed;
    float y[MOST * OUT];
    ircc_context *context;
    MUST(lib.context_create(engine, &context) == IRCC_OK);
    for (int i = 0; i < runs; i++) {
        state = state * 1664525u + 1013904223u;
        int n = (int)(state >> 16) % (MOST + 1), first = n == MOST ? 0 : (int)(state >> 8) % (MOST - n);
        int64_t count = 0;
        for (int row = first; row < first + n; row++) count += positive[row];
        memset(y, 255, sizeof y);
        MUST(run(context, n, first, y) == count);
        for (int j = 0; j < n * OUT; j++) { /* the order of a sum may depend on the number of rows, so not bit by bit */
            float off = y[j] - rows[first * OUT + j];
            MUST(off < 1e-4f && off > -1e-4f);
        }
    }
    lib.context_destroy(context);
    return NULL;
}

static long peak(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

int main(int count, char **words) {
    char text[300];
    pthread_t threads[8];
    ircc_context *context;
    MUST(count == 4 && ircc_open(words[1], IRCC_CHECK_CODE, &lib, text, sizeof text) == IRCC_OK);
    for (int i = 0; i < MOST * IN; i++) x[i] = (float)(i * 7919 % 101 - 50) / 25;
    MUST(lib.engine_create(atoi(words[2]), &engine) == IRCC_OK);
    MUST(lib.engine_create(1, NULL) == IRCC_BAD_INPUT && lib.engine_set_threads(NULL, 1) == IRCC_BAD_INPUT);
    MUST(lib.context_create(engine, NULL) == IRCC_BAD_INPUT);
    MUST(lib.context_create(NULL, &context) == IRCC_BAD_INPUT && !context);
    MUST(lib.context_resize(NULL, NULL, NULL) == IRCC_BAD_INPUT && lib.context_run(NULL, NULL, NULL) == IRCC_BAD_INPUT);
    lib.context_sizes(NULL, NULL);
    MUST(strstr(lib.context_error(NULL), "NULL"));
    MUST(lib.context_create(engine, &context) == IRCC_OK);
    MUST(lib.context_resize(context, NULL, NULL) == IRCC_BAD_INPUT && strstr(lib.context_error(context), "NULL"));
    MUST(lib.context_run(context, (const void *[]){x}, NULL) == IRCC_BAD_INPUT);
    for (int row = 0; row < MOST; row++) positive[row] = run(context, 1, row, rows + row * OUT);
    lib.context_destroy(context);
    long before = 0;
    for (int round = 0; round < 2; round++) { /* the first one finds out how much is needed */
        runs = atoi(words[3]) / 16;
        for (size_t i = 0; i < 8; i++) MUST(!pthread_create(&threads[i], NULL, caller, (void *)(1 + i)));
        for (size_t i = 0; i < 8; i++) MUST(!pthread_join(threads[i], NULL));
        if (!round) before = peak();
    }
    printf("%ld\n", peak() - before);
    lib.engine_destroy(engine);
    ircc_close(&lib);
    return 0;
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("c")
    (folder / "main.c").write_text(PROGRAM)
    place = ROOT / "runtime" / "c"
    command = ["cc", "-O1", "-g", "-std=gnu11", "-Wall", "-Wextra", "-Werror", f"-I{place}", "-o", folder / "main"]
    subprocess.run([*command, folder / "main.c", place / "ircc.c", "-ldl", "-lpthread"], check=True)
    return folder / "main"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str | None], Path]:
    folder = tmp_path_factory.mktemp("engines")
    made = onnx.parser.parse_model(MODEL)
    rng = np.random.default_rng(1)
    for name, shape in {"w": (18, 24), "v": (24, 24)}.items():
        made.graph.initializer.append(onnx.numpy_helper.from_array(rng.standard_normal(shape, np.float32), name))

    def saved(target: str | None) -> Path:
        path = folder / f"{target}.engine".replace(":", "-")
        if not path.exists():
            ircc.compile(made, target=target).save(path)
        return path

    return saved


@pytest.mark.parametrize("threads", [1, 3])
def test_eight_callers(program: Path, engine: Callable[[str | None], Path], threads: int) -> None:
    """100,000 runs of changing sizes give what the rows give by themselves, and take no more memory in the end."""
    command = [program, engine(None), str(threads), "100000"]
    done = subprocess.run(command, env={}, capture_output=True, text=True, timeout=600, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) <= 512  # kB; 50,000 runs that lose 16 bytes each would take 800


@pytest.mark.skipif(not shutil.which("valgrind"), reason="no valgrind here")
def test_memory_is_used_as_it_should_be(program: Path, engine: Callable[[str | None], Path]) -> None:
    """Valgrind's memcheck finds nothing, nothing lost included. It does not know AVX-512."""
    command = ["valgrind", "--quiet", "--error-exitcode=9", "--leak-check=full", "--show-leak-kinds=all"]
    ran = [*command, program, engine("cpu:x86-64-v3"), "2", "320"]
    done = subprocess.run(
        ran, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, timeout=600, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
