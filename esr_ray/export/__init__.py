"""Trained networks as files for other programs: ONNX, MindIR, and a card that says what they are."""
