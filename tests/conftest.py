"""What all tests share: how long Hypothesis searches, `--bless` for expected files, where a real model is."""

import importlib.util
import logging
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from xdsl.ir import Operation

os.environ["IRCC_CACHE_SIZE"] = "0"  # tests are of what is compiled now

ROOT = Path(__file__).resolve().parent.parent

# CI draws the same programs every time, so that a red run can be repeated; at a desk a test stays quick, and
# `--hypothesis-profile=deep` is for a night. A test that carries its level's share of programs scales this:
# `@settings(max_examples=4 * settings().max_examples)`; in CI each level gets 2,000 programs and more.
_common = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
settings.register_profile("ci", _common, max_examples=200, derandomize=True, print_blob=True)
settings.register_profile("desk", _common, max_examples=30)
settings.register_profile("deep", _common, max_examples=20_000)
settings.load_profile("ci" if os.environ.get("CI") else "desk")

# A failing program is shown as its text. Hypothesis would walk its fields, which lead everywhere and never end.
Operation._repr_pretty_ = lambda self, printer, cycle: printer.text(f"\n{self}\n")  # type: ignore[attr-defined]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--bless", action="store_true", help="rewrite the expected output of golden tests")


@pytest.fixture(scope="session")
def bless(request: pytest.FixtureRequest) -> bool:
    """True when this run rewrites expected files instead of comparing with them."""
    return bool(request.config.getoption("--bless"))


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository, which is also the package `ircc`."""
    return ROOT


@pytest.fixture(scope="session")
def magika_model() -> Path:
    """A small real model: bytes in, scores of 214 file types out; shipped by the package magika."""
    spec = importlib.util.find_spec("magika")
    if spec is None or spec.origin is None:
        pytest.fail("package magika is missing: `make test` installs it (pip install --no-deps magika)")
    return Path(spec.origin).parent / "models/standard_v3_3/model.onnx"


@pytest.fixture(autouse=True)
def own_numbers(request: pytest.FixtureRequest) -> None:
    """What a test draws from its module's `RNG` depends on its name alone, not on which tests ran before it."""
    shared = getattr(request.module, "RNG", None)
    if shared is not None:
        shared.bit_generator.state = np.random.default_rng(zlib.crc32(request.node.name.encode())).bit_generator.state


@pytest.fixture(autouse=True)
def schedules_are_taken() -> Iterator[None]:
    """Whatever a test compiles: no primitive refuses what one of our strategies proposes."""
    refused: list[str] = []

    class Refusals(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            refused.append(record.getMessage())

    logger, handler = logging.getLogger("ircc.passes.apply_schedules"), Refusals()
    logger.addHandler(handler)
    yield
    logger.removeHandler(handler)
    assert not refused
