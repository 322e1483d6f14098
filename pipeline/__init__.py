"""slimline: quantize and prune a model, then measure whether it paid.

Importing this package imports neither torch nor onnxruntime; each is imported where it is used.
"""

__version__ = "0.1.0"
