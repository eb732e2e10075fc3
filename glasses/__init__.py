"""A runtime for AI glasses: sight and sound reach the backbone as latent vectors."""

import os

__version__ = "0.1.0"

# onnxruntime as it is published keeps a device id in the user's cache and sends events to its maker; read as it loads.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
