"""Operations of control flow: text that goes round, what they compute, and each constraint violated."""

from __future__ import annotations

import re

import numpy as np
import pytest
from xdsl.dialects.builtin import ModuleOp
from xdsl.parser import Parser
from xdsl.utils.exceptions import VerifyException

from ircc.dialects import context
from ircc.frontends.text import read_text, write_text
from ircc.ir.evaluator import evaluate

V, X, C = "!graph.tensor<[4], f32>", "!graph.tensor<[N, 4], f32>", "!graph.tensor<[], i1>"
TEXT = f"""builtin.module {{
func.func @main(%x: {X} {{ircc.name = "x"}}, %h: {V} {{ircc.name = "h"}}, %c: {C} {{ircc.name = "c"}})
    -> ({V}, {X}, !graph.tensor<[m], f32>, !graph.tensor<[n, 4], f32>) {{
  %s, %o = control.loop @sum "$i" to N states (%h) scanned (reversed %x) : {V}, reversed {X}
  %z = control.if %c then @first(%s) else @all(%x) sizes ["m"] : !graph.tensor<[m], f32>
  %t, %w = control.loop @until "$j" to 9 while %c counts "n" states (%s) captured (%h) : {V}, !graph.tensor<[n, 4], f32>
  func.return %s, %o, %z, %w : {V}, {X}, !graph.tensor<[m], f32>, !graph.tensor<[n, 4], f32>
}}
func.func private @sum(%h: {V}, %x: {V}) -> ({V}, {V}) {{
  %y = graph.add %h, %x : ({V}, {V}) -> {V}
  func.return %y, %y : {V}, {V}
}}
func.func private @first(%h: {V}) -> {V} {{
  func.return %h : {V}
}}
func.func private @all(%x: {X}) -> !graph.tensor<[4 * N], f32> {{
  %y = graph.reshape %x <shape = [4 * N]> : ({X}) -> !graph.tensor<[4 * N], f32>
  func.return %y : !graph.tensor<[4 * N], f32>
}}
func.func private @until(%s: {V}, %w: {V}) -> ({C}, {V}, {V}) {{
  %y = graph.add %s, %w : ({V}, {V}) -> {V}
  %i = graph.sizes <values = ["$j"], shape = []> : () -> !graph.tensor<[], i64>
  %k = graph.constant #ir.weight<[2]> : !graph.tensor<[], i64>
  %g = graph.less %i, %k : (!graph.tensor<[], i64>, !graph.tensor<[], i64>) -> {C}
  func.return %g, %y, %y : {C}, {V}, {V}
}}
}}"""


GROWS = """builtin.module {
func.func @main(%x: !graph.tensor<[N, 4], f32> {ircc.name = "x"}) -> (!graph.tensor<[N + 3, 4], f32>) {
  %s = control.loop @body "i" to 3 states (%x) : !graph.tensor<[N + 3, 4], f32>
  func.return %s : !graph.tensor<[N + 3, 4], f32>
}
func.func private @body(%s: !graph.tensor<[N + i, 4], f32>) -> !graph.tensor<[N + i + 1, 4], f32> {
  %a = graph.constant #ir.weight<[1.0, 2.0, 3.0, 4.0]> : !graph.tensor<[1, 4], f32>
  %y = graph.concat %s, %a <axis = 0>
    : (!graph.tensor<[N + i, 4], f32>, !graph.tensor<[1, 4], f32>) -> !graph.tensor<[N + i + 1, 4], f32>
  func.return %y : !graph.tensor<[N + i + 1, 4], f32>
}
}"""


UNBOUNDED = f"""builtin.module {{
func.func @main(%c: {C} {{ircc.name = "c"}}) -> !graph.tensor<[n], f32> {{
  %x = graph.constant #ir.weight<[]> : !graph.tensor<[0], f32>
  %s = control.loop @body "i" while %c counts "n" states (%x) captured (%c) : !graph.tensor<[n], f32>
  func.return %s : !graph.tensor<[n], f32>
}}
func.func private @body(%s: !graph.tensor<[i], f32>, %c: {C}) -> ({C}, !graph.tensor<[i + 1], f32>) {{
  %a = graph.constant #ir.weight<[1.0]> : !graph.tensor<[1], f32>
  %y = graph.concat %s, %a <axis = 0>
    : (!graph.tensor<[i], f32>, !graph.tensor<[1], f32>) -> !graph.tensor<[i + 1], f32>
  func.return %c, %y : {C}, !graph.tensor<[i + 1], f32>
}}
}}"""


