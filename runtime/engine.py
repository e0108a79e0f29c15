"""A loaded engine: checks inputs, plans per shape, runs the compiled host program in one native call.

`load` opens a file, `Engine(artifact)` takes what the compiler made.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import numpy as np

from ..errors import EngineError, InputError
from . import threads as cores
from .artifact import Artifact, Kernel, Port
from .bound import Bound, places_for
from .device import Device
from .dlpack import as_array, opened_all
from .file import read_engine, write_engine
from .library import choose
from .program import Array, Plan, Program, RunFrame, Shapes
from .sizes import UnknownSymbol, evaluate, symbol_name
from .submissions import Submissions
from .trust import check_signature

if TYPE_CHECKING:
    from concurrent.futures import Future

_MOST_PLANS = 64  # sets of input shapes whose plan is kept


def load(
    path: str | os.PathLike[str],
    threads: int | None = None,
    *,
    verify: Literal["code", "all"] = "code",
    trusted_keys: Iterable[str | os.PathLike[str] | bytes] | None = None,
) -> Engine:
    """The engine of that file, ready to run on `threads` threads (None: all cores the process may use).

    Loading an engine runs its code: load only what you trust. Everything in it but the weights is checked against its
    hash before; `verify="all"` checks these too, which reads them all. With `trusted_keys` (paths of PEM files, or 32
    bytes each) all is checked, and the file has to be signed with one of them.
    Raises EngineError where the file is damaged, not to be trusted, or needs what this machine lacks."""
    if verify not in ("code", "all"):
        raise InputError(f"verify is {verify!r}, expected 'code' or 'all'")
    if isinstance(trusted_keys, str | bytes | os.PathLike):
        raise InputError(f"trusted_keys is {trusted_keys!r}, expected a list of keys", hint="put it into brackets")
    file = read_engine(path, verify=verify == "all" or trusted_keys is not None)
    if trusted_keys is not None:
        check_signature(file.seal, trusted_keys, path)
    return Engine(file.artifacts[choose(file)], threads)


class Engine:
    """A compiled model.

    One engine may run from many threads at once; each run in progress has an arena of its own, kept for the next one.
    Close it (or use `with`) to end its worker threads early: later runs then compute on the calling thread alone.
    After a fork the child's first run starts workers of its own.

    `run` waits for its results, and other Python threads go on meanwhile; `submit` gives a future instead.
    """

    def __init__(self, artifact: Artifact, threads: int | None = None, variants: Sequence[Artifact] = ()) -> None:
        """`variants`: what an engine file is to hold, the best one first, where that is more than `artifact`."""
        if threads is not None and not (type(threads) is int and 1 <= threads <= 4096):
            raise InputError(f"threads is {threads!r}, expected 1 or more, or None: all cores the process may use")
        self.artifact = artifact
        self.variants = tuple(variants) or (artifact,)
        self.threads = threads or cores.available()
        self._program = Program(artifact, self.threads)
        self._plans: dict[Shapes, Plan] = {}
        # Frames that no run uses. A list's append and pop need no lock, so a fork cannot find one held.
        self._frames: list[RunFrame] = []
        self._submissions = Submissions(cores.available() // self.threads or 1)

    @property
    def inputs(self) -> tuple[Port, ...]:
        return self.artifact.inputs

    @property
    def outputs(self) -> tuple[Port, ...]:
        """In the order of the model."""
        return self.artifact.outputs

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """Which ONNX nodes became which kernel, one entry per launch of the program."""
        return self.artifact.kernels

    @property
    def native(self) -> bool:
        """True: all of it is compiled code. (What `compile` makes of a model with strings, say, is not.)"""
        return True

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs by name, in fresh arrays. Raises InputError where an input does not fit, naming it.

        Inputs are NumPy arrays, objects with `__dlpack__` in the host's memory (a torch tensor, say), which are read
        where they are, or what `numpy.asarray` takes. Outputs have `__dlpack__`, those of bfloat16 and float8 too."""
        arrays = self._arrays(inputs)
        plan = self._plan(arrays)
        outputs = plan.outputs()
        try:
            frame = self._frames.pop()
        except IndexError:
            frame = RunFrame(self._program)
        try:
            frame.set(plan, arrays, outputs)
            frame.run(arrays, outputs)
        finally:
            self._frames.append(frame)
        return dict(zip(plan.names, outputs, strict=True))

    def submit(self, inputs: Mapping[str, Any]) -> Future[dict[str, Any]]:
        """`run` in a thread of the engine's own; the future has its outputs, or raises what it raised.

        Runs begin in the order in which they are submitted, as many at once as there are cores for: one where the
        engine's threads take them all, four where it has 2 threads on 8 cores. Leave the arrays as they are until the
        future is done. In asyncio: `await asyncio.wrap_future(engine.submit(inputs))`.
        Raises EngineError where the engine is closed."""
        return self._submissions.submit(self.run, inputs)

    def bind(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any] | None = None) -> Bound:
        """These arrays as inputs of every call of what is returned; a call reads what they hold then.

        `outputs`: arrays for some or all outputs, which every call writes; the others get fresh ones. An output may be
        the very array of an input, such as a cache or a state: it is updated then, and the results are as if the input
        had been read before. Raises InputError where an array does not fit, or overlaps another otherwise."""
        inputs = opened_all(inputs)
        arrays = self._arrays(inputs)
        plan = self._plan(arrays)
        given = {p.name: inputs[p.name] for p in self.inputs}
        late = {self.outputs[i].name for i in self.artifact.late}
        shapes = {name: shape for name, shape in plan.output_shapes.items() if name not in late}
        return Bound(self._program, plan, given, arrays, places_for(self.outputs, outputs, given, shapes))

    @property
    def device(self) -> Device:
        return self._program.device

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the engine file, for `load`."""
        write_engine(self.variants, path)

    def plan(self, inputs: Mapping[str, Array]) -> Plan:
        """What follows from the shapes of these inputs: symbols, sizes of outputs and arena."""
        return self._plan(self._arrays(inputs))

    def close(self) -> None:
        """Ends the threads, when what was submitted is done. Memory goes with the last reference to the engine and its
        bounds."""
        self._submissions.close()
        self.device.stop()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        ports = ", ".join(map(str, self.inputs)), ", ".join(map(str, self.outputs))
        return f"<ircc.Engine ({ports[0]}) -> ({ports[1]}) on {self.artifact.backend}, {self.threads} threads>"

    # ---- inputs

    def _arrays(self, inputs: Mapping[str, Array]) -> list[Array]:
        """The input arrays in order, row-major and aligned; copies only where they are not."""
        ports = self.artifact.inputs
        if type(inputs) is not dict and not isinstance(inputs, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InputError(f"inputs are given as a dict of arrays by name, not as {type(inputs).__name__}")
        if len(inputs) != len(ports):
            self._names_differ(inputs)
        arrays: list[Array] = []
        for port in ports:
            try:
                array = inputs[port.name]
            except KeyError:
                self._names_differ(inputs)
            if type(array) is not np.ndarray:
                array = as_array(array, f"input '{port.name}'")
            if array.dtype != port.dtype:
                raise InputError(
                    f"input '{port.name}' has dtype {array.dtype}, expected {port.dtype}",
                    hint=f"nothing is cast silently: pass array.astype('{port.dtype}') if that is meant",
                )
            if array.ndim != len(port.shape):
                raise InputError(
                    f"input '{port.name}' has {array.ndim} dimensions {list(array.shape)}, "
                    f"expected {len(port.shape)}: [{', '.join(map(str, port.shape))}]"
                )
            flags = array.flags
            if not (flags.carray or (flags.c_contiguous and flags.aligned)):
                try:
                    array = np.array(array, order="C", copy=True)
                except MemoryError:
                    raise EngineError(f"no memory for a row-major copy of input '{port.name}'") from None
            arrays.append(array)
        return arrays

    def _names_differ(self, inputs: Mapping[str, Array]) -> NoReturn:
        names = [p.name for p in self.artifact.inputs]
        missing = [n for n in names if n not in inputs]
        unknown = [str(n) for n in inputs if n not in names]
        told = [f"missing: {', '.join(missing)}"] if missing else []
        told += [f"unknown: {', '.join(unknown)}"] if unknown else []
        raise InputError(
            f"the inputs do not match ({'; '.join(told)})", hint=f"the model's inputs are: {', '.join(names) or 'none'}"
        )

    def _plan(self, arrays: list[Array]) -> Plan:
        shapes = tuple([a.shape for a in arrays])
        plan = self._plans.get(shapes)
        if plan is None:
            self._check_sizes(shapes)
            plan = Plan(self._program, shapes)
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()  # planning is cheap; keeping track of use would cost something on every run
            self._plans[shapes] = plan
        return plan

    def _check_sizes(self, shapes: Shapes) -> None:
        """The declared sizes of the inputs, dimension by dimension; `ircc_plan` checks what lies inside the model."""
        symbols: dict[str, tuple[int, str]] = {}
        ports = self.artifact.inputs
        for port, shape in zip(ports, shapes, strict=True):
            for i, (declared, size) in enumerate(zip(port.shape, shape, strict=True)):
                if isinstance(declared, str) and (name := symbol_name(declared)) is not None:
                    known, where = symbols.setdefault(name, (size, f"dimension {i} of input '{port.name}'"))
                    if known != size:
                        raise InputError(
                            f"input '{port.name}': dimension {i} is {size}, expected {known}: "
                            f"{name} is {known} in {where}"
                        )
        values = {name: value for name, (value, _) in symbols.items()}
        for port, shape in zip(ports, shapes, strict=True):
            for i, (declared, size) in enumerate(zip(port.shape, shape, strict=True)):
                try:
                    expected = evaluate(declared, values) if isinstance(declared, str) else declared
                except UnknownSymbol:
                    continue  # a symbol that no dimension is by itself: left to ircc_plan
                if size != expected:
                    formula = f" = {declared}" if isinstance(declared, str) else ""
                    raise InputError(
                        f"input '{port.name}': dimension {i} is {size}, expected {expected}{formula} "
                        f"(its shape is [{', '.join(map(str, port.shape))}], got {list(shape)})"
                    )
