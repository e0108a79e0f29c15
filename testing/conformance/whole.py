"""L4: whole models, and what goes wrong around them."""

from __future__ import annotations

import logging
import random
import tempfile
import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from xdsl.dialects.builtin import ModuleOp
from xdsl.parser import Parser

from ...codegen.backend import RefusedKernels, find_backend
from ...codegen.placement import refuse
from ...compiler import compile
from ...dialects import context
from ...dialects.loop import Kernel
from ...errors import EngineError, Error
from ...ir.check_each import relative_bound
from ...ir.target import Target
from ...runtime.device import Device
from ...runtime.engine import load
from ...runtime.examples import example_inputs
from ..control_programs import with_control
from ..graph_programs import random_graph, random_inputs
from .kit import CPU, HOST, Check, Subject, Wrong, agree

MODEL = """
builtin.module {
  func.func @main(%x: !graph.tensor<[N, 5], f32> {ircc.name = "x"}, %w: !graph.tensor<[5, 4], f32> {ircc.name = "w"})
      -> (!graph.tensor<[N, 4], f32> {ircc.name = "y"}) {
    %p = graph.matmul %x, %w : (!graph.tensor<[N, 5], f32>, !graph.tensor<[5, 4], f32>) -> !graph.tensor<[N, 4], f32>
    %e = graph.exp %p : (!graph.tensor<[N, 4], f32>) -> !graph.tensor<[N, 4], f32>
    %y = graph.softmax %e <axis = 1> : (!graph.tensor<[N, 4], f32>) -> !graph.tensor<[N, 4], f32>
    func.return %y : !graph.tensor<[N, 4], f32>
  }
}
"""
BOUND = 2048.0  # of MODEL: exp of a sum of 5, twice, in units in the last place
RUNS = 10  # of each thread


def model() -> ModuleOp:
    """A product, a function and a softmax, for any number of rows."""
    return Parser(context(), MODEL).parse_module()


