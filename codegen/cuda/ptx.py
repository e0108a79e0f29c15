"""LLVM text to PTX."""

from __future__ import annotations

from functools import lru_cache

from ...errors import BackendError
from ..cpu.llvm import Machine
from ..simt.child import child
from .emit import WORDS, team_words

TRIPLE = "nvptx64-nvidia-cuda"
PTX = "+ptx80"  # the version of the language that drivers of CUDA 12 and later know


@lru_cache(maxsize=4096)
def compiled(text: str, model: str) -> str | BackendError:
    """PTX for a model of GPU, such as `sm_80`, of a module as emit.py writes it; or why there is none."""
    try:
        return child.assembly(WORDS + team_words(text) + text, Machine(TRIPLE, model, PTX))
    except BackendError as error:
        return error
