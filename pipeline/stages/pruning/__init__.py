"""What pruning is made of: groups of channels, how much each matters, and the cut."""
