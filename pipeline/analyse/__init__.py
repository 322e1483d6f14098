"""The analysis: ratios with intervals, verdicts, the Pareto front and a recommendation, all from a run's record."""

from pipeline.analyse.assemble import analyse

__all__ = ["analyse"]
