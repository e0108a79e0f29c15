"""Which nodes of a graph are needed, in an order in which each comes after what it uses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from onnx import NodeProto

from ...errors import ModelError
from .source import DEPTH, subgraphs


def names_used(node: NodeProto, depth: int = 0) -> set[str]:
    """Names that a node uses: its inputs, and what its subgraphs take from around them."""
    if depth > DEPTH:
        raise ModelError(f"graphs lie in one another more than {DEPTH} deep")
    used = {name for name in node.input if name}
    for _, graph in subgraphs(node):
        inner = {output.name for output in graph.output}
        own = {info.name for info in graph.input} | {tensor.name for tensor in graph.initializer}
        for other in graph.node:
            inner |= names_used(other, depth + 1)
            own.update(other.output)
        used |= inner - own
    return used


def live(nodes: Sequence[NodeProto], outputs: Iterable[str]) -> list[tuple[int, NodeProto, list[str]]]:
    """The nodes that `outputs` need, in order, with their positions and those of their outputs that are used.

    Raises ModelError for names that two nodes give, and for nodes that wait for each other."""
    giver: dict[str, int] = {}
    for index, node in enumerate(nodes):
        for name in node.output:
            if name and giver.setdefault(name, index) != index:
                raise ModelError(f"the value '{name}' is computed twice")
    used = [names_used(node) for node in nodes]
    wanted = set(outputs)
    needs: dict[int, list[int]] = {}
    pending = [giver[name] for name in wanted if name in giver]
    while pending:
        index = pending.pop()
        if index in needs:
            continue
        needs[index] = sorted({giver[name] for name in used[index] if name in giver})
        wanted |= used[index]
        pending += needs[index]
    return [(i, nodes[i], [o for o in nodes[i].output if o in wanted]) for i in _sorted(nodes, needs)]


def _sorted(nodes: Sequence[NodeProto], needs: dict[int, list[int]]) -> list[int]:
    """The keys of `needs`, each after what it needs, otherwise in the order of the file."""
    order: list[int] = []
    state: dict[int, bool] = {}  # False: begun, True: placed
    for root in sorted(needs):
        stack = [root]
        while stack:
            index = stack[-1]
            if state.get(index):
                stack.pop()
                continue
            state[index] = False
            waiting = [n for n in needs[index] if not state.get(n)]
            if any(n in state for n in waiting):
                raise ModelError("nodes wait for each other's results", node=nodes[index].name or f"#{index}")
            if waiting:
                stack += reversed(waiting)
            else:
                state[index] = True
                order.append(index)
                stack.pop()
    return order
