"""When a layout gives each element a place of its own."""

from ircc.ir.expr import Expr
from ircc.schedules.layout import expr_of, injective


def test_panels_of_unknown_sizes() -> None:
    """Matrices of as many panels as their columns need."""
    sizes = [Expr.symbol(name) for name in "BNK"]
    panels = "8 * d0 * K * ((N + 7) floordiv 8) + 8 * K * (d1 floordiv 8) + 8 * d2 + d1 mod 8"
    assert injective(expr_of(panels), sizes)
    assert not injective(expr_of(panels.replace("N + 7", "N + 6")), sizes)
