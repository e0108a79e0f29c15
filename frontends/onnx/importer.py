"""ONNX to the graph dialect.

The importer walks the nodes in order. A node is imported by its rule (rules_*.py); without one, its function body is
imported in its place: the model's own, or the one that ONNX gives. Nothing stops at the first obstacle: an obstacle
becomes an `Issue`, the node's results become unknown, and the walk goes on, so that the report is complete.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import onnx
from onnx import AttributeProto, FunctionProto, GraphProto, NodeProto, TensorProto, TypeProto, ValueInfoProto
from xdsl.dialects.builtin import (
    ArrayAttr,
    DictionaryAttr,
    FunctionType,
    IntAttr,
    ModuleOp,
    StringAttr,
    UnrealizedConversionCastOp,
)
from xdsl.dialects.func import FuncOp, ReturnOp

from ...errors import Error, Issue, ModelError, NeedsPython, UnsupportedError, location
from ...ir.expr import Expr
from ...ir.types import TensorType, element_of, is_float
from ...progress import report
from .bodies import Body
from .builder import Builder, ConstraintError, Held, Value, ValueList, check_size, constant, hint
from .check import inferred_types
from .functions import canonical, has_body, is_too_old, local_functions, schema_function, type_proto
from .inputs import InputShapes, Shapes, dims_of
from .node import Node, Rule
from .opaque import Opaque, Unknown, body_reason, is_open, opaque_type, python_reason
from .order import live, names_used
from .report import Report, remedy
from .rules import RULES
from .rules_control import count
from .source import DEPTH, Source, dtype_of, function_prefix, opsets, subgraph_prefix, weight_name

log = logging.getLogger(__name__)
UNEXPECTED = (
    ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError,
)  # fmt: skip
IN_PYTHON = "ircc.compile and ircc run do it, in Python; an engine file cannot hold it"
# Nodes that may come from function bodies: a few lines of functions in functions could be billions.
MAX_EXPANDED, EXPANDED_PER_NODE = 20_000, 20


# Operators that ask for the rank or the sizes of a value, without an operation on it.
RANKED = frozenset(("If", "Loop", "Scan", "Shape", "Size"))


class Hopeless(ModelError):
    """A model that is not worth another look: the walk ends."""


@dataclass
class Scope:
    """Names of the graph or function body being imported, and what it inherits.

    `prefix` makes names of weights unique, `attributes` are a function's, `origin` is the node that a body stands
    for: its nodes are called by it. What a scope with a `body` finds around it, the body captures."""

    opsets: Mapping[str, int]
    values: dict[str, Held | Unknown] = field(default_factory=dict)
    parent: Scope | None = None
    prefix: str = ""
    attributes: Mapping[str, AttributeProto] = field(default_factory=dict)
    origin: str = ""
    operator: str = ""
    depth: int = 0
    file: str = ""  # of the model, where weights of this scope can be read again
    body: Body | None = None

    def find(self, name: str) -> Held | Unknown:
        """The value of a name here or around. Raises ModelError for a name that nothing gives."""
        if name in self.values:
            return self.values[name]
        if self.parent is None:
            raise ModelError(f"nothing computes the value '{name}'")
        found = self.parent.find(name)
        return found if self.body is None or isinstance(found, Unknown) else self.body.take_all(found)

    def define(self, name: str, value: Held | Unknown) -> None:
        """Name a value. Raises ModelError for a name that is taken."""
        if name in self.values:
            raise ModelError(f"the value '{name}' is computed twice")
        self.values[name] = value

    def inside(self, **fields: Any) -> Scope:
        """A scope within this one."""
        if self.depth >= DEPTH:
            raise Hopeless(f"graphs or functions lie in one another more than {DEPTH} deep")
        return replace(self, depth=self.depth + 1, **{"body": None, **fields})


class Importer:
    """Imports one model. `report` is complete after `run`."""

    def __init__(self, source: Source, shapes: Shapes | None = None) -> None:
        self.source, self.model = source, source.model
        self.report = Report(source.file, opsets(self.model))
        self.main = FuncOp("main", ([], []))
        self.builder = Builder(self.main.body.block)
        self.functions = local_functions(self.model)
        self.shapes = InputShapes(self.model.graph, shapes or {})
        self.invalid: Error | None = None  # the first obstacle that is the model's fault
        self.doubt: Error | None = None  # the first that may be: an operator's constraints did not hold
        self.values: Mapping[str, Held | Unknown] = {}  # of the graph, by name
        self.python: dict[int, str] = {}  # nodes of the graph, by position, that need Python, and why
        nodes = len(self.model.graph.node) + sum(len(f.node) for f in self.model.functions)
        self.types: dict[str, TypeProto] | None = None  # by ONNX's inference, where the report needs them
        self.budget = MAX_EXPANDED + EXPANDED_PER_NODE * nodes

    # ---- the module

    def run(self) -> ModuleOp | None:
        """The module, None when there are issues."""
        graph = self.model.graph
        scope = Scope(self.report.opsets, file=self.source.file)
        self.values = scope.values
        names = self._initializers(scope, graph)
        arguments = [info for info in graph.input if info.name not in names]
        self._arguments(scope, arguments)
        self._nodes(scope, graph.node, [o.name for o in graph.output])
        results = {info.name: self._output(scope, info) for info in graph.output}
        if self.report.issues or self.report.python:
            return None
        return self._module(arguments, results)

    @property
    def known(self) -> set[str]:
        """Names of values that are known without a run: constants, and what follows from sizes."""
        return {name for name, value in self.values.items() if isinstance(value, Value) and value.known is not None}

    @property
    def types_found(self) -> dict[str, TypeProto]:
        """Types of the graph's tensors, by name, with those of their sizes that are numbers."""
        values = {name: value for name, value in self.values.items() if isinstance(value, Value) and not value.loose}
        return {name: type_proto(value, symbols=False) for name, value in values.items()}

    def _arguments(self, scope: Scope, infos: Sequence[ValueInfoProto]) -> None:
        for info in infos:
            if what := opaque_type(info.type):
                scope.define(info.name, Opaque(what))
                continue
            try:
                if is_open(info.type):
                    kind = str(info.type.WhichOneof("value") or "value of any type").partition("_")[0]
                    raise NeedsPython(f"it is a {kind}", hint="its structure is known when it runs first")
                type_ = TensorType.of(self.shapes.of(info), self.element(info.type, f"input '{info.name}'"))
                argument = self.main.body.block.insert_arg(type_, len(self.main.body.block.args))
                argument.name_hint = hint(info.name)
                self.builder.taken |= type_.symbols
                scope.define(info.name, Value(type_, None, argument))
            except UnsupportedError as error:
                self._issue(info.name, "Input", self.report.opsets.get("", 0), error)
                scope.values[info.name] = Unknown()

    @staticmethod
    def element(type_: TypeProto, what: str) -> Any:
        """The element type of an input. Raises UnsupportedError for one that ircc has not, or that is no tensor."""
        if (kind := type_.WhichOneof("value")) != "tensor_type":
            raise UnsupportedError(f"{what} has {kind.replace('_', ' ') if kind else 'no type'}; ircc takes tensors")
        return element_of(dtype_of(type_.tensor_type.elem_type, what))

    def _output(self, scope: Scope, info: ValueInfoProto) -> Held:
        opset = self.report.opsets.get("", 0)
        try:
            found = scope.find(info.name)
        except ModelError as error:
            self._issue(info.name, "Output", opset, error)
            return None
        if found is None and info.type.WhichOneof("value") != "optional_type":
            self._issue(info.name, "Output", opset, ModelError("the output is absent"))
        if isinstance(found, Opaque) and not self.python:  # an input or an initializer as it is
            self._issue(info.name, "Output", opset, NeedsPython(f"it is {found.what}"))
        return None if isinstance(found, Unknown) else found

    def _module(self, arguments: Sequence[ValueInfoProto], results: Mapping[str, Held]) -> ModuleOp:
        """The module. Sequences among its results are spread: `y` of two elements becomes `y[0]` and `y[1]`."""
        main, spread = self.main, spread_out(results)
        values = [self.builder.place(r) for r in spread.values()]
        main.body.block.add_op(ReturnOp(*values))
        main.function_type = FunctionType.from_lists(main.body.block.arg_types, [v.type for v in values])
        main.properties["arg_attrs"] = _names(a.name for a in arguments)
        main.properties["res_attrs"] = _names(spread)
        main.attributes["ircc.checks"] = ArrayAttr(self.builder.checks)
        if loose := [StringAttr(name) for name, value in spread.items() if value.loose]:
            main.attributes["ircc.loose"] = ArrayAttr(loose)
        facts = {
            "name": self.model.graph.name,
            "producer": " ".join(filter(None, (self.model.producer_name, self.model.producer_version))),
            "sha256": self.source.sha256,
        }
        module = ModuleOp(
            [main, *self.builder.functions],
            {"ircc.model": DictionaryAttr({k: StringAttr(v) for k, v in facts.items()})},
        )
        if any(not isinstance(held, Value) for held in results.values()):
            layout = {name: IntAttr(count(held)) for name, held in results.items()}
            module.attributes["ircc.outputs"] = DictionaryAttr(dict(layout))
        return module

    # ---- graphs

    def _initializers(self, scope: Scope, graph: GraphProto) -> set[str]:
        for tensor in graph.sparse_initializer:
            name, opset = tensor.values.name, self.report.opsets.get("", 0)
            self._issue(name, "Initializer", opset, UnsupportedError("it is sparse"))
            scope.values[name] = Unknown()
        for tensor in graph.initializer:
            if tensor.data_type == TensorProto.STRING:
                scope.define(tensor.name, Opaque("a tensor of strings"))
                continue
            try:
                array = self.source.array(tensor, f"initializer '{tensor.name}'")
                name = weight_name(scope.prefix, tensor.name)
                scope.define(tensor.name, constant(array, file=scope.file, name=name))
            except UnsupportedError as error:
                self._issue(tensor.name, "Initializer", self.report.opsets.get("", 0), error)
                scope.values[tensor.name] = Unknown()
        return {t.name for t in graph.initializer} | {t.values.name for t in graph.sparse_initializer}

    def _nodes(self, scope: Scope, nodes: Iterable[NodeProto], outputs: Iterable[str]) -> None:
        found = live(list(nodes), set(outputs))
        for done, (index, node, wanted) in enumerate(found):
            if not scope.prefix:
                report(f"importing: node {done + 1} of {len(found)}")
            self._node(scope, node, index, wanted)

    def _node(self, scope: Scope, proto: NodeProto, index: int, wanted: Sequence[str]) -> None:
        """Import one node; an obstacle becomes an issue."""
        domain = canonical(proto.domain)
        operator = f"{domain}.{proto.op_type}" if domain else proto.op_type
        name = scope.origin or proto.name or f"{proto.op_type}_{index}"
        opset = scope.opsets.get(domain, 0)
        shown = f"{scope.operator} (in its body: {operator})" if scope.operator else operator
        try:
            given = [scope.find(i) if i else None for i in proto.input]
            self._must_be_native(scope, proto, given)
            values = [v for v in given if not isinstance(v, Unknown)]
            if len(values) < len(given):
                self._poison(scope, proto)
                self._look(scope, proto, name, shown, domain, opset)
                return
            self._bind(scope, proto, self._import(scope, proto, name, domain, opset, values, wanted))
        except Hopeless as error:
            raise error.at(name, shown) from None
        except Error as error:
            if not isinstance(error, NeedsPython) and (reason := self._body_reason(scope, proto)):
                error = NeedsPython(reason)
            if isinstance(error, NeedsPython) and scope.depth:
                raise error.at(name, shown) from None  # the node around it needs Python as a whole
            if isinstance(error, NeedsPython):
                self.python[index] = error.message
            self._issue(name, shown, opset, error)
            self._poison(scope, proto)
        except UNEXPECTED as error:  # a rule met what no valid model has
            log.debug("node %s", name, exc_info=True)
            self._issue(name, shown, opset, ModelError(f"it makes no sense: {type(error).__name__}: {error}"))
            self._poison(scope, proto)

    def _must_be_native(self, scope: Scope, proto: NodeProto, given: Sequence[Held | Unknown]) -> None:
        """Raise NeedsPython for a node that has to do with what compiled code has no form for."""
        if reason := python_reason(proto, resolved(proto, scope).values()):
            raise NeedsPython(reason)
        for name, value in zip(proto.input, given, strict=True):
            if isinstance(value, Opaque):
                raise NeedsPython(f"its input '{name}' is {value.what}")

    def _body_reason(self, scope: Scope, proto: NodeProto) -> str:
        """Why a node that could not be imported needs Python, for what lies in its bodies."""
        if not any(a.HasField("g") or a.graphs for a in proto.attribute):
            return ""
        known: list[Held | Unknown] = []
        for name in names_used(proto):
            with suppress(ModelError):
                known.append(scope.find(name))
        return body_reason(proto, known)

    def _bind(self, scope: Scope, proto: NodeProto, found: Sequence[Held]) -> None:
        for position, output in enumerate(proto.output):
            value = found[position] if position < len(found) else None
            if output:
                scope.define(output, value)
            if output and isinstance(value, Value) and value.ssa is not None and value.ssa.name_hint is None:
                value.ssa.name_hint = hint(output)

    def _poison(self, scope: Scope, proto: NodeProto) -> None:
        """Go on without the node: with values of the types that ONNX infers, where it does."""
        for output in proto.output:
            if output:
                scope.values[output] = self._stand_in(output) if scope.depth == 0 else Unknown()

    def _stand_in(self, name: str) -> Value | Unknown:
        """A value that nothing computes, so that what uses it can be looked at; no module is made any more."""
        if self.types is None:
            self.types = inferred_types(self.model)
        proto = self.types.get(name, TypeProto())
        if what := opaque_type(proto):
            return Opaque(what)
        if proto.WhichOneof("value") != "tensor_type" or (dims := dims_of(proto)) is None:
            return Unknown()
        if any(d is None or (isinstance(d, str) and d not in self.shapes.clean) for d in dims):
            return Unknown()  # sizes of its own would lead to obstacles that are none
        try:
            sizes = [Expr.const(d) if isinstance(d, int) else Expr.symbol(self.shapes.clean[str(d)]) for d in dims]
            type_ = TensorType.of(sizes, self.element(proto, f"value '{name}'"))
            check_size(type_)
        except Error:
            return Unknown()
        if not is_float(type_.element_type):
            return Unknown()  # it may be a shape, which would then seem to depend on data
        return Value(type_, None, UnrealizedConversionCastOp.get([], [type_]).results[0])

    def _look(self, scope: Scope, proto: NodeProto, name: str, shown: str, domain: str, opset: int) -> None:
        """Say whether a node whose inputs are unknown could be imported at all."""
        if self._body_reason(scope, proto):
            return  # it is looked at when the structure of its inputs is known
        local = (domain, proto.op_type, proto.overload) in self.functions
        body = has_body(proto.op_type, domain, opset)
        if not (local or body or (domain, proto.op_type) in RULES):
            self._issue(name, shown, opset, UnsupportedError("ircc has no rule for this operator"))

    # ---- nodes

    def _import(
        self, scope: Scope, proto: NodeProto, name: str, domain: str, opset: int,
        values: Sequence[Held], wanted: Sequence[str],
    ) -> Sequence[Held]:  # fmt: skip
        operator = f"{domain}.{proto.op_type}" if domain else proto.op_type
        attributes = resolved(proto, scope)
        self.builder.nodes = (name,)
        for value in values if proto.op_type in RANKED else ():
            self.builder.settle(value if isinstance(value, Value) else None)
        if (function := self.functions.get((domain, proto.op_type, proto.overload))) is not None:
            defaults = {a.name: a for a in function.attribute_proto}
            body = scope.inside(
                opsets={canonical(o.domain): o.version for o in function.opset_import}, values={}, parent=None,
                prefix=function_prefix(function), attributes={**defaults, **attributes}, origin=name, operator=operator,
            )  # fmt: skip
            return self._expand(body, function, values, operator)
        if is_too_old(proto.op_type, domain, opset):
            hint = "convert the model: onnx.version_converter.convert_version(model, 13)"
            raise UnsupportedError("it has another meaning in this old opset", hint=hint)
        refusal: Error = UnsupportedError("ircc has no rule for this operator")
        if (rule := RULES.get((domain, proto.op_type))) is not None:
            try:
                node = self._view(scope, proto, name, domain, opset, values, wanted, attributes)
                found = self._apply(rule, node)
                if not scope.operator:
                    self.report.supported[operator] += 1
                return found
            except (ConstraintError, NeedsPython):  # the operator may be in use already: no second try
                raise
            except UnsupportedError as error:
                refusal = error
        elif domain and domain not in scope.opsets:
            raise ModelError(f"the model imports no opset for domain '{domain}'")
        try:
            given = schema_function(
                proto.op_type, domain, opset, attributes, list(proto.input), list(proto.output), values
            )
        except Exception:  # onnx's function builders refuse in many ways; the rule's refusal is the better reason
            given = None
        if given is None:
            raise refusal
        function, attributes = given
        newest = {"": onnx.defs.onnx_opset_version()}  # for bodies that do not say
        bodies = {**newest, **scope.opsets, **{canonical(o.domain): o.version for o in function.opset_import}}
        body = scope.inside(
            opsets=bodies, values={}, parent=None, prefix="", attributes=attributes, origin=name,
            operator=scope.operator or operator, file="",
        )  # fmt: skip
        return self._expand(body, function, values, operator, refusal)

    def _view(
        self, scope: Scope, proto: NodeProto, name: str, domain: str, opset: int,
        values: Sequence[Held], wanted: Sequence[str], attributes: Mapping[str, AttributeProto],
    ) -> Node:  # fmt: skip
        def inline(attribute: str, inputs: Sequence[Held], body: Body | None = None) -> list[Held]:
            if attribute not in attributes:
                raise ModelError(f"attribute {attribute} is missing")
            return self._inline(scope, proto, attribute, attributes[attribute].g, inputs, body)

        weight = (scope.file, weight_name(scope.prefix, proto.output[0])) if proto.output else ("", "")
        outputs = [o if o in wanted else "" for o in proto.output]
        return Node(
            name, proto.op_type, domain, opset, values, outputs, attributes, self.builder,
            self.source.array, inline, self._mark, weight,
        )  # fmt: skip

    def _mark(self) -> Callable[[], None]:
        """A point of the import to which a rule can go back that tried to import a body."""
        issues, functions, supported = len(self.report.issues), self.builder.functions, Counter(self.report.supported)
        expanded, count = Counter(self.report.expanded), len(functions)
        first = self.invalid, self.doubt

        def back() -> None:
            del self.report.issues[issues:]
            del functions[count:]
            self.report.supported, self.report.expanded = supported, expanded
            self.invalid, self.doubt = first

        return back

    def _apply(self, rule: Rule, node: Node) -> Sequence[Held]:
        found = rule(node)
        if found is None or isinstance(found, Value | ValueList):
            return [found]
        return list(found)

    def _inline(
        self, scope: Scope, proto: NodeProto, attribute: str, graph: GraphProto, inputs: Sequence[Held],
        body: Body | None,
    ) -> list[Held]:  # fmt: skip
        """The outputs of a graph in an attribute, imported with these inputs: here, or in a body."""
        prefix = subgraph_prefix(scope.prefix, proto, attribute)
        inner = scope.inside(values={}, parent=scope, prefix=prefix, body=body)
        if len(inputs) != len(graph.input):
            raise ModelError(f"{attribute} has {len(graph.input)} inputs, {len(inputs)} are given")
        here, nodes = self.builder, self.builder.nodes
        self.builder = here if body is None else body.builder
        try:
            for info, value in zip(graph.input, inputs, strict=True):
                inner.define(info.name, value)
            self._initializers(inner, graph)
            self._nodes(inner, graph.node, [o.name for o in graph.output])
            return self._results(inner, [o.name for o in graph.output])
        finally:
            self.builder, here.nodes = here, nodes

    def _expand(
        self,
        body: Scope,
        function: FunctionProto,
        values: Sequence[Held],
        operator: str,
        refusal: Error | None = None,
    ) -> list[Held]:
        """The outputs of a function body. Where the body cannot be compiled, `refusal` is the better reason."""
        self.budget -= len(function.node)
        if self.budget < 0:
            raise Hopeless("function bodies in function bodies have too many nodes")
        if len(values) > len(function.input):
            raise ModelError(f"{len(values)} inputs are given to a function of {len(function.input)}")
        for i, name in enumerate(function.input):
            body.define(name, values[i] if i < len(values) else None)
        before = len(self.report.issues)
        self._nodes(body, function.node, function.output)
        if refusal is not None and len(self.report.issues) > before:
            del self.report.issues[before:]
            raise refusal
        if body.depth == 1:
            self.report.expanded[operator] += 1
        return self._results(body, function.output)

    def _results(self, scope: Scope, names: Iterable[str]) -> list[Held]:
        found = [scope.find(n) if n in scope.values or scope.parent else None for n in names]
        if any(isinstance(v, Unknown) for v in found):
            raise Reported("")
        return [v for v in found if not isinstance(v, Unknown)]

    def _issue(self, name: str, operator: str, opset: int, error: Error) -> None:
        """Note an obstacle. A broken model is reported as such."""
        if isinstance(error, Reported):
            return
        if isinstance(error, NeedsPython):
            place = f" (in its body, {location(error.node, error.operator)})" if error.node else ""
            self.report.python.append(Issue(name, operator, opset, error.message + place, error.hint or IN_PYTHON))
            return
        if isinstance(error, ConstraintError) and self.doubt is None:
            self.doubt = error.at(name, operator)
        if not isinstance(error, UnsupportedError) and self.invalid is None:
            self.invalid = error.at(name, operator)
        broken = "the model breaks ONNX's rules here: export it again"
        suggestion = remedy(error.message) if isinstance(error, UnsupportedError) else broken
        self.report.issues.append(Issue(name, operator, opset, error.message, error.hint or suggestion))


