"""Fuzz targets: headers of model files, as they are read before a model is used, and what is saved of a run."""

from __future__ import annotations

import base64
import importlib.util
import json
import struct

import gguf
import numpy as np

from glasses.backbone import state_file
from glasses.backbone.token_rows import TokenRows
from glasses.model_store.onnx import open_session
from quantize import backbone
from tests.fuzz.scratch import FOLDER, write
from tests.fuzz.target import Target

# x (n, 2) times a weight (2, 2), then Relu; opset 17. Made with the package onnx.
_ONNX = base64.b64decode(
    "CAg6cAoUCgF4CgF3EgF5GgFtIgZNYXRNdWwKDAoBeRIBeiIEUmVsdRIBZyobCAIIAhABIhAAAIA/AAAAQAAAQEAAAIBAQgF3WhQKAXgSDwoNCAESCQoD"
    "EgFuCgIIAmIUCgF6Eg8KDQgBEgkKAxIBbgoCCAJCBAoAEBE="
)
_OWNER = {"model": "m", "context": "c"}


def _gguf(data: bytes) -> None:
    backbone.check(write("one.gguf", data))


def _token_rows(data: bytes) -> None:
    TokenRows(write("rows.gguf", data), 2, 32, 1.0).read([0, 1])


def _gguf_seeds() -> list[bytes]:
    path = FOLDER / "seed.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(64)
    writer.add_token_list(["a", "b"])
    writer.add_array("numbers", [1, 2, 3])
    writer.add_tensor("token_embd.weight", np.ones((2, 32), np.float32))
    writer.add_tensor("output.weight", np.zeros(34, np.uint8), raw_shape=[34], raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return [path.read_bytes()]


def _onnx_session(data: bytes) -> None:
    open_session(write("session.onnx", data), n_threads=1)


def _onnx_header(data: bytes) -> None:
    from quantize import onnx_file  # noqa: PLC0415  # needs the extra `quantize`

    onnx_file.load(write("one.onnx", data))


def _state(data: bytes) -> None:
    state_file.read(write("state", data), _OWNER)


def _state_seeds() -> list[bytes]:
    path = FOLDER / "seed-state"
    state_file.write(path, _OWNER, state_file.SavedState(2, np.ones(4, np.float32), bytearray(16)))
    header = json.dumps({"owner": _OWNER, "rows": 1, "n_logits": 1, "kv_bytes": 0, "sha256": ""}).encode()
    return [path.read_bytes(), struct.pack("<8sI", b"GLKV\0\1\r\n", len(header)) + header + bytes(4)]


TARGETS = {
    "gguf": Target(_gguf, _gguf_seeds, max_bytes=2048),
    "gguf-token-rows": Target(_token_rows, _gguf_seeds, max_bytes=2048),
    "onnx-session": Target(_onnx_session, lambda: [_ONNX], max_bytes=512),
    "saved-state": Target(_state, _state_seeds, max_bytes=1024),
}
if importlib.util.find_spec("onnx"):
    TARGETS["onnx-header"] = Target(_onnx_header, lambda: [_ONNX], max_bytes=512)
