"""A pass of one's own, without touching ircc: it moves a Relu behind a MaxPool, where it has less to do."""

from dataclasses import dataclass

import numpy as np
import onnx
from xdsl.dialects.builtin import ModuleOp

import ircc
from ircc.dialects.graph.pooling import MaxPool
from ircc.dialects.graph.unary import Relu
from ircc.ir.instruments import PrintAfter, VerifyEach
from ircc.ir.nodes import nodes_of
from ircc.ir.passes import Pass

MODEL = """
<ir_version: 9, opset_import: ["": 20]>
pooled (float[N, 4, 32, 32] x) => (float[N, 4, 16, 16] y)
{
    [clip] positive = Relu (x)
    [pool] y = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (positive)
}
"""


# max_pool(relu(x)) → relu(max_pool(x)): both keep the order of numbers. Not where the pool also tells positions.
@dataclass(frozen=True)
class ReluAfterPool(Pass):
    """Clip what a max pool has chosen instead of all that it chooses from."""

    name = "relu-after-pool"

    def run(self, module: ModuleOp) -> bool:
        changed = False
        for pool in [op for op in module.walk() if isinstance(op, MaxPool)]:
            relu = pool.x.owner
            if isinstance(relu, Relu) and len(pool.outputs) == 1 and pool.parent is not None:
                (result,) = pool.outputs
                after = Relu.make(result, nodes=nodes_of(relu))
                result.replace_all_uses_with(after.result)
                after.operands = [result]
                pool.operands = [relu.x]
                pool.parent.insert_op_after(after, pool)
                changed = True
        return changed


def main() -> None:
    model = onnx.parser.parse_model(MODEL)
    own = ircc.Pipeline.of(ReluAfterPool(), "eliminate-dead-code")
    graph = ircc.lower(model, to="graph-ir")
    own.run(graph, instruments=[VerifyEach(), PrintAfter(["relu-after-pool"])])

    x = np.random.default_rng(0).standard_normal((2, 4, 32, 32), np.float32)
    before = ircc.compile(model, threads=1).run({"x": x})["y"]
    after = ircc.compile(graph, threads=1).run({"x": x})["y"]
    assert np.array_equal(before, after)
    print(f"{own}: the same bits")


if __name__ == "__main__":
    main()
