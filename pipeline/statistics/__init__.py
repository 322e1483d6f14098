"""The statistics of speed and accuracy: pure functions of numbers, checked against published examples."""
