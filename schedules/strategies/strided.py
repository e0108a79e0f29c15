"""Reductions that no other strategy takes: several results in the lanes of a vector, read element by element."""

from __future__ import annotations

from typing import ClassVar

from .window import Window


class Strided(Window):
    """As `window`, though lanes are not neighbours in what is read: short rows, products with a few transposed ones."""

    name = "strided"
    rank = 35
    strided: ClassVar[bool] = True
