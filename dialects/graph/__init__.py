"""The graph dialect: whole-tensor operators with ONNX meaning."""
