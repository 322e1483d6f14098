"""The parts that stages share which rewrite an ONNX graph."""
