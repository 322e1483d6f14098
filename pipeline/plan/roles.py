"""The roles of stages: what each changes. A stage declares its role, a record keeps it, and the analysis asks for
it."""

from __future__ import annotations

from typing import Literal

Role = Literal["precision", "architecture", "training", "export", "import", "input", "graph"]
"""``precision``: the types of numbers, or what prepares the model for other types. ``architecture``: the layers and
their sizes. ``training``: the weights, in the same layers. ``export``: the format, and nothing else. ``import``: the
same, the other way round. ``input``: the sizes of the inputs. ``graph``: the operators that compute the same."""
