"""Whether NVIDIA's assembler takes the PTX of whole models: `make ptx-check MODELS="a.onnx b.onnx"`. Needs no GPU."""

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

from xdsl.dialects.builtin import ModuleOp

import ircc
from ircc.codegen.cuda.backend import MODELS, ptx_of
from ircc.dialects.loop import Kernel
from ircc.testing import ptxas


def kernels_of(path: Path, model: str) -> tuple[list[Kernel], list[Kernel]]:
    """The kernels for the GPU, and those that the host runs."""
    module = ircc.lower(path, to="loop-ir", target=f"cuda:{model}")
    assert isinstance(module, ModuleOp)
    every = [op for op in module.body.ops if isinstance(op, Kernel)]
    return [k for k in every if not k.on_host], [k for k in every if k.on_host]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--gpus", default=",".join(MODELS), help="models of GPU, by commas")
    args = parser.parse_args()
    if ptxas.find() is None:
        print(f"there is no ptxas: {ptxas.HOW}", file=sys.stderr)
        return 1
    bad = 0
    print("| model | GPU | kernels | accepted | refused | on the host | seconds |\n|---|---|---:|---:|---:|---:|---:|")
    for path in args.models:
        for model in args.gpus.split(","):
            start = time.monotonic()
            gpu, host = kernels_of(path, model)
            refusals = {}
            if gpu and ptxas.refused(ptx_of(gpu, model), model) is not None:  # then one by one
                found = {k.sym_name.data: ptxas.refused(ptx_of([k], model), model) for k in gpu}
                refusals = {name: why for name, why in found.items() if why is not None}
                assert refusals, "kernels are refused together but not one by one"
            bad += len(refusals)
            taken, seconds = len(gpu) - len(refusals), time.monotonic() - start
            print(
                f"| {path.stem} | {model} | {len(gpu)} | {taken} | {len(refusals)} | {len(host)} | {seconds:.0f} |",
                flush=True,
            )
            for name, why in refusals.items():
                print(f"  refused: {name}: {why}")
            for reason, count in Counter(str(k.attributes.get("because", "")) for k in host).items():
                print(f"  on the host: {count} × {reason}")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
