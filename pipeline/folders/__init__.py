"""Folders that belong to somebody: who uses one, how another waits for it, where a run's and temporary files lie."""
