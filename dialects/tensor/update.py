"""What must happen in order: a tensor that is written step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

from xdsl.dialects.builtin import ArrayAttr, IntAttr
from xdsl.ir import Region, SSAValue
from xdsl.irdl import IRDLOperation, irdl_op_definition, operand_def, prop_def, region_def, result_def, traits_def
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from ...ir.evaluator import Environment
from ...ir.expr import ONE, Expr, ExprLike
from ...ir.indexed import INDEX, Indexed
from ...ir.nodes import set_nodes
from ...ir.operands import direct
from ...ir.syntax import parse_value
from ...ir.types import ExprAttr, TensorType, exprs
from .body import Put, Read
from .domain import Domain, name_indices, parse_dims, print_dims
from .evaluate import evaluate_update


@direct
@irdl_op_definition
class Update(Domain, IRDLOperation):
    """A tensor that starts as another one and is written step by step: running sums, scatters, sorting, counting.

        %y = tensor.update %x as %now [%i : M] in order [%k : N - 1] : !graph.tensor<[M, N], f32> {
          %a = tensor.read %now[%i, %k]
          %b = tensor.read %now[%i, %k + 1]
          %s = arith.addf %a, %b : f32
          tensor.put %s at [%i, %k + 1]
        }

    The dims behind `in order` run in row-major order, the parallel ones before them in any order. The body reads the
    tensor as the steps so far have left it (its last argument), and other tensors; tensor.put writes. An extent that
    is not positive means no step. The operand itself does not change.
    C1: the body has one index argument per extent and then the tensor, and ends with tensor.put. C2: the result has
    the operand's type, and so has the tensor in the body. C3: for each parallel dim (but of extent 1) there is a
    dimension of the tensor where every read and put has that index, or a number of which it is a digit, the same in all
    but for what is below the least factor (`8 * %i + 2 * %j + 1` where %j has 4 values), so that its points touch
    different elements. C4: only reads use the tensor in the body.
    """

    name = "tensor.update"
    init = operand_def(TensorType)
    extents = prop_def(ArrayAttr[ExprAttr])
    parallel = prop_def(IntAttr)
    body = region_def("single_block")
    result = result_def(TensorType)
    traits = traits_def(Pure())

    def __init__(
        self, init: SSAValue, extents: Sequence[ExprLike], parallel: int, body: Region, nodes: Sequence[str] = ()
    ) -> None:
        super().__init__(
            operands=[init],
            properties={"extents": exprs(extents), "parallel": IntAttr(parallel)},
            regions=[body],
            result_types=[init.type],
        )
        set_nodes(self, nodes)
        name_indices(self.body, parallel)
        if len(body.block.args) > len(self.extents):
            self.state.name_hint = "now"

    @property
    def state(self) -> SSAValue:
        """The tensor as it is, in the body."""
        return self.body.block.args[-1]

    @property
    def put(self) -> Put:
        """The body's end."""
        last = self.body.block.last_op
        assert isinstance(last, Put)
        return last

    def verify_(self) -> None:
        args, last = self.body.block.args, self.body.block.last_op
        shape = [*[INDEX] * len(self.extents), self.init.type]
        if [a.type for a in args[:-1]] != shape[:-1] or len(args) != len(shape) or not isinstance(last, Put):
            raise VerifyException("C1 the body has one index argument per extent and the tensor, and ends with put")
        if not args[-1].type == self.init.type == self.result.type:
            raise VerifyException(f"C2 {self.init.type} becomes {self.result.type} by way of {args[-1].type}")
        if any(not isinstance(use.operation, Read) for use in self.state.uses):
            raise VerifyException("C4 only reads use the tensor in the body")
        extents: dict[SSAValue, Expr] = dict(zip(self.indices, self.sizes, strict=True))
        accesses = [[digits(last, e, extents) for e in place] for _, place in last.places]
        accesses += [[digits(r, e, extents) for e in r.exprs] for r in self.reads if r.tensor is self.state]
        apart = {v for index in zip(*accesses, strict=True) if len(set(index)) == 1 for v, _ in index[0]}
        for i, (variable, size) in enumerate(zip(self.indices[: self.rank], self.sizes, strict=False)):
            if size != ONE and variable not in apart:
                raise VerifyException(f"C3 no dimension of the tensor is always indexed by parallel dim {i} alone")

    def interpret(self, env: Environment) -> None:
        """The reference evaluator's step."""
        env.values[self.result] = evaluate_update(self, env)

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_ssa_value(self.init)
        printer.enter_scope()
        printer.print_string(" as ")
        printer.print_ssa_value(self.state)
        printer.print_string(" ")
        if self.rank:
            print_dims(printer, self.indices[: self.rank], self.sizes[: self.rank])
            printer.print_string(" ")
        printer.print_string("in order ")
        print_dims(printer, self.indices[self.rank :], self.sizes[self.rank :])
        printer.print_op_attributes(self.attributes)
        printer.print_string(" : ")
        printer.print_attribute(self.type)
        printer.print_string(" ")
        printer.print_region(self.body, print_entry_block_args=False)
        printer.exit_scope()

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        init = parse_value(parser)
        parser.parse_keyword("as")
        state = parser.parse_argument(expect_type=False).resolve(init.type)
        args, sizes = parse_dims(parser) if not parser.parse_optional_keyword("in") else ([], [])
        rank = len(sizes)
        if rank:
            parser.parse_keyword("in")
        parser.parse_keyword("order")
        inner, ordered = parse_dims(parser)
        attributes = parser.parse_optional_attr_dict()
        parser.parse_punctuation(":")
        parser.parse_type()
        op = cls(init, [*sizes, *ordered], rank, parser.parse_region([*args, *inner, state]))
        op.attributes |= attributes
        return op


Digits = tuple[tuple[SSAValue, int], ...]  # values and their factors, the least first


def digits(op: Indexed, index: Expr, extents: Mapping[SSAValue, Expr]) -> Digits:
    """The digits that an index is a number of, in a mixed radix: each factor is at least what those before it count to,
    and what is added is less than the least. Such a number tells its digits. Empty for an index that is something
    else."""
    form = index.linear()
    if form is None or (rest := form[1].constant) is None or rest < 0:
        return ()
    found = sorted(((op.dims[d], f.constant or 0) for d, f in form[0].items()), key=lambda digit: digit[1])
    limit = Expr.const(rest + 1)
    for value, factor in found:
        if value not in extents or not (factor - limit).nonnegative():
            return ()
        limit = factor * extents[value]
    return tuple(found)
