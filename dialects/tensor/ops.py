"""Operations of the tensor dialect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from xdsl.dialects.builtin import ArrayAttr, IntAttr, StringAttr
from xdsl.ir import Attribute, Region, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    irdl_op_definition,
    opt_prop_def,
    prop_def,
    region_def,
    result_def,
    traits_def,
)
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from ...ir.evaluator import Environment
from ...ir.expr import ONE, ZERO, Expr, ExprLike
from ...ir.indexed import INDEX
from ...ir.nodes import set_nodes
from ...ir.operands import direct
from ...ir.types import ExprAttr, TensorType, exprs, signless
from ...ir.weights import Weight, array_of
from .body import Yield
from .domain import Domain, name_indices, parse_dims, print_dims
from .evaluate import evaluate_compute

COMBINERS = ("add", "mul", "max", "min")


@direct
@irdl_op_definition
class Constant(IRDLOperation):
    """Constant data: `tensor.constant #ir.weight<[1.0]> : !graph.tensor<[1], f32>`.

    C1: the result's sizes are numbers.
    """

    name = "tensor.constant"
    value = prop_def(Weight)
    result = result_def(TensorType)
    traits = traits_def(Pure())

    def __init__(self, value: Attribute, type_: TensorType) -> None:
        super().__init__(properties={"value": value}, result_types=[type_])

    @property
    def array(self) -> Any:
        """The data. Raises IRError when a reference cannot be found."""
        type_ = self.result.type
        assert isinstance(type_, TensorType) and type_.static_shape is not None
        return array_of(self.value, type_.dtype, type_.static_shape)

    def interpret(self, env: Environment) -> None:
        """The reference evaluator's step."""
        env.values[self.result] = self.array

    def verify_(self) -> None:
        assert isinstance(self.result.type, TensorType)
        if self.result.type.static_shape is None:
            raise VerifyException("C1 a constant has constant sizes")

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_attribute(self.value)
        printer.print_op_attributes(self.attributes)
        printer.print_string(" : ")
        printer.print_attribute(self.result.type)

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        weight = parser.parse_attribute()
        attributes = parser.parse_optional_attr_dict()
        parser.parse_punctuation(":")
        type_ = parser.parse_type()
        assert isinstance(type_, TensorType)
        op = cls(weight, type_)
        op.attributes |= attributes
        return op


@direct
@irdl_op_definition
class Empty(IRDLOperation):
    """A tensor about whose elements nothing is said: `tensor.empty : !graph.tensor<[M, N], f32>`, for an update that
    puts all that is read of it later to start from. The reference meaning has NaN and zeros there.

    C1: only updates use it, and only to start from.
    """

    name = "tensor.empty"
    result = result_def(TensorType)
    traits = traits_def(Pure())

    assembly_format = "attr-dict `:` type($result)"

    def __init__(self, type_: TensorType) -> None:
        super().__init__(result_types=[type_])

    def interpret(self, env: Environment) -> None:
        """The reference evaluator's step."""
        assert isinstance(self.result.type, TensorType)
        shape = [int(s.evaluate(symbols=env.symbols)) for s in self.result.type.sizes]
        dtype = self.result.type.dtype
        env.values[self.result] = np.full(shape, np.nan if dtype.kind == "f" else 0, dtype)

    def verify_(self) -> None:
        if any(use.operation.name != "tensor.update" or use.index for use in self.result.uses):
            raise VerifyException("C1 only updates use an empty tensor, and only to start from")


