"""Per-backbone adapter for soft tokens: a learned soft prompt, a temperature for each slot and a low-rank correction.

`glasses.connectors.soft_tokens` places soft tokens in a sentence. An adapter replaces the sentence's own token rows by
learned ones (`prompt_rows`), raises the probabilities of each slot to a power before they are mixed
(`inverse_temperature`) and adds `row @ down @ up` to each soft token. `models/recipes/tune_adapter.py` trains it
through the frozen backbone; it serves that backbone and those classes only.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glasses.errors import ModelError, Reason
from glasses.types import Float32Array, frozen

MAX_FILE_BYTES = 1 << 20  # unpacked
# Names of the arrays in the file (the artifacts are older than the names here) and of the fields they fill.
_KEYS = {"around": "prompt_rows", "sharpness": "inverse_temperature", "squeeze": "down", "expand": "up"}
_LENGTHS = "lengths"  # rows of "around" that belong to each text of the sentence


@dataclass(frozen=True, slots=True)
class BackboneAdapter:
    """`prompt_rows`: rows (n, n_embd) for each text of the sentence; `inverse_temperature` (n_slots,): the power that
    the probabilities of each slot are raised to; `down` (n_embd, rank) and `up` (rank, n_embd): the correction.
    """

    prompt_rows: tuple[Float32Array, ...]
    inverse_temperature: Float32Array
    down: Float32Array
    up: Float32Array

    def corrected(self, rows: Float32Array) -> Float32Array:
        """Soft tokens (n, n_embd) with the low-rank correction added."""
        return (rows + rows @ self.down @ self.up).astype(np.float32)


def write(path: Path, adapter: BackboneAdapter, *, backbone: str, space: str) -> None:
    """Writes a file for `read`; `backbone` is the sha256 of its GGUF file, `space` that of the latents."""
    np.savez(
        path,
        backbone=backbone,
        space=space,
        around=np.concatenate(adapter.prompt_rows).astype(np.float16),
        lengths=np.array([len(rows) for rows in adapter.prompt_rows]),
        sharpness=adapter.inverse_temperature.astype(np.float32),
        squeeze=adapter.down.astype(np.float16),
        expand=adapter.up.astype(np.float16),
    )


def read(path: Path, *, backbone: str, space: str, n_texts: int, n_slots: int, n_embd: int) -> BackboneAdapter:
    """Reads an adapter for a sentence of `n_texts` texts and `n_slots` soft tokens.

    Raises ModelError: NOT_FOUND, TOO_LARGE, CORRUPT, WRONG_SPACE (trained for another backbone or encoder).
    """
    arrays, trained_for = _arrays(path)
    for what, ours in (("backbone", backbone), ("space", space)):
        theirs = trained_for[what]
        if theirs != ours:
            raise ModelError(Reason.WRONG_SPACE, f"{path}: learned for the {what} {theirs[:32]!r}, not {ours[:32]!r}")
    lengths = arrays.pop(_LENGTHS)
    rank = arrays["down"].shape[-1] if arrays["down"].ndim else 0
    fits = lengths.dtype.kind == "i" and lengths.shape == (n_texts,) and bool((lengths >= 0).all())
    shapes = {
        "prompt_rows": (lengths.clip(0).sum() if fits else 0, n_embd),
        "inverse_temperature": (n_slots,),
        "down": (n_embd, rank),
        "up": (rank, n_embd),
    }
    fits = fits and all(arrays[name].shape == shape for name, shape in shapes.items())
    fits = fits and all(one.dtype.kind == "f" and np.isfinite(one).all() for one in arrays.values())
    if not fits or min(arrays["inverse_temperature"]) <= 0:
        found = ", ".join(f"{name} {one.shape}" for name, one in arrays.items())
        raise ModelError(Reason.CORRUPT, f"{path}: {found}, {_LENGTHS} {lengths.shape}: do not fit, or not finite")
    prompt_rows, inverse_temperature, down, up = (
        frozen(np.ascontiguousarray(arrays[name], np.float32)) for name in _KEYS.values()
    )
    return BackboneAdapter(tuple(np.split(prompt_rows, np.cumsum(lengths)[:-1])), inverse_temperature, down, up)


def _arrays(path: Path) -> tuple[dict[str, NDArray], dict[str, str]]:
    """The file's arrays by the names of this module, and the backbone and latent space that it names."""
    try:
        with zipfile.ZipFile(path) as packed:
            if sum(part.file_size for part in packed.infolist()) > MAX_FILE_BYTES:
                raise ModelError(Reason.TOO_LARGE, f"{path}: over the cap of {MAX_FILE_BYTES:,} bytes")
        with np.load(path, allow_pickle=False) as file:
            trained_for = {what: str(file[what]) for what in ("backbone", "space")}
            arrays = {ours: np.asarray(file[theirs]) for theirs, ours in _KEYS.items()}
            return {**arrays, _LENGTHS: np.asarray(file[_LENGTHS])}, trained_for
    except FileNotFoundError as error:
        raise ModelError(Reason.NOT_FOUND, f"{path}: no such file") from error
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ModelError(Reason.CORRUPT, f"{path}: not an adapter for a backbone: {error}") from error
