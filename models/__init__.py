"""Reference models, a folder each; installed as the package pipeline.models."""
