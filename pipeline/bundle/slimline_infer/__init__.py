"""The program of a deploy bundle: it needs numpy, and the runtime that the bundle's figures were taken with."""

from .command import main
from .model import Model
from .values import InputError

__all__ = ["InputError", "Model", "main"]
