"""Int8 weights whose products are exact on every processor.

x86 without VNNI (most laptops: AVX2, and the first AVX-512) multiplies unsigned 8-bit activations with signed 8-bit
weights by `vpmaddubsw`, which adds the products of two neighbours in 16 bits and saturates: 255 * 127 * 2 does not fit
in 32,767. The sum fits as long as two neighbouring weights of one sign add up to at most 128 (255 * 128 = 32,640). So a
column is scaled by its largest such sum, not by its largest weight. This costs a fraction of a bit; weights of seven
bits would cost a whole one, and unsigned weights half of the speed on processors with VNNI.

Only element-wise float32 arithmetic is used, so the result has the same bytes on every machine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGEST = 127
LARGEST_SUM = 128  # of two neighbours of one sign: 255 * 128 fits in 16 bits with a sign
_TINY = np.float32(1e-12)


def quantize_columns(
    weight: NDArray[Any], least_scale: NDArray[np.float32] | None = None
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Weights (K, N) of `x @ weight` as int8 (K, N) and one scale a column (N,), at least `least_scale`."""
    weight = weight.astype(np.float32)
    scale = np.maximum(_largest_sums(weight) / np.float32(LARGEST), _TINY if least_scale is None else least_scale)
    return np.rint(weight / scale).astype(np.int8), scale


def is_exact(weight: NDArray[Any]) -> bool:
    """Whether products of unsigned activations with these int8 weights (K, N) fit in 16 bits, pair by pair."""
    if weight.dtype != np.int8 or not weight.size:
        return True
    return int(_largest_sums(weight.astype(np.int16)).max()) <= LARGEST_SUM


def _largest_sums(weight: NDArray[Any]) -> NDArray[Any]:
    """The largest sum in each column (N,) of neighbouring rows 2k and 2k + 1 of one sign."""
    if len(weight) % 2:
        weight = np.concatenate([weight, np.zeros_like(weight[:1])])
    even, odd = weight[::2], weight[1::2]
    above = np.maximum(even, 0) + np.maximum(odd, 0)
    below = np.maximum(-even, 0) + np.maximum(-odd, 0)
    return np.maximum(above, below).max(axis=0)
