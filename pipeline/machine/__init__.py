"""The machine: what it is, and what it counts."""
