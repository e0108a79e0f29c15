"""ONNX's own cases: every model imports or is refused properly, and what is imported means what ONNX says."""

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, numpy_helper
from onnx.backend.test.loader import load_model_tests

from ircc.errors import UnsupportedError
from ircc.frontends.onnx import import_model
from ircc.ir.evaluator import evaluate, main_function, names_of

LEAST = {"fixed": 1270, "symbolic": 1230}  # models that are imported, of about 2,000
# whose numbers are drawn by NumPy's generator, whose zeros are float32 noise, whose results are sequences
OTHERWISE = re.compile(
    r"test_(bernoulli\w*|training_dropout(_default)?(_mask)?|dft_inverse(_opset19)?|if_seq|split_to_sequence_nokeepdims)"
)
# softmax in float16: ONNX rounds what lies between to float16, ircc keeps float32
ROUNDED = {"test_attention_4d_causal_fp16", "test_attention_4d_causal_fp16_expanded"}


def array(value: Any) -> Any:
    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else value


def stored(folder: Path) -> Iterator[tuple[list[Any], list[Any]]]:
    """The data sets beside a model file."""

    def read(data: Path, prefix: str) -> list[Any]:
        paths = [data / f"{prefix}_{i}.pb" for i in range(len(list(data.glob(f"{prefix}_*.pb"))))]
        return [array(TensorProto.FromString(path.read_bytes())) for path in paths]

    for data in sorted(folder.glob("test_data_set*")):
        yield read(data, "input"), read(data, "output")


@pytest.fixture(scope="module")
def cases() -> list[tuple[str, ModelProto, list[Any], float, float]]:
    """Name, model, data sets and tolerances."""
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for kind in ("node", "simple", "pytorch-converted", "pytorch-operator"):
            for case in load_model_tests(kind=kind):
                if case.model_dir is not None:
                    folder = Path(case.model_dir)
                    model, sets = onnx.load(folder / "model.onnx"), list(stored(folder))
                else:
                    model = case.model
                    sets = [([array(v) for v in i], [array(v) for v in o]) for i, o in case.data_sets or ()]
                found.append((case.name, model, sets, case.rtol, case.atol))
    return found


def symbolic(model: ModelProto) -> ModelProto:
    """The model without declared sizes, but for vectors after the first input: those are often axes or shapes."""
    model = ModelProto.FromString(model.SerializeToString())
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [info for info in model.graph.input if info.name not in constants]
    for i, info in enumerate([*inputs, *model.graph.output]):
        dims = info.type.tensor_type.shape.dim
        for j, dim in enumerate(dims) if len(dims) != 1 or i == 0 or i >= len(inputs) else ():
            dim.dim_param = f"d{i}_{j}"
    del model.graph.value_info[:]
    return model


def same(found: Any, expected: Any, rtol: float, atol: float) -> bool:
    found, expected = np.asarray(found), np.asarray(expected)
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return False
    if found.dtype.kind not in "fiub":  # bfloat16 is exact in float32
        found, expected, rtol = found.astype(np.float32), expected.astype(np.float32), max(rtol, 2**-6)
    return np.allclose(found, expected, rtol, atol, equal_nan=True)


@pytest.mark.parametrize("variant", ["fixed", "symbolic"])
def test_every_case(variant: str, cases: list[Any]) -> None:
    imported, wrong = 0, []
    for name, model, sets, rtol, atol in cases:
        try:
            module = import_model(symbolic(model) if variant == "symbolic" else model)
        except UnsupportedError:
            continue
        imported += 1
        main = main_function(module)
        names = names_of(main.arg_attrs, len(main.body.block.args), "")
        for inputs, outputs in sets:
            with np.errstate(all="ignore"):
                found = list(evaluate(module, dict(zip(names, inputs, strict=True))).values())
            pairs = zip(found, outputs, strict=True)
            skipped = name in ROUNDED or OTHERWISE.fullmatch(name)
            if not skipped and not all(same(a, b, rtol, atol) for a, b in pairs):
                wrong.append(name)
    assert not wrong, " ".join(wrong)
    assert imported >= LEAST[variant], f"{imported} of {len(cases)} models are imported"
