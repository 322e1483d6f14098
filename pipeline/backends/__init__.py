"""Runtimes, a folder each."""
