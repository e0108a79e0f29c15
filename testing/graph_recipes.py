"""How to draw each operator of the graph dialect."""

from __future__ import annotations

from collections.abc import Mapping

from . import graph_recipes_math, graph_recipes_movement, graph_table
from .graph_builder import Recipe
from .graph_table import INEXACT

FAMILIES = (graph_recipes_math, graph_recipes_movement)  # importing them fills the table

RECIPES: Mapping[str, Recipe] = graph_table.RECIPES

__all__ = ["INEXACT", "RECIPES"]
