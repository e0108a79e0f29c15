"""What the dialects share: types, symbolic sizes, rewrite rules, passes, pipelines, the target's description."""
