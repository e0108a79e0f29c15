"""ONNX's own cases through ONNX's own Backend API: what once ran as compiled code, runs.

`onnx_native.txt` beside this file names the cases that pass with every node compiled, `onnx_python.txt` those with
nodes that run in Python because they have no native meaning. A run takes a sample, always the same; IRCC_FULL=1 takes
all. After an operator has learned something, `python tests/acceptance/test_onnx_suite.py`
runs the whole suite (half an hour) and writes the lists anew; `git diff` then shows what came and what went.
"""

from __future__ import annotations

import os
import random
import re
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, numpy_helper
from onnx.backend.test.loader import load_model_tests

import ircc

SAMPLE = 50  # cases of each list
LISTS = {
    "fixed": Path(__file__).with_name("onnx_native.txt"),
    "dynamic": Path(__file__).with_name("onnx_native_dynamic.txt"),
    "python": Path(__file__).with_name("onnx_python.txt"),
}
KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator")


@dataclass(frozen=True)
class Case:
    """A model, inputs and outputs, and how near they have to be."""

    name: str
    model: ModelProto
    data_sets: Sequence[tuple[list[Any], list[Any]]]
    rtol: float
    atol: float


@cache
def suite() -> dict[str, Case]:
    """Every case whose data is in the package onnx, by name. Takes ten seconds: onnx draws the data."""
    found: dict[str, Case] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for kind in KINDS:
            for test in load_model_tests(kind=kind):
                if test.model is not None and test.data_sets is not None:
                    model, data = test.model, [(arrays(given), arrays(wanted)) for given, wanted in test.data_sets]
                elif test.model_dir is not None:
                    model, data = stored(Path(test.model_dir))
                else:
                    continue  # to be fetched from elsewhere
                found[test.name] = Case(test.name, model, data, test.rtol, test.atol)
    return found


def arrays(values: Any) -> list[Any]:
    """Arrays, lists of them, None: cases hold TensorProtos and NumPy's scalars too."""

    def plain(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        if isinstance(value, onnx.TensorProto):
            return numpy_helper.to_array(value)
        return value if value is None else np.asarray(value)

    return [plain(value) for value in values]


def stored(folder: Path) -> tuple[ModelProto, list[tuple[list[Any], list[Any]]]]:
    """A model in a folder with files of inputs and outputs beside it."""
    model = onnx.load(folder / "model.onnx")

    def values(data: Path, prefix: str, infos: Any) -> list[Any]:
        paths = [data / f"{prefix}_{i}.pb" for i in range(len(list(data.glob(f"{prefix}_*.pb"))))]
        return [stored_value(path, infos[i].type.WhichOneof("value")) for i, path in enumerate(paths)]

    sets = sorted(folder.glob("test_data_set*"))
    return model, [(values(d, "input", model.graph.input), values(d, "output", model.graph.output)) for d in sets]


def stored_value(path: Path, kind: str | None) -> Any:
    data = path.read_bytes()
    if kind == "sequence_type":
        return numpy_helper.to_list(onnx.SequenceProto.FromString(data))
    if kind == "optional_type":
        return numpy_helper.to_optional(onnx.OptionalProto.FromString(data))
    return numpy_helper.to_array(onnx.TensorProto.FromString(data))


def free_inputs(model: ModelProto) -> list[onnx.ValueInfoProto]:
    constants = {tensor.name for tensor in model.graph.initializer}
    return [info for info in model.graph.input if info.name not in constants]


def dynamic(model: ModelProto) -> ModelProto:
    """The model with symbolic sizes, but for vectors after the first input: their length is often a result's rank."""
    model = ModelProto.FromString(model.SerializeToString())
    inputs = free_inputs(model)
    for i, info in enumerate([*inputs, *model.graph.output]):
        dims = info.type.tensor_type.shape.dim
        if len(dims) == 1 and 0 < i < len(inputs):
            continue
        for j, dim in enumerate(dims):
            dim.dim_param = f"d{i}_{j}"
    del model.graph.value_info[:]
    return model


def run(case: Case, variant: str) -> bool:
    """Compile and run. True when all nodes are compiled code; raises when something goes wrong or is wrong."""
    rep = ircc.onnx_backend.prepare(dynamic(case.model) if variant == "dynamic" else case.model, threads=1)
    for inputs, outputs in case.data_sets:
        for found, expected in zip(rep.run(inputs), outputs, strict=True):
            compare(found, expected, case.rtol, case.atol)
    return rep.native


def compare(found: Any, expected: Any, rtol: float, atol: float) -> None:
    """By the rules of onnx's own runner."""
    if expected is None or isinstance(expected, list):
        assert type(found) is type(expected) and len(found or ()) == len(expected or ())
        for a, b in zip(found or (), expected or (), strict=True):
            compare(a, b, rtol, atol)
        return
    if expected.dtype.kind in "OUS":
        assert found.shape == expected.shape and found.tolist() == expected.astype(str).tolist()
        return
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    if expected.dtype.name == "bfloat16":
        found, expected, rtol = found.astype(np.float32), expected.astype(np.float32), max(rtol, 2**-6)
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol)


def listed(variant: str) -> list[str]:
    return LISTS[variant].read_text().split()


def chosen() -> list[tuple[str, str]]:
    """Case and variant: the sample of this run."""
    found: list[tuple[str, str]] = []
    for variant in LISTS:
        names = listed(variant)
        if not os.environ.get("IRCC_FULL"):
            names = sorted(random.Random(variant).sample(names, min(SAMPLE, len(names))))
        found += [(name, variant) for name in names]
    return found


@pytest.mark.parametrize(("name", "variant"), chosen())
def test_runs_as_compiled_code(name: str, variant: str) -> None:
    native = run(suite()[name], variant)
    assert native != (variant == "python"), f"{'every' if native else 'not every'} node runs as compiled code"


@pytest.mark.parametrize(("variant", "least"), [("fixed", 1200), ("dynamic", 1200), ("python", 40)])
def test_the_lists(variant: str, least: int) -> None:
    names = listed(variant)
    assert names == sorted(set(names)) and len(names) >= least
    assert not [name for name in names if not re.fullmatch(r"test_\w+", name)]


def write_list(variant: str) -> None:
    """Run the whole suite and write what passes."""
    passed: list[str] = []
    cases = suite()
    for i, (name, case) in enumerate(cases.items()):
        try:
            if run(case, variant) != (variant == "python"):
                passed.append(name)
        except Exception as error:
            sys.stderr.write(f"{variant} {i}/{len(cases)} {name}: {str(error)[:100]!r}\n")
    LISTS[variant].write_text("".join(f"{name}\n" for name in sorted(passed)))


if __name__ == "__main__":
    for each in LISTS:
        write_list(each)
