"""The shipped sentences of product reviews."""
