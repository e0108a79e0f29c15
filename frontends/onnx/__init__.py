"""ONNX to graph IR. With frontends/onnx_backend the only importer of onnx."""
