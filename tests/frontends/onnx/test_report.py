"""One report for everything that cannot be compiled."""

import json

import onnx.parser
import pytest

from ircc.errors import UnsupportedError
from ircc.frontends.onnx import check_model, import_model

MODEL = """<ir_version: 8, opset_import: ["" : 18, "com.example" : 1]>
main (float[N] x, string[2] s) => (float[N] y, float[N] z, string[2] u, float[N] w) {
    a = Relu(x)
    b = com.example.Magic(a)
    y = Exp(b)
    c = NonZero(x)
    d = com.example.Other(b)
    z = Add(y, d)
    u = StringNormalizer(s)
    w = HardSwish(x)
}"""


def test_an_old_opset_is_read_where_nothing_changed() -> None:
    text = '<ir_version: 3, opset_import: ["" : %d]> m (bool[2] x, float[2] a) => (bool[2] y, float[2] b) { %s }'
    same = onnx.parser.parse_model(text % (1, "y = Not(x) b = Identity(a)"))
    assert import_model(same)
    changed = onnx.parser.parse_model(text % (1, "y = Not(x) b = Relu(a)"))
    with pytest.raises(UnsupportedError, match=r"(?s)Relu\), opset 1: it has another meaning.*convert_version"):
        import_model(changed)


def test_every_obstacle_is_listed() -> None:
    report = check_model(onnx.parser.parse_model(MODEL))
    assert not report.ok
    found = {issue.operator for issue in report.issues}
    assert {"com.example.Magic", "com.example.Other"} <= found
    assert {issue.operator for issue in report.python} == {"StringNormalizer"}
    assert "NonZero" not in found  # nobody uses it
    assert report.supported == {"Relu": 1, "HardSwish": 1}
    assert all(issue.node and issue.reason for issue in report.issues)


def test_the_error_carries_the_same_list() -> None:
    model = onnx.parser.parse_model(MODEL)
    with pytest.raises(UnsupportedError) as caught:
        import_model(model)
    assert list(caught.value.issues) == check_model(model).issues
    assert "com.example.Magic" in str(caught.value)


def test_a_report_is_a_table_and_json() -> None:
    report = check_model(onnx.parser.parse_model(MODEL))
    assert all(len(row) == len(report.HEADER) for row in report.rows())
    assert json.loads(json.dumps(report.to_dict()))["ok"] is False


def test_function_bodies_are_expanded_where_there_is_no_rule() -> None:
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 18, "local" : 1]>
        main (float[N, 3] x) => (float[N, 2] y) <int64[1] size = {2}> {
            t = local.twice<by = 3.0>(x)
            y = CenterCropPad<axes = [1]>(t, size)
        }
        <domain: "local", opset_import: ["" : 18]>
        twice <by> (a) => (c) { k = Constant<value_float: float = @by>()  b = Mul(a, k)  c = Add(b, b) }""")
    report = check_model(model)
    assert report.ok and report.expanded == {"local.twice": 1, "CenterCropPad": 1}


def test_what_data_decides_is_said_so() -> None:
    """Numbers of a shape may be data; how many there are is the rank, which may not."""
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 18]>
        main (float[N] x, int64[R] s) => (float[M] y) { y = Reshape(x, s) }""")
    (issue,) = check_model(model).issues
    assert "its length is not known" in issue.reason and issue.hint


def test_a_broken_model_is_an_issue() -> None:
    assert not check_model(b"no model").ok


def test_what_follows_an_obstacle_is_looked_at_too() -> None:
    """The second node has a rule, which refuses it; it is found although its input cannot be computed."""
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 20]>
        main (float[N, 4] x, int64[K] k) => (float[N, 4] y, int64[N, 4] i) {
            t = Gelu<approximate = "no such">(x)
            u = MeanVarianceNormalization<axes = [0]>(t)
            y, i = TopK(u, k)
        }""")
    assert {i.operator for i in check_model(model).issues} == {"Gelu", "TopK"}
