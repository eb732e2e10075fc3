"""A runtime for AI glasses: sight and sound reach the backbone as latent vectors.

    import glasses

    bundle = glasses.open_bundle()                                      # the pocket bundle: glasses models pull
    print(glasses.ask(bundle, glasses.read_image("photo.jpg"), "What is in view?"))

What is exported here is what an app needs; it is loaded when it is first used, so that `import glasses` stays light.
"""

from __future__ import annotations

import importlib
import os

TYPE_CHECKING = False  # as typing has it, whose import takes milliseconds in which Ctrl-C would not be ours
if TYPE_CHECKING:
    from typing import Any

    from glasses import errors, types
    from glasses.assistant.answer import ask
    from glasses.assistant.assistant import Assistant
    from glasses.audio.sound_files import read_audio
    from glasses.media.pictures import read_image
    from glasses.runtime.bundle import LoadedBundle, open_bundle, open_voice
    from glasses.service.client.client import Client
    from glasses.service.client.sync_client import SyncClient

__version__ = "0.1.0"

__all__ = [
    "Assistant",
    "Client",
    "LoadedBundle",
    "SyncClient",
    "ask",
    "errors",
    "open_bundle",
    "open_voice",
    "read_audio",
    "read_image",
    "types",
]

# onnxruntime as it is published keeps a device id in the user's cache and sends events to its maker; read as it loads.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
# OpenCV warns of users' files and cameras on their terminal; what matters is raised by us. Read as it loads.
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")

_EXPORTED = {
    "Assistant": "glasses.assistant.assistant",
    "Client": "glasses.service.client.client",
    "LoadedBundle": "glasses.runtime.bundle",
    "SyncClient": "glasses.service.client.sync_client",
    "ask": "glasses.assistant.answer",
    "open_bundle": "glasses.runtime.bundle",
    "open_voice": "glasses.runtime.bundle",
    "read_audio": "glasses.audio.sound_files",
    "read_image": "glasses.media.pictures",
}


def __getattr__(name: str) -> Any:
    """Loads what is exported when it is first asked for (PEP 562)."""
    if name in _EXPORTED:
        return getattr(importlib.import_module(_EXPORTED[name]), name)
    if name in __all__:
        return importlib.import_module(f"glasses.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
