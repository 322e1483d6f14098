"""Looks before anything is built or timed: what a model is and what could be done with it, and what a run would do."""
