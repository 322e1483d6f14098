"""What a kit runs on the machine that is measured. It needs numpy and a runtime; Python 3.9 reads it."""