def inputs(rows: int, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {"x": rng.standard_normal((rows, 5), np.float32), "w": rng.standard_normal((5, 4), np.float32)}


@cache
def reference() -> Any:
    return compile(model(), target=CPU)


def expected(given: dict[str, Any]) -> dict[str, Any]:
    return reference().run(given)


def sizes_that_change(subject: Subject) -> None:
    engine = subject.engine(model())
    for rows in (6, 1, 0, 1000, 7, 6):
        agree(expected(inputs(rows)), engine.run(inputs(rows)), BOUND)


def bound_arrays(subject: Subject) -> None:
    engine, given = subject.engine(model()), inputs(6)
    bound = engine.bind(given)
    for seed in range(3):
        given["x"][...] = inputs(6, seed)["x"]
        bound()
        agree(expected(given), dict(bound.outputs), BOUND)


def saved(subject: Subject) -> None:
    with tempfile.TemporaryDirectory(prefix="ircc.") as folder:
        path = Path(folder) / "m.engine"
        subject.engine(model()).save(path)
        agree(expected(inputs(3)), load(path).run(inputs(3)), BOUND)


def threads(subject: Subject) -> None:
    engine = subject.engine(model())
    wanted = [expected(inputs(3, seed)) for seed in range(4)]
    faults: list[str] = []

    def work(seed: int) -> None:
        try:
            for _ in range(RUNS):
                agree(wanted[seed], engine.run(inputs(3, seed)), BOUND)
        except (Wrong, Error) as error:
            faults.append(str(error))

    running = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    if faults:
        raise Wrong(f"four threads: {faults[0]}")


def control_flow(subject: Subject, seed: int) -> None:
    """Branches and loops, sizes that depend on data, many types."""
    rng = random.Random(seed)
    module = with_control(random_graph(rng, length=(3, 6)), rng, 2)
    given = random_inputs(module, rng, vary=False)
    agree(compile(module, target=CPU).run(given), subject.engine(module).run(given), relative_bound(module))


@contextmanager
def breaking(subject: Subject, *methods: str) -> Generator[list[str] | None]:
    """In this block methods of the device raise while the list holds their names. None: they are native, and nothing
    can be planted in them."""
    whole = subject.engine(model()).device
    kind: Any = type(getattr(whole, "device", whole))
    broken: list[str] = []

    def sometimes(method: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: Any, *args: Any) -> Any:
            if method in broken:
                raise EngineError(f"planted: {method} fails")
            return original(self, *args)

        return call

    if kind.table is not Device.table:
        yield None
        return
    with ExitStack() as patches:
        for method in methods:
            patches.enter_context(patch.object(kind, method, sometimes(method, getattr(kind, method))))
        yield broken


def fails(engine: Any, rows: int, what: str) -> None:
    """See that a run says what is planted."""
    try:
        engine.run(inputs(rows))
    except Error as error:
        if "planted" not in str(error):
            raise Wrong(f"{what}, and the run says {error}") from error
    else:
        raise Wrong(f"{what}, and the run says nothing")


def failing(subject: Subject, method: str) -> None:
    """A method of the device raises, once, in the middle of things: the run says so, and the next one is right."""
    with breaking(subject, method) as broken:
        engine = subject.engine(model())
        if broken is None or (method == "copy" and engine.device.unified):
            return
        agree(expected(inputs(3)), engine.run(inputs(3)), BOUND)
        broken.append(method)
        fails(engine, 1000, f"{method} failed")
        broken.clear()
        for rows in (1000, 3):
            agree(expected(inputs(rows)), engine.run(inputs(rows)), BOUND)


def lost(subject: Subject) -> None:
    """The device is gone, for good as far as its engines are concerned: each run says so, at any size; and when it is
    back, new engines are right, and so are those who could not begin."""
    with breaking(subject, "alloc", "copy", "launch", "wait") as broken:
        if broken is None:
            return
        engine, fresh = subject.engine(model()), subject.engine(model())
        for _ in range(3):
            agree(expected(inputs(3)), engine.run(inputs(3)), BOUND)
        broken.extend(["alloc", "copy", "launch", "wait"])
        for rows in (3, 1000, 3):
            fails(engine, rows, "the device is lost")
        fails(fresh, 3, "the device is lost")
        broken.clear()
        del engine
        for found in (fresh, subject.engine(model())):
            agree(expected(inputs(3)), found.run(inputs(3)), BOUND)


def refused(subject: Subject) -> None:
    """Every other kernel is none of the backend's: it runs on the host, and the result is the same."""
    asked: list[object] = []

    def supports(self: object, kernel: object) -> str | None:
        asked.append(kernel)
        return "it is not its turn" if len(asked) % 2 else None

    kind: Any = type(find_backend(subject.target))
    original: Callable[..., Target] = kind.describe

    def describe(self: object, spec: str | None = None) -> Target:
        return replace(original(self, spec), link=0)  # placed by what is supported, not by cost

    with patch.object(kind, "supports", supports), patch.object(kind, "describe", describe):
        engine = subject.engine(model())
        for rows in (3, 1, 0):
            agree(expected(inputs(rows)), engine.run(inputs(rows)), BOUND)


def compile_error(subject: Subject) -> None:
    """The chip's compiler does not take the code of a kernel: the host runs it, and the result is the same."""
    if subject.backend == CPU:
        return
    kind: Any = type(find_backend(subject.target))
    original: Callable[..., Any] = kind.emit
    planted: list[str] = []

    def emit(self: Any, module: ModuleOp, what: str) -> Any:
        if not planted:
            own = [op for op in module.body.ops if isinstance(op, Kernel) and not op.on_host]
            planted.extend(kernel.sym_name.data for kernel in own[:1])
            raise RefusedKernels(dict.fromkeys(planted, "planted: its compiler fails"))
        return original(self, module, what)

    log = logging.getLogger(refuse.__module__)
    with patch.object(kind, "emit", emit), patch.object(log, "disabled", True):
        engine = subject.engine(model())
    if [k.name for k in engine.kernels if k.on == HOST and k.name in planted] != planted:
        raise Wrong(f"the kernel {planted[0]} cannot be compiled, and does not run on the host")
    for rows in (3, 0):
        agree(expected(inputs(rows)), engine.run(inputs(rows)), BOUND)


def on_file(path: str) -> Check:
    """A model from a file, on inputs that are drawn, against the CPU."""

    def run(subject: Subject) -> None:
        plain, engine = compile(path, target=CPU), subject.engine(path)
        given = example_inputs(plain).arrays
        for name, right in plain.run(given).items():
            found = engine.run(given)[name]
            scale = float(np.abs(right[np.isfinite(right)].astype(np.float64)).max(initial=1e-30))
            if found.shape != right.shape or not np.allclose(
                found, right, rtol=1e-3, atol=1e-3 * scale, equal_nan=True
            ):
                raise Wrong(f"output {name} is not what the CPU computes")

    return Check("L4", f"model {Path(path).name}", run)


CHECKS = [
    Check("L4", "sizes that change", sizes_that_change),
    Check("L4", "arrays that are bound", bound_arrays),
    Check("L4", "an engine from a file", saved),
    Check("L4", "many threads", threads),
    *(Check("L4", f"branches and loops {seed}", partial(control_flow, seed=seed)) for seed in range(6)),
    Check("L4", "memory runs out", partial(failing, method="alloc")),
    Check("L4", "a launch fails", partial(failing, method="launch")),
    Check("L4", "a copy fails", partial(failing, method="copy")),
    Check("L4", "the device is lost", lost),
    Check("L4", "kernels that are refused run on the host", refused),
    Check("L4", "a kernel that cannot be compiled runs on the host", compile_error),
]
