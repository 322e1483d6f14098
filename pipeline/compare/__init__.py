"""Compares runs with each other, and judges whether a later one is good enough."""
