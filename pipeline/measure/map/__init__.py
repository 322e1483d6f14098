"""Lays a variant's graph beside the baseline's: the places where both have the same tensor, and the error in each."""
