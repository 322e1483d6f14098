"""Where models come from, and the reference models."""
