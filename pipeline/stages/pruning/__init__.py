"""The parts of pruning: groups of channels, how much each matters, and the cut."""
