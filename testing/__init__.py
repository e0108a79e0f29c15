"""For those who test ircc or extend it: strategies, comparisons, the backend kit (extra ircc[testing])."""
