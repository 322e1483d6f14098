"""The import step: an ONNX model that comes in is made clean once, and shown to compute what its file computes."""