class Reported(Error):
    """An obstacle that is already in the report."""


def resolved(proto: NodeProto, scope: Scope) -> dict[str, AttributeProto]:
    """A node's attributes by name; those that refer to attributes of the function around it are replaced by them."""
    found: dict[str, AttributeProto] = {}
    for attribute in proto.attribute:
        if attribute.name in found:
            raise ModelError(f"attribute {attribute.name} is given twice")
        if not attribute.ref_attr_name:
            found[attribute.name] = attribute
        elif attribute.ref_attr_name in scope.attributes:
            found[attribute.name] = copy = AttributeProto()
            copy.CopyFrom(scope.attributes[attribute.ref_attr_name])
            copy.name = attribute.name
    return found


def spread_out(results: Mapping[str, Held]) -> dict[str, Value]:
    """Results by name, an element of a sequence by the sequence's name and its position: `y[0]`."""
    found: dict[str, Value] = {}
    for name, held in results.items():
        if isinstance(held, ValueList):
            found.update({f"{name}[{i}]": item for i, item in enumerate(held.items)})
        elif held is not None:
            found[name] = held
    return found


def _names(names: Iterable[str]) -> ArrayAttr[DictionaryAttr]:
    return ArrayAttr(DictionaryAttr({"ircc.name": StringAttr(name)}) for name in names)
