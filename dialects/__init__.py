"""The three levels: graph (what), tensor (how each value is computed), loop (when and where)."""
