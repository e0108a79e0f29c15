"""Targets as data: attributes of modules, and what the numbers say."""

from itertools import pairwise

import pytest
from xdsl.dialects.builtin import DictionaryAttr, IntegerAttr, ModuleOp, StringAttr, bf16, f32, f64, i1, i8, i64
from xdsl.parser import Parser

from ircc.dialects import context
from ircc.errors import IRError
from ircc.ir.target import ATTRIBUTE, PRESETS, Target


@pytest.mark.parametrize("name", PRESETS)
def test_a_target_stands_in_the_text(name: str) -> None:
    module = ModuleOp([])
    PRESETS[name].attach(module)
    again = Parser(context(), str(module)).parse_module()
    assert Target.of(again) == Target.of(module) == PRESETS[name]
    assert PRESETS[name].name == name


def test_a_module_that_does_not_say_is_for_the_plainest() -> None:
    plainest = Target.of(ModuleOp([]))
    assert plainest == PRESETS["x86-64"] and not plainest.fma and not plainest.masks
    assert plainest.vector_bits == min(t.vector_bits for t in PRESETS.values() if t.triple == plainest.triple)


def test_lanes() -> None:
    wide = PRESETS["x86-64-v4"]
    assert [wide.lanes(e) for e in (f32, f64, bf16, i8, i1, i64)] == [16, 8, 32, 64, 64, 8]
    assert PRESETS["x86-64"].lanes(f64) == 2
    assert {PRESETS["riscv64"].lanes(e) for e in (f32, f64, i8, i1)} == {1}


def test_each_preset_asks_for_more_than_the_last() -> None:
    """Among those of an architecture: what code falls back to, and what an engine tells apart, goes by this order."""
    for triple in {t.triple for t in PRESETS.values()}:
        presets = [t for t in PRESETS.values() if t.triple == triple]
        for less, more in pairwise(presets):
            assert set(less.features.split(",")) < set(more.features.split(","))
            assert less.vector_bits <= more.vector_bits
    for preset in PRESETS.values():
        assert preset.fma == ("+fma" in preset.features or not preset.triple.startswith("x86_64"))


@pytest.mark.parametrize("damage", ["lacks", "more", "none", "typed"])
def test_malformed_descriptions(damage: str) -> None:
    module = ModuleOp([])
    data = dict(PRESETS["x86-64"].attribute().data)
    match damage:
        case "lacks":
            del data["l2"]
        case "more":
            data["l4"] = IntegerAttr(1, i64)
        case "typed":
            data["vector_bits"] = StringAttr("many")
        case _:
            data = {}
    module.attributes[ATTRIBUTE] = DictionaryAttr(data)
    with pytest.raises(IRError, match=ATTRIBUTE):
        Target.of(module)


def test_what_is_no_description() -> None:
    module = ModuleOp([])
    module.attributes[ATTRIBUTE] = StringAttr("x86-64")
    with pytest.raises(IRError, match=ATTRIBUTE):
        Target.of(module)
