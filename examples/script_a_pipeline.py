"""Stop on the way down, look, change something, go on: every level is text, and the text is all there is."""

import re

import numpy as np
import onnx

import ircc

MODEL = """
<ir_version: 9, opset_import: ["": 20]>
layer (float[48, 64] x, float[64, 96] w, float[96] b) => (float[48, 96] y)
{
    [product] p = MatMul (x, w)
    [bias] s = Add (p, b)
    [clip] y = Relu (s)
}
"""


def main() -> None:
    model = onnx.parser.parse_model(MODEL)
    random = np.random.default_rng(0)
    inputs = {n: random.standard_normal(s, np.float32) for n, s in (("x", (48, 64)), ("w", (64, 96)), ("b", 96))}
    expected = ircc.compile(model).run(inputs)["y"]

    # 1. Print a level, read it again, go on from there: the same bits.
    for stage in "graph-ir", "tensor-ir", "loop-ir":
        text = ircc.emit(model, stage)
        assert isinstance(text, str)
        again = ircc.compile(text.encode()).run(inputs)["y"]
        assert np.array_equal(again, expected)
        print(f"{stage}: {len(text.splitlines())} lines, the same bits")

    # 2. Passes one by one: a module is changed in place, each pass says whether it did anything.
    module = ircc.lower(model, to="graph-ir")
    for step in ircc.Pipeline.parse("graph-to-tensor,canonicalize,fuse-elementwise,fuse-epilogues,eliminate-dead-code"):
        print(f"{step.name}: {'changed' if step.run(module) else 'nothing to do'}")

    # 3. Stop where schedules are chosen and not yet applied, take another tile of the result, go on.
    text = ircc.emit(module, "loop-ir", passes="tensor-to-loop,select-schedules")
    assert isinstance(text, str)
    edited, count = re.subn(r'"split i0 \d+ -> i0 i0t"', '"split i0 2 -> i0 i0t"', text)
    assert count == 1
    again = ircc.compile(edited.encode()).run(inputs)["y"]
    assert np.array_equal(again, expected)
    print("two rows at a time: the same bits")

    # 4. A line that could change the result is refused. Without `strategy` the schedule is ours, so that is an error.
    wrong = text.replace('strategy "contraction" ', "").replace('"parallel i1"', '"parallel k0"')
    try:
        ircc.compile(wrong.encode())
    except ircc.Error as error:
        print(f"refused: {error}")


if __name__ == "__main__":
    main()
