"""Reads the command line, and says what is wrong where Hydra can't take it."""
