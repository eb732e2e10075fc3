"""What was learned for one backbone, to tell it what a connector of another backbone finds.

`glasses.connectors.soft_tokens` puts the token rows of a sentence around soft tokens. Here are rows in place of that
sentence's texts, how sharply the units are mixed, and a correction of low rank to the soft tokens. All of it goes
through a backbone that stays as it is (`models/recipes/told.py`), and serves that backbone and those units alone.

Knows no sentence, unit or network.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from glasses.errors import ModelError, Reason
from glasses.types import Float32Array, frozen

MAX_FILE_BYTES = 1 << 20  # unpacked
TENSORS = ("around", "lengths", "sharpness", "squeeze", "expand")


@dataclass(frozen=True, slots=True)
class BackboneAdapter:
    """`around` rows (n, n_embd) for each text of the sentence; for each gap the power `sharpness` (n_gaps,) that units
    are raised to before they are mixed; `squeeze` (n_embd, rank) and `expand` (rank, n_embd) of the correction.
    """

    around: tuple[Float32Array, ...]
    sharpness: Float32Array
    squeeze: Float32Array
    expand: Float32Array

    def corrected(self, soft: Float32Array) -> Float32Array:
        """Soft tokens (n, n_embd) as this backbone takes them."""
        return (soft + soft @ self.squeeze @ self.expand).astype(np.float32)


def write(path: Path, learned: BackboneAdapter, *, backbone: str, space: str) -> None:
    """Writes a file for `read`: `backbone` is the sha256 of its file, `space` that of the latents."""
    np.savez(
        path,
        backbone=backbone,
        space=space,
        around=np.concatenate(learned.around).astype(np.float16),
        lengths=np.array([len(rows) for rows in learned.around]),
        sharpness=learned.sharpness.astype(np.float32),
        squeeze=learned.squeeze.astype(np.float16),
        expand=learned.expand.astype(np.float16),
    )


def read(path: Path, *, backbone: str, space: str, n_texts: int, n_gaps: int, n_embd: int) -> BackboneAdapter:
    """Raises ModelError: NOT_FOUND, TOO_LARGE, CORRUPT, WRONG_SPACE (learned for another backbone or encoder)."""
    try:
        with zipfile.ZipFile(path) as packed:
            if sum(part.file_size for part in packed.infolist()) > MAX_FILE_BYTES:
                raise ModelError(Reason.TOO_LARGE, f"{path}: over the cap of {MAX_FILE_BYTES:,} bytes")
        with np.load(path, allow_pickle=False) as file:
            of, latents = str(file["backbone"]), str(file["space"])
            around, lengths, sharpness, squeeze, expand = (np.asarray(file[name]) for name in TENSORS)
    except FileNotFoundError as error:
        raise ModelError(Reason.NOT_FOUND, f"{path}: no such file") from error
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ModelError(Reason.CORRUPT, f"{path}: not what was learned for a backbone: {error}") from error
    for what, theirs, ours in (("backbone", of, backbone), ("latents", latents, space)):
        if theirs != ours:
            raise ModelError(Reason.WRONG_SPACE, f"{path}: learned for the {what} {theirs[:32]!r}, not {ours[:32]!r}")
    rank = squeeze.shape[-1] if squeeze.ndim else 0
    shapes = {"lengths": (n_texts,), "sharpness": (n_gaps,), "squeeze": (n_embd, rank), "expand": (rank, n_embd)}
    got = {"lengths": lengths, "sharpness": sharpness, "squeeze": squeeze, "expand": expand}
    right = lengths.dtype.kind == "i" and all(got[name].shape == shape for name, shape in shapes.items())
    right = right and around.shape == (lengths.clip(0).sum(), n_embd) and bool((lengths >= 0).all())
    floats = (around, sharpness, squeeze, expand)
    if not right or not all(one.dtype.kind == "f" and np.isfinite(one).all() for one in floats) or min(sharpness) <= 0:
        told = ", ".join(f"{name} {one.shape}" for name, one in got.items())
        raise ModelError(Reason.CORRUPT, f"{path}: around {around.shape}, {told}: do not fit, or not finite")
    around, sharpness, squeeze, expand = (frozen(np.ascontiguousarray(one, np.float32)) for one in floats)
    return BackboneAdapter(tuple(np.split(around, np.cumsum(lengths)[:-1])), sharpness, squeeze, expand)
