"""Training: the recipe, what a model learns from, and the loop."""
