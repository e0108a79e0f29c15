"""Golden IR: `tests/passes/<pass>.mlir` holds cases of input and expected output; `pytest --bless` rewrites the latter.

// passes: canonicalize
// What this case shows.
builtin.module {...}
// =====
builtin.module {...}
// -----
the next case
"""

import re
from pathlib import Path

import pytest
from xdsl.dialects.builtin import ModuleOp
from xdsl.parser import Parser

from ircc.dialects import context
from ircc.dialects.reference import evaluate, inputs_of
from ircc.ir.check_each import difference, draw_inputs, relative_bound
from ircc.ir.pipeline import Pipeline
from ircc.ir.verify import verify

HERE = Path(__file__).parent
CASE, EXPECTED = "// -----\n", "// =====\n"
CASES = [
    pytest.param(path, i, id=f"{path.stem}-{i}")
    for path in sorted(HERE.glob("*.mlir"))
    for i in range(path.read_text().count(CASE) + 1)
]


def read(text: str, path: Path) -> ModuleOp:
    module = Parser(context(), text, str(path)).parse_module()
    verify(module)
    return module


def values_agree(before: ModuleOp, after: ModuleOp) -> str | None:
    """What differs in value, for modules of levels that the evaluator knows."""
    inputs, actual = draw_inputs(after, 0, evaluate, inputs_of)  # fix-sizes takes fewer inputs than before
    return None if inputs is None else difference(evaluate(before, inputs), actual, relative_bound(before))


@pytest.mark.parametrize(("path", "number"), CASES)
def test_golden(path: Path, number: int, bless: bool) -> None:
    cases = path.read_text().split(CASE)
    given, _, expected = cases[number].partition(EXPECTED)
    found = re.search(r"// passes: (.*)", given)
    assert found is not None, f"case {number} of {path.name} does not say `// passes: ...`"
    pipeline = Pipeline.parse(found[1])
    module = read(given, path)
    original = module.clone()
    pipeline.run(module)
    verify(module)
    assert str(read(str(module), path)) == str(module)
    if path.stem.replace("_", "-") in found[1]:
        assert values_agree(original, module) is None
    if bless:
        cases[number] = f"{given.rstrip()}\n{EXPECTED}{module!s}\n"
        path.write_text(CASE.join(cases))
        return
    if not read(expected, path).is_structurally_equivalent(module):
        assert str(module) == expected.strip(), "run pytest --bless if the new output is right"
