"""What is done to a model's outputs before a metric judges them, a file for each."""
