import glasses  # noqa: F401  (before onnxruntime is: it says that nothing is sent)
