"""The conformance kit: what works on a backend, level by level. `ircc conformance --backend NAME` runs it.

L0  memory, copies, launches
L1  operators of one element at a time, and those that move elements
L2  reductions and contractions
L3  all operators at odd, single and empty sizes that are not known when they are compiled, with NaN and infinities
L4  whole models: sizes that change, branches and loops, many threads, memory that runs out, a device that fails

What is expected at L1 to L3 is the reference meaning of each operator in NumPy, at L4 what the CPU backend computes. A
backend that a package brings is found by its name, as anywhere.
"""

from .kit import LEVELS, Check, Outcome, Report
from .suite import checks, run

__all__ = ["LEVELS", "Check", "Outcome", "Report", "checks", "run"]
