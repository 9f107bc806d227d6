"""ONNX Runtime, OpenVINO and PyTorch as engines, and what they have in common."""
