"""Random ONNX models, and what three implementations make of them.

    case = generate(seed)                       # the same model and inputs for the same seed
    verdict = judge(case.model, case.inputs)    # ircc beside ONNX's reference and ONNX Runtime

`python -m ircc.testing.fuzz` runs many, in child processes; see `--help`.
"""

from .evaluate import Verdict, judge
from .generate import Case, generate

__all__ = ["Case", "Verdict", "generate", "judge"]