@direct
@irdl_op_definition
class Compute(Domain, IRDLOperation):
    """One value per point of an iteration domain: `out[i, j] = combine over k of body(i, j, k)`, then `finish`.

        %y = tensor.compute [%i : M, %j : N] add [%k : K] : !graph.tensor<[M, N], f32> {
          %a = tensor.read %x[%i, %k]
          %b = tensor.read %w[%k, %j]
          %p = arith.mulf %a, %b : f32
          tensor.yield %p : f32
        } finish { ^bb0(%i : index, %j : index, %acc : f32): ... }

    The first dims are parallel and make the result's shape, the others are reduced by `combine` (add, mul, max, min)
    starting from its neutral element (0, 1, the least and the greatest value; NaN wins in max and min). The order of a
    reduction is not specified. The body reads tensors from outside with tensor.read.
    C1: the body has one index argument per extent and yields a scalar. C2: the result's sizes are the parallel extents.
    C3: the result's element type is the yielded scalar's, but for sign. C4: `combine` is there exactly if something is
    reduced. C5: `finish` takes the parallel indices and the accumulator and yields a scalar of the accumulator's type.
    C6: `combine` is a known one.
    """

    name = "tensor.compute"
    extents = prop_def(ArrayAttr[ExprAttr])
    parallel = prop_def(IntAttr)
    combine = opt_prop_def(StringAttr)
    body = region_def("single_block")
    finish = region_def()
    result = result_def(TensorType)
    traits = traits_def(Pure())

    def __init__(
        self,
        extents: Sequence[ExprLike],
        parallel: int,
        result: TensorType,
        body: Region,
        finish: Region | None = None,
        combine: str | None = None,
        nodes: Sequence[str] = (),
    ) -> None:
        super().__init__(
            properties={
                "extents": exprs(extents),
                "parallel": IntAttr(parallel),
                "combine": StringAttr(combine) if combine else None,
            },
            regions=[body, finish or Region()],
            result_types=[result],
        )
        set_nodes(self, nodes)
        name_indices(self.body, parallel)
        name_indices(self.finish, parallel, "acc")

    # ---- access

    @property
    def combiner(self) -> str | None:
        return self.combine.data if self.combine else None

    @property
    def ranges(self) -> dict[SSAValue, tuple[Expr, Expr]]:
        """Inclusive range of each index variable, of body and finish."""
        found = super().ranges
        if self.finish.blocks:
            found |= {a: (ZERO, s - ONE) for a, s in zip(self.finish.block.args, self.sizes[: self.rank], strict=False)}
        return found

    @property
    def yielded(self) -> SSAValue:
        last = self.body.block.last_op
        assert isinstance(last, Yield)
        return last.value

    @property
    def is_reduction(self) -> bool:
        return len(self.extents) > self.rank

    def verify_(self) -> None:
        last = self.body.block.last_op
        if (
            len(self.body.block.args) != len(self.extents)
            or any(a.type != INDEX for a in self.indices)
            or not isinstance(last, Yield)
        ):
            raise VerifyException("C1 the body has one index argument per extent and ends with tensor.yield")
        if self.type.sizes != self.sizes[: self.rank]:
            raise VerifyException(f"C2 the result's sizes are {self.type}, the parallel extents {self.extents}")
        if signless(self.type.element_type) != last.value.type:
            raise VerifyException(f"C3 the body yields {last.value.type}, the result is {self.type}")
        if self.is_reduction != (self.combine is not None):
            raise VerifyException("C4 `combine` is there exactly if something is reduced")
        if self.finish.blocks:
            args, end = self.finish.block.args, self.finish.block.last_op
            good = len(args) == self.rank + 1 and args[-1].type == last.value.type and isinstance(end, Yield)
            if not good or end.value.type != last.value.type:  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
                raise VerifyException("C5 finish takes the parallel indices and the accumulator, and yields its type")
        if self.combiner not in (None, *COMBINERS):
            raise VerifyException(f"C6 unknown combiner {self.combiner!r}")

    def interpret(self, env: Environment) -> None:
        """The reference evaluator's step."""
        env.values[self.result] = evaluate_compute(self, env)

    # ---- text

    def print(self, printer: Printer) -> None:
        printer.enter_scope()
        printer.print_string(" ")
        print_dims(printer, self.indices[: self.rank], self.sizes[: self.rank])
        if self.combiner:
            printer.print_string(f" {self.combiner} ")
            print_dims(printer, self.indices[self.rank :], self.sizes[self.rank :])
        printer.print_op_attributes(self.attributes)
        printer.print_string(" : ")
        printer.print_attribute(self.type)
        printer.print_string(" ")
        printer.print_region(self.body, print_entry_block_args=False)
        printer.exit_scope()
        if self.finish.blocks:
            printer.print_string(" finish ")
            printer.enter_scope()
            printer.print_region(self.finish)
            printer.exit_scope()

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        args, sizes = parse_dims(parser)
        rank, combine = len(sizes), parser.parse_optional_keyword_in(COMBINERS)
        if combine:
            inner, reduced = parse_dims(parser)
            args, sizes = [*args, *inner], [*sizes, *reduced]
        attributes = parser.parse_optional_attr_dict()
        parser.parse_punctuation(":")
        type_ = parser.parse_type()
        assert isinstance(type_, TensorType)
        body = parser.parse_region(args)
        finish = parser.parse_region() if parser.parse_optional_keyword("finish") else None
        op = cls(sizes, rank, type_, body, finish, combine)
        op.attributes |= attributes
        return op