def parsed(text: str) -> ModuleOp:
    return Parser(context(), text).parse_module()


def test_text_goes_round() -> None:
    text = write_text(read_text(TEXT))
    assert write_text(read_text(text)) == text
    for part in ("to N states (%h) scanned (reversed %x)", 'while %c counts "n"', 'sizes ["m"]', f"reversed {X}"):
        assert part in text


@pytest.mark.parametrize("rows", [0, 1, 3])
@pytest.mark.parametrize("taken", [True, False])
def test_what_they_compute(rows: int, taken: bool) -> None:
    x, h = np.arange(4 * rows, dtype=np.float32).reshape(rows, 4), np.ones(4, np.float32)
    total, sums, branch, steps = evaluate(read_text(TEXT), {"x": x, "h": h, "c": np.array(taken)}).values()
    np.testing.assert_array_equal(total, h + x.sum(0))
    np.testing.assert_array_equal(sums, h + x[::-1].cumsum(0)[::-1])
    np.testing.assert_array_equal(branch, total if taken else x.reshape(-1))
    expected = [total + (k + 1) * h for k in range(3 if taken else 0)]
    np.testing.assert_array_equal(steps, np.array(expected, np.float32).reshape(-1, 4))


@pytest.mark.parametrize("rows", [0, 2])
def test_a_state_that_grows(rows: int) -> None:
    x = np.ones((rows, 4), np.float32)
    (found,) = evaluate(read_text(GROWS), {"x": x}).values()
    np.testing.assert_array_equal(found, [*x, *[[1, 2, 3, 4]] * 3])


def swapped(old: str, new: str) -> str:
    assert old in TEXT
    return TEXT.replace(old, new)


VIOLATIONS = {
    "control.if C1": swapped("control.if %c", "control.if %h"),
    "control.if C2": swapped("then @first(%s)", "then @first(%x)"),
    "control.if C2 results": swapped("then @first(%s)", "then @until(%s, %s)"),
    "control.if C3": swapped('sizes ["m"]', 'sizes ["m", "k"]'),
    "control.loop C1": swapped("while %c", "while %h"),
    "control.loop C2": swapped('to 9 while %c counts "n"', ""),
    "control.loop C3": swapped("captured (%h)", "captured (%h, %h)"),
    "control.loop C3 results": swapped("func.return %g, %y, %y", "func.return %g, %y, %g").replace(
        f"({C}, {V}, {V})", f"({C}, {V}, {C})").replace(f": {C}, {V}, {V}\n", f": {C}, {V}, {C}\n"),
    "control.loop C3 growth": GROWS.replace('"i" to 3', '"i" to 4'),
    "control.loop C3 start": GROWS.replace("main(%x: !graph.tensor<[N, 4]", "main(%x: !graph.tensor<[2 * N, 4]"),
    "control.loop C7": UNBOUNDED,
    "control.loop C4": swapped('"$i" to N', '"$i" to 5'),
    "control.loop C5": swapped('while %c counts "n"', "while %c"),
    "control.loop C6": swapped(f": {V}, !graph.tensor<[n, 4], f32>\n", f": {V}, reversed !graph.tensor<[n, 4], f32>\n"),
}  # fmt: skip


@pytest.mark.parametrize("case", VIOLATIONS)
def test_each_constraint_is_violated(case: str) -> None:
    constraint = re.findall(r"C\d", case)[0]
    with pytest.raises(VerifyException, match=constraint):
        parsed(VIOLATIONS[case]).verify()


def test_a_body_that_is_not_there() -> None:
    with pytest.raises(VerifyException, match="no function @other"):
        parsed(swapped("control.loop @sum", "control.loop @other")).verify()
