"""Several variants of a model in one ONNX Runtime model package, for machines of several kinds."""
