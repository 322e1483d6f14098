"""What each of the four factors of inference speed contributes."""
