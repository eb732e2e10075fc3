"""Makes the int8 weights of Whisper's decoder from CTranslate2's model file.

`glasses models pull` runs this on the machine that needs the weights; the repository holds only the two graphs that
read them (`quantize/whisper_decoder.py` writes those). The weights are one flat file of 31 MB. Its bytes are the same
on every machine, so a manifest can name their sha256 (`int8_weights.py` says how they are rounded).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from glasses.errors import ModelError, Reason
from glasses.model_store.ctranslate2 import read_tensors
from glasses.model_store.flat_weights import Arrays, matrix, write

N_PIECES = 50_257  # pieces of GPT-2's vocabulary, the end of text among them; what follows are Whisper's own marks
START, NO_TIMESTAMPS = 50_257, 50_362  # of the English-only models
PARTS = ("q", "k", "v")


def _fused(tensors: Arrays, name: str, roles: tuple[str, ...]) -> tuple[Arrays, ...]:
    """The parts of a fused projection, as (weight, bias) by role."""
    weight, bias = tensors[f"{name}/weight"], tensors[f"{name}/bias"]
    n = len(bias) // len(roles)
    cut = [slice(i * n, (i + 1) * n) for i in range(len(roles))]
    return tuple({"weight": weight[rows], "bias": bias[rows]} for rows in cut)


def _attention(tensors: Arrays, layer: str, name: str, kind: str, d_head: int) -> Arrays:
    if kind == "self":
        parts = _fused(tensors, f"{name}/linear_0", PARTS)
        last = f"{name}/linear_1"
    else:
        query = {"weight": tensors[f"{name}/linear_0/weight"], "bias": tensors[f"{name}/linear_0/bias"]}
        parts = (query, *_fused(tensors, f"{name}/linear_1", PARTS[1:]))
        last = f"{name}/linear_2"
    out: Arrays = {}
    for role, part in zip(PARTS, parts, strict=True):
        by = np.float32(d_head**-0.5 if role == "q" else 1.0)  # an eighth: exact
        out |= matrix(f"{layer}.{kind}.{role}", part["weight"] * by, part["bias"] * by)
    return out | matrix(f"{layer}.{kind}.out", tensors[f"{last}/weight"], tensors[f"{last}/bias"])


def _norm(tensors: Arrays, name: str, out: str) -> Arrays:
    return {f"{out}.{kind}": tensors[f"{name}/{kind}"].astype(np.float32) for kind in ("gamma", "beta")}


def arrays(tensors: Arrays) -> Arrays:
    """Everything that the graphs read, by name, in the order of the file."""
    table = tensors["decoder/embeddings/weight"]
    n_head, n_state = int(tensors["decoder/num_heads"]), table.shape[1]
    out: Arrays = {
        "positions": tensors["decoder/position_encodings/encodings"].astype(np.float32),
        "start": table[[START, NO_TIMESTAMPS]].astype(np.float32),
        **matrix("pieces", table[:N_PIECES], None),
        **_norm(tensors, "decoder/layer_norm", "norm"),
    }
    n_layer = sum(name.startswith("decoder/") and name.endswith("ffn/linear_0/bias") for name in tensors)
    for i in range(n_layer):
        source, layer = f"decoder/layer_{i}", f"layer{i}"
        for kind, name in (("self", "self_attention"), ("cross", "attention")):
            out |= _norm(tensors, f"{source}/{name}/layer_norm", f"{layer}.{kind}")
            out |= _attention(tensors, layer, f"{source}/{name}", kind, n_state // n_head)
        out |= _norm(tensors, f"{source}/ffn/layer_norm", f"{layer}.ffn")
        for j, name in enumerate(("up", "down")):
            linear = f"{source}/ffn/linear_{j}"
            out |= matrix(f"{layer}.ffn.{name}", tensors[f"{linear}/weight"], tensors[f"{linear}/bias"])
    return out


def make(source: Path, out: Path) -> None:
    """Writes the file of weights from CTranslate2's `model.bin`. Raises ModelError: CORRUPT, TOO_LARGE."""
    try:
        held = arrays(read_tensors(source))
    except KeyError as error:
        raise ModelError(Reason.CORRUPT, f"{source} is no Whisper model: it has no tensor {error}") from error
    write(held, out)
