"""The import step: makes an ONNX model clean once, and shows that it computes what its file computes."""
