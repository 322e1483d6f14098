"""Carries out a run's building: in this machine's processes, several side by side, or on the nodes of a cluster."""

from pipeline.execution.local import Local
from pipeline.execution.pool import Pool
from pipeline.execution.ray import Ray
from pipeline.execution.slurm import Slurm

__all__ = ["Local", "Pool", "Ray", "Slurm"]
