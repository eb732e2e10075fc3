"""What may be fed to the backbone, checked and cut into batches. Pure numpy; knows no llama.cpp.

llama.cpp checks none of this: NaN comes out as NaN, a wrong width reads foreign memory, a batch that is too long ends
the process.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from glasses.errors import ModelError, Reason

ModelInput = Sequence[int] | NDArray[Any]
Rows = NDArray[Any]  # int32 (n,) token ids, or C-contiguous float32 (n, n_embd) latents
Hidden = Literal["none", "last", "all"]
# The largest half-precision number; SmolLM2's token rows stay under 2. Far above it (1e18) llama.cpp's norm overflows
# and gives zeros without an error.
MAX_ABS = 65504.0


def check(part: ModelInput, where: str, *, n_vocab: int, n_embd: int) -> Rows:
    """`part` in the form llama.cpp reads, copied only if it has another one; empty parts become no tokens.

    Raises ModelError(BAD_INPUT) with `where` for anything that is neither token ids in 0..n_vocab-1 nor finite
    float32 (n, n_embd).
    """
    if isinstance(part, str | bytes):
        raise ModelError(Reason.BAD_INPUT, f"{where} is text; tokenize it first")
    try:
        rows: Rows = np.asarray(part) if len(part) else np.zeros(0, np.int32)
    except ValueError as error:
        raise ModelError(Reason.BAD_INPUT, f"{where} is ragged: {error}") from error
    if rows.ndim == 1 and rows.dtype.kind in "iu":
        if len(rows) and not 0 <= rows.min() <= rows.max() < n_vocab:
            raise ModelError(Reason.BAD_INPUT, f"{where} has a token outside 0..{n_vocab - 1}")
        return np.ascontiguousarray(rows, np.int32)
    if rows.dtype != np.float32 or rows.ndim != 2 or rows.shape[1] != n_embd:
        raise ModelError(
            Reason.BAD_INPUT,
            f"{where} is {rows.dtype} {rows.shape}; latents are float32 (n, {n_embd}), tokens integers (n,)",
        )
    if not np.abs(rows).max() <= MAX_ABS:  # so written, NaN fails as well
        raise ModelError(Reason.BAD_INPUT, f"{where} has latents that are NaN, infinite or over {MAX_ABS}")
    return np.ascontiguousarray(rows)


def batches(parts: Sequence[Rows], n_batch: int, hidden: Hidden, hidden_rows: int) -> Iterator[tuple[Rows, bool]]:
    """Non-empty `parts` as (rows, read their hidden states?), at most `n_batch` rows each, `hidden_rows` where read."""
    hidden_rows = min(hidden_rows, n_batch)
    step = hidden_rows if hidden == "all" else n_batch
    pieces = [part[i : i + step] for part in parts for i in range(0, len(part), step)]
    if hidden == "last" and len(pieces[-1]) > hidden_rows:
        # The classifier over a long batch costs more than the last row by itself.
        pieces[-1:] = [pieces[-1][:-1], pieces[-1][-1:]]
    for i, piece in enumerate(pieces):
        yield piece, hidden == "all" or (hidden == "last" and i == len(pieces) - 1)
