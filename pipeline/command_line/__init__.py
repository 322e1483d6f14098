"""What is typed, and what is said where Hydra can't take it."""
