"""Random schedules of random kernels: what is accepted keeps the meaning, and goes round through text.

Kernels compute with small whole numbers, so results are equal to the bit, whatever the order."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.parser import Parser

from ircc.dialects import context
from ircc.dialects.loop.evaluate import evaluate_program
from ircc.ir.target import PRESETS
from ircc.ir.verify import verify
from ircc.passes.apply_schedules import ApplySchedules
from ircc.passes.select_schedules import SelectSchedules
from ircc.schedules.analysis import is_parallel
from ircc.schedules.nest import nest_of
from ircc.schedules.script import Schedule
from ircc.schedules.strategy import Case, strategies
from ircc.testing.loop_programs import INSTRUCTIONS, Drawn, declare, evaluated, nests, random_schedule

SHARE = settings().max_examples  # 200 in CI, 30 at a desk


@settings(max_examples=4 * SHARE)
@given(nests(), st.randoms(use_true_random=False), st.integers(3, 12))
def test_what_is_accepted_keeps_the_meaning(drawn: Drawn, rng: random.Random, lines: int) -> None:
    inputs = drawn.inputs(0)
    expected = evaluated(drawn, inputs)
    scheduled, taken, _ = random_schedule(rng, drawn, lines)
    scheduled.kernel.verify()
    np.testing.assert_array_equal(evaluated(scheduled, inputs), expected, "\n".join(taken))


@given(nests(), st.randoms(use_true_random=False), st.integers(3, 12))
def test_what_instructions_do_later_is_waited_for(drawn: Drawn, rng: random.Random, lines: int) -> None:
    """Whether what is started happens at once, or when it is waited for."""
    declare(drawn.module)
    inputs = drawn.inputs(0)
    expected = evaluated(drawn, inputs)
    begin = ["stage in0 at i0 in stack as n0", f"replace n0.{rng.choice(('i1', 'k0'))} by {rng.choice(INSTRUCTIONS)}"]
    scheduled, taken, _ = random_schedule(rng, drawn, lines, [*begin, "double i0 n0"])
    scheduled.kernel.verify()
    for late in (False, True):
        np.testing.assert_array_equal(evaluated(scheduled, inputs, late=late), expected, "\n".join(taken))


@given(nests(), st.randoms(use_true_random=False), st.integers(3, 10))
def test_text_goes_round(drawn: Drawn, rng: random.Random, lines: int) -> None:
    scheduled, taken, _ = random_schedule(rng, drawn, lines)
    text = str(scheduled.module)
    again = Parser(context(), text).parse_module()
    assert str(again) == text
    assert scheduled.module.is_structurally_equivalent(again)
    schedule = Schedule.parse("\n".join(taken))
    assert Schedule.parse(str(schedule)) == schedule


@given(nests())
def test_declared_kinds_are_derived_kinds(drawn: Drawn) -> None:
    """Iterations of a loop that is called a reduction meet in what they write, if there are several."""
    for loop in drawn.kernel.loops():
        if loop.kind.data == "reduction" and loop.trip not in (0, 1):
            assert not is_parallel(loop)


@pytest.mark.parametrize("name", PRESETS)
@settings(max_examples=SHARE // 2)
@given(drawn=nests())
def test_chosen_schedules_keep_the_meaning(name: str, drawn: Drawn) -> None:
    inputs = drawn.inputs(1)
    expected = evaluate_program(drawn.module, inputs)
    module = drawn.module.clone()
    PRESETS[name].attach(module)
    assert SelectSchedules().run(module)
    assert ApplySchedules().run(module)
    verify(module)
    found = evaluate_program(module, inputs)
    for key, value in expected.items():
        np.testing.assert_array_equal(found[key], value)


@given(nests(), st.sampled_from(sorted(PRESETS)))
def test_no_schedule_that_a_strategy_chooses_is_refused(drawn: Drawn, name: str) -> None:
    nest = nest_of(drawn.kernel)
    assert nest is not None
    for strategy in strategies():
        text = strategy.schedule(Case(nest, PRESETS[name]))
        if text is not None:
            kernel = drawn.kernel.clone()
            Schedule.parse(text).apply(kernel)
            kernel.verify()
