"""A thousand engine files with something wrong in them: each is refused with a message, and ends no process."""

import json
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

FILES, BATCHES = 1000, 4
HERE = Path(__file__).parent


def test_mutated_files_are_refused(tmp_path: Path) -> None:
    each = FILES // BATCHES
    command = [sys.executable, str(HERE / "mutate.py"), str(HERE / "engines" / "format3.engine"), str(tmp_path)]

    def batch(first: int) -> subprocess.CompletedProcess[str]:
        part = [*command, str(first), str(first + each)]
        return subprocess.run(part, capture_output=True, text=True, check=False)

    with ThreadPoolExecutor(2) as pool:
        ran = list(pool.map(batch, range(0, FILES, each)))
    kinds: Counter[str] = Counter()
    for done in ran:
        lines = done.stdout.splitlines()
        assert done.returncode == 0, f"the process ended at {lines[-1:]}: {done.stderr}"
        for line in lines:
            (number, kind), end = json.JSONDecoder().raw_decode(line)
            error, message = json.loads(line[end:])
            kinds[kind] += 1
            assert error == "EngineError" and len(message) > 20, f"file {number}, {kind}: {error} {message}"
    assert sum(kinds.values()) == FILES and len(kinds) == 17 and min(kinds.values()) > 55
