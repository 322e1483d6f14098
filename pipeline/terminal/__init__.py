"""The terminal: what may be printed there, and Ctrl-C."""
