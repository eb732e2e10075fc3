"""Checks what is fed to the backbone and cuts it into batches. Needs numpy only.

llama.cpp does not check its input: NaN comes out as NaN, a wrong width reads foreign memory, and a batch that is too
long ends the process.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from glasses.errors import ModelError, Reason

ModelInput = Sequence[int] | NDArray[Any]
Rows = NDArray[Any]  # int32 (n,) token ids, or C-contiguous float32 (n, n_embd) embeddings
Hidden = Literal["none", "last", "all"]
# The largest half-precision number; the token rows of SmolLM2 stay under 2. Far above it (1e18) llama.cpp's norm
# overflows and returns zeros without an error.
MAX_ABS = 65504.0


def check(item: ModelInput, where: str, *, n_vocab: int, n_embd: int) -> Rows:
    """`item` in the form that llama.cpp reads, copied only if it is in another one; an empty input becomes no tokens.

    Raises ModelError(BAD_INPUT), which names it `where`, for anything but token ids in 0..n_vocab-1 or finite float32
    (n, n_embd).
    """
    if isinstance(item, str | bytes):
        raise ModelError(Reason.BAD_INPUT, f"{where} is text; tokenize it first")
    try:
        rows: Rows = np.asarray(item) if len(item) else np.zeros(0, np.int32)
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
    if not np.abs(rows).max() <= MAX_ABS:  # written this way round, NaN fails as well
        raise ModelError(Reason.BAD_INPUT, f"{where} has latents that are NaN, infinite or over {MAX_ABS}")
    return np.ascontiguousarray(rows)


def batches(inputs: Sequence[Rows], n_batch: int, hidden: Hidden, hidden_rows: int) -> Iterator[tuple[Rows, bool]]:
    """Cuts non-empty `inputs` into (rows, whether to read their hidden states): at most `n_batch` rows each, and at
    most `hidden_rows` where hidden states are read.
    """
    hidden_rows = min(hidden_rows, n_batch)
    step = hidden_rows if hidden == "all" else n_batch
    cut = [rows[i : i + step] for rows in inputs for i in range(0, len(rows), step)]
    if hidden == "last" and len(cut[-1]) > hidden_rows:
        # llama.cpp runs the classifier over every row of such a batch; the last row by itself costs less.
        cut[-1:] = [cut[-1][:-1], cut[-1][-1:]]
    for i, batch in enumerate(cut):
        yield batch, hidden == "all" or (hidden == "last" and i == len(cut) - 1)
