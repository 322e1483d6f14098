"""What stages that rewrite an ONNX graph share."""
