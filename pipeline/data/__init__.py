"""Data sets: what they are, reading them, and what a model wants done to them."""
