"""Fewer collections while something compiles."""

import gc

import pytest

from ircc.ir.collector import OBJECTS, collecting_seldom


def test_the_threshold_is_as_before_after_the_last_block():
    before = gc.get_threshold()
    with collecting_seldom():
        with collecting_seldom():
            assert gc.get_threshold()[0] == OBJECTS
        assert gc.get_threshold()[0] == OBJECTS
    assert gc.get_threshold() == before


def test_an_error_leaves_it_as_before():
    before = gc.get_threshold()
    with pytest.raises(KeyError), collecting_seldom():
        raise KeyError
    assert gc.get_threshold() == before


@pytest.mark.parametrize("own", [0, OBJECTS * 2])
def test_who_wants_even_fewer_keeps_them(own: int):
    before = gc.get_threshold()
    gc.set_threshold(own, *before[1:])
    try:
        with collecting_seldom():
            assert gc.get_threshold()[0] == own
        assert gc.get_threshold()[0] == own
    finally:
        gc.set_threshold(*before)
