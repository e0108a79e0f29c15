"""One pass is one file; the pass fold-constants is fold_constants.py."""
