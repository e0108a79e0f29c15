"""Strategies: each looks at an op and the target's description and yields a schedule."""
