"""The family of errors: what their text says, and that they survive a trip between processes."""

import pickle

import pytest

import ircc
from ircc.errors import EngineError, Error, InputError, Issue, ModelError, UnsupportedError


def test_text_names_the_place_and_the_remedy() -> None:
    error = ModelError("kernel_shape has 3 values, 2 are expected", node="Conv_0", operator="Conv", hint="export again")
    assert str(error) == "node 'Conv_0' (Conv): kernel_shape has 3 values, 2 are expected\n  hint: export again"
    assert str(Error("plain")) == "plain"


def test_a_rule_raises_and_its_caller_places() -> None:
    assert str(Error("wrong").at("Conv_0", "Conv")) == "node 'Conv_0' (Conv): wrong"
    assert str(Error("wrong", node="Conv_0").at("Relu_1", "Relu")).startswith("node 'Conv_0'")


def test_unsupported_lists_every_issue() -> None:
    issues = [Issue("a", "Foo", 13, "no rule"), Issue("b", "com.acme.Bar", 1, "no such domain")]
    error = UnsupportedError(issues=issues)
    assert str(error).splitlines() == [
        "2 nodes of this model cannot be compiled",
        "  node 'a' (Foo), opset 13: no rule",
        "  node 'b' (com.acme.Bar), opset 1: no such domain",
    ]
    assert error.exit_status != Error.exit_status


@pytest.mark.parametrize(
    "error",
    [
        InputError("input x: rank 3, 2 expected", hint="see engine.inputs"),
        UnsupportedError(issues=[Issue("a", "Foo", 13, "no rule")], node="a"),
        EngineError("truncated", node=None),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_can_be_pickled(error: Error) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error) and str(copy) == str(error) and vars(copy) == vars(error)


def test_all_errors_are_one_family() -> None:
    assert ircc.Error is Error
    assert all(issubclass(cls, Error) for cls in (ModelError, UnsupportedError, InputError, EngineError))


def test_the_public_face_knows_its_names() -> None:
    assert set(ircc.__all__) <= set(dir(ircc))
    misspelt = "compil"
    with pytest.raises(AttributeError, match="no attribute 'compil'"):
        getattr(ircc, misspelt)
