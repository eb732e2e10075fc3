"""Reads a Hugging Face Whisper (model.safetensors, config.json) and renames its tensors as CTranslate2 does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from glasses.errors import ModelError, Reason

MAX_CONFIG_BYTES = 1 << 20
_LAYER = {
    "self_attn_layer_norm": "self_attention/layer_norm",
    "self_attn.out_proj": "self_attention/linear_1",
    "final_layer_norm": "ffn/layer_norm",
    "fc1": "ffn/linear_0",
    "fc2": "ffn/linear_1",
}


def whisper_tensors(file: Path) -> dict[str, NDArray[Any]]:
    """The encoder's tensors, as whisper_encoder.build takes them.

    Raises ModelError: NOT_FOUND (no config.json), CORRUPT, BAD_INPUT (not a Whisper).
    """
    config = file.with_name("config.json")
    if not config.is_file() or config.stat().st_size > MAX_CONFIG_BYTES:
        raise ModelError(
            Reason.NOT_FOUND, f"{config}: needed beside model.safetensors, it says how many heads there are"
        )
    try:
        heads = json.loads(config.read_text(encoding="utf-8"))["encoder_attention_heads"]
        found = load_file(file)
        return _renamed({name.removeprefix("model."): value for name, value in found.items()}, int(heads))
    except (SafetensorError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ModelError(Reason.CORRUPT, f"{file}: cut short or damaged ({error})") from error
    except KeyError as error:
        raise ModelError(Reason.BAD_INPUT, f"{file}: not a Whisper, it lacks {error}") from error


def _renamed(found: dict[str, NDArray[Any]], heads: int) -> dict[str, NDArray[Any]]:
    out: dict[str, NDArray[Any]] = {"encoder/num_heads": np.array(heads)}
    out["encoder/position_encodings/encodings"] = found["encoder.embed_positions.weight"]
    for conv in ("conv1", "conv2"):
        for kind in ("weight", "bias"):
            out[f"encoder/{conv}/{kind}"] = found[f"encoder.{conv}.{kind}"]
    _norm(out, found, "encoder/layer_norm", "encoder.layer_norm")
    n_layer = sum(name.startswith("encoder.layers.") and name.endswith(".fc1.bias") for name in found)
    for i in range(n_layer):
        theirs, ours = f"encoder.layers.{i}", f"encoder/layer_{i}"
        q, k, v = (found[f"{theirs}.self_attn.{role}_proj.weight"] for role in "qkv")
        out[f"{ours}/self_attention/linear_0/weight"] = np.concatenate([q, k, v])
        biases = [found[f"{theirs}.self_attn.{role}_proj.bias"] for role in "qv"]  # Whisper's keys have none
        out[f"{ours}/self_attention/linear_0/bias"] = np.concatenate([biases[0], np.zeros_like(biases[0]), biases[1]])
        for name, target in _LAYER.items():
            if name.endswith("layer_norm"):
                _norm(out, found, f"{ours}/{target}", f"{theirs}.{name}")
            else:
                for kind in ("weight", "bias"):
                    out[f"{ours}/{target}/{kind}"] = found[f"{theirs}.{name}.{kind}"]
    return out


def _norm(out: dict[str, NDArray[Any]], found: dict[str, NDArray[Any]], ours: str, theirs: str) -> None:
    out[f"{ours}/gamma"], out[f"{ours}/beta"] = found[f"{theirs}.weight"], found[f"{theirs}.bias"]


def encoder(folder: Path) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """What transformers itself makes of log-mel frames (1, n_mels, 3000): (1, 1500, n_state)."""

    def run(mel: NDArray[np.float32]) -> NDArray[np.float32]:
        import torch  # noqa: PLC0415  (optional, heavy)
        from transformers import WhisperModel  # noqa: PLC0415

        model = WhisperModel.from_pretrained(folder, torch_dtype=torch.float32, local_files_only=True).eval()
        with torch.no_grad():
            return model.encoder(torch.from_numpy(mel)).last_hidden_state.numpy()

    return run
