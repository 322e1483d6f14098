"""One report over the jobs of a sweep (``--multirun``): what was best in each, and where the same chain wins."""
