"""Int8 weights whose products saturate on no kernel, compared with the arithmetic of x86 without VNNI."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from glasses.model_store.int8_weights import is_exact, quantize_columns

INT16 = np.iinfo(np.int16)


def maddubs(activations: NDArray[np.uint8], weight: NDArray[np.int8]) -> NDArray[np.int64]:
    """`activations @ weight` as `vpmaddubsw` computes it: sums of two neighbouring products saturate in 16 bits."""
    products = activations.astype(np.int64)[:, :, None] * weight.astype(np.int64)[None]
    pairs = products.reshape(len(activations), -1, 2, weight.shape[1]).sum(axis=2)
    return np.clip(pairs, INT16.min, INT16.max).sum(axis=1)


def plain(weight: NDArray[np.float32]) -> NDArray[np.int8]:
    """Weights scaled by the largest of each column, as ONNX Runtime's quantizers do."""
    return np.rint(weight / (np.abs(weight).max(axis=0) / 127)).astype(np.int8)


@pytest.fixture
def weight() -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((96, 40)).astype(np.float32)


def test_quantize_columns_products_of_the_largest_activations_are_exact(weight: NDArray[np.float32]) -> None:
    whole, _ = quantize_columns(weight)
    activations = np.random.default_rng(1).choice(np.array([0, 255], np.uint8), (200, len(weight)))
    exact = activations.astype(np.int64) @ whole.astype(np.int64)
    assert np.array_equal(maddubs(activations, whole), exact)
    assert is_exact(whole)
    usual = plain(weight)
    assert not np.array_equal(maddubs(activations, usual), activations.astype(np.int64) @ usual.astype(np.int64))
    assert not is_exact(usual)


def test_quantize_columns_loses_little_against_the_usual_scale(weight: NDArray[np.float32]) -> None:
    whole, scale = quantize_columns(weight)
    noise = ((whole * scale - weight) ** 2).mean() / (weight**2).mean()
    usual = np.abs(weight).max(axis=0) / 127
    usual_noise = ((plain(weight) * usual - weight) ** 2).mean() / (weight**2).mean()
    assert noise < 2.5 * usual_noise  # seven bits would have four times as much
    assert noise < 1e-3


@pytest.mark.parametrize("n_rows", [1, 7])
def test_quantize_columns_odd_rows_and_a_column_of_zeros_are_kept(n_rows: int) -> None:
    weight = np.zeros((n_rows, 3), np.float32)
    weight[:, 1] = 0.5
    whole, scale = quantize_columns(weight)
    assert np.isfinite(scale).all()
    assert (scale > 0).all()
    assert np.allclose(whole * scale, weight, atol=1e-2)


def test_quantize_columns_least_scale_is_kept(weight: NDArray[np.float32]) -> None:
    whole, scale = quantize_columns(weight, np.full(40, 2.0, np.float32))
    assert (scale == 2.0).all()
    assert np.abs(whole).max() <= 3
