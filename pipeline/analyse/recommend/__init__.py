"""Which row to deploy, and why another may not be."""
