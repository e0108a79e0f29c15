"""Compares engines for a device with torch on it: time, from arrays of the host to arrays of the host, and results.

    python benchmarks/beside_torch.py [--target cuda] [--device cuda] [--only REGEX] [--page FILE]

The models are those of models.py. In torch they are the same operators, called one after the other, as a program for
torch does; the second column is the same captured as a CUDA graph, where the device has those. Both compute in float32,
without the shortened one of tensor cores (TF32). All take turns, and times are medians.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from models import SUITE
from onnx import ModelProto, NodeProto, helper, numpy_helper

import ircc

Values = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="cuda", help="of ircc (cuda)")
    parser.add_argument("--device", default="cuda", help="of torch (cuda)")
    parser.add_argument("--only", default="", help="take only models whose name matches this regular expression")
    parser.add_argument("--rounds", type=int, default=30, help="runs of each (30)")
    parser.add_argument("--page", type=Path, help="write the table to this file, as Markdown")
    args = parser.parse_args()
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError:
        print("torch is not installed: nothing to compare with", file=sys.stderr)
        return 1
    if args.device == "cuda" and not torch.cuda.is_available():
        print("torch finds no GPU here: nothing is compared", file=sys.stderr)
        return 1
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    named = torch.cuda.get_device_name() if args.device == "cuda" else args.device
    lines = [
        f"ircc {ircc.__version__} for `{args.target}` and torch {torch.__version__} on {named}, {date.today()}.",
        "",
        "| model | ircc | torch | torch, captured | torch / ircc | captured / ircc | largest difference |",
        "|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines))
    for name, build in SUITE.items():
        model = build()
        if re.search(args.only, name) and {node.op_type for node in model.graph.node} <= OPERATORS.keys():
            lines.append(compared(torch, name, model, args))
            print(lines[-1], flush=True)
    if args.page:
        head = (
            f"<!-- written by {Path(__file__).name} -->\n\n# Beside torch\n\n{(__doc__ or '').split(chr(10) * 2, 2)[2]}"
        )
        args.page.write_text(head + "\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return 0


def compared(torch: Any, name: str, model: ModelProto, args: argparse.Namespace) -> str:
    """A line of the table."""
    engine = ircc.compile(model, target=args.target)
    given = ircc.example_inputs(engine).arrays
    bound = engine.bind(given)
    program, captured = in_torch(torch, model, given, args.device)
    found = program()
    bound()
    (mine,) = bound.outputs.values()
    difference = np.abs(mine - found).max() / max(np.abs(found).max(), np.float32(1e-30))
    runs = {"ircc": bound, "torch": program} | ({"captured": captured} if captured is not None else {})
    times: dict[str, list[float]] = {one: [] for one in runs}
    for _ in range(3 + args.rounds):
        for one, run in runs.items():
            start = time.perf_counter()
            run()
            times[one].append(time.perf_counter() - start)
    medians = {one: statistics.median(taken[3:]) for one, taken in times.items()}
    cells = [f"{medians[one] * 1e3:.3f} ms" if one in medians else "-" for one in ("ircc", "torch", "captured")]
    cells += [f"{medians[one] / medians['ircc']:.2f}" if one in medians else "-" for one in ("torch", "captured")]
    return f"| {' | '.join([name, *cells, f'{difference:.0e}'])} |"


def in_torch(
    torch: Any, model: ModelProto, given: Mapping[str, Any], device: str
) -> tuple[Callable[[], Any], Callable[[], Any] | None]:
    """The model as a function from the host's arrays to the host's; and the same from a captured graph."""
    known = {w.name: numpy_helper.to_array(w) for w in model.graph.initializer}
    weights = {name: torch.from_numpy(w.copy()).to(device) for name, w in known.items()}
    inputs = {name: torch.from_numpy(x) for name, x in given.items()}
    places = {name: x.to(device) for name, x in inputs.items()}
    last = model.graph.output[0].name

    def computed() -> Any:
        values: Values = {**weights, **places}
        for node in model.graph.node:
            attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            values[node.output[0]] = OPERATORS[node.op_type](torch, node, attributes, values, known)
        return values[last]

    def run(compute: Callable[[], Any]) -> Any:
        with torch.inference_mode():
            for name, x in inputs.items():
                places[name].copy_(x)
            return compute().cpu().numpy()

    if device != "cuda":
        return lambda: run(computed), None
    with torch.inference_mode():
        computed()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result = computed()

    def replayed() -> Any:
        graph.replay()
        return result

    return lambda: run(computed), lambda: run(replayed)


def _elementwise(name: str) -> Callable[..., Any]:
    return lambda torch, node, attributes, v, known: getattr(torch, name)(*(v[x] for x in node.input))


def _conv(torch: Any, node: NodeProto, attributes: Mapping[str, Any], v: Values, known: Values) -> Any:
    pads, strides = attributes["pads"][:2], attributes["strides"]
    return torch.nn.functional.conv2d(*(v[x] for x in node.input), strides, pads, groups=attributes["group"])


def _pool(torch: Any, node: NodeProto, attributes: Mapping[str, Any], v: Values, known: Values) -> Any:
    size, strides, pads = (attributes[name] for name in ("kernel_shape", "strides", "pads"))
    return torch.nn.functional.max_pool2d(v[node.input[0]], size, strides, pads[:2])


OPERATORS: Mapping[str, Callable[..., Any]] = {
    **{name: _elementwise(name.lower()) for name in ("Add", "Sub", "Mul", "Div", "MatMul", "Relu", "Erf")},
    "Conv": _conv,
    "MaxPool": _pool,
    "Transpose": lambda torch, node, a, v, known: v[node.input[0]].permute(a["perm"]).contiguous(),
    "Reshape": lambda torch, node, a, v, known: v[node.input[0]].reshape(known[node.input[1]].tolist()),
    "Flatten": lambda torch, node, a, v, known: torch.flatten(v[node.input[0]], 1),
    "Softmax": lambda torch, node, a, v, known: torch.softmax(v[node.input[0]], a["axis"]),
    "GlobalAveragePool": lambda torch, node, a, v, known: v[node.input[0]].mean((2, 3), keepdim=True),
    "ReduceMean": lambda torch, node, a, v, known: v[node.input[0]].mean(known[node.input[1]].tolist()),
    "LayerNormalization": lambda torch, node, a, v, known: torch.nn.functional.layer_norm(
        v[node.input[0]], v[node.input[1]].shape, v[node.input[1]], v[node.input[2]]
    ),
}


if __name__ == "__main__":
    sys.exit(main())
