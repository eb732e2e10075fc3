"""Reference encoders (Opus, LC3), which stand for those of a device; only tests need them."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import numpy as np

from firmware_bridge.codecs import _load_lc3


def tone(n_samples: int) -> np.ndarray:
    """int16 (n,) of 440 Hz at 16 kHz."""
    return (8000 * np.sin(2 * np.pi * 440 * np.arange(n_samples) / 16_000)).astype(np.int16)


def pitch_hz(pcm: np.ndarray) -> float:
    """The strongest frequency of int16 (n,) at 16 kHz."""
    return float(np.argmax(np.abs(np.fft.rfft(pcm * np.hanning(len(pcm))))) * 16_000 / len(pcm))


def lc3_encoder(frame_bytes: int) -> Callable[[np.ndarray], bytes]:
    """liblc3's encoder at 16 kHz: int16 (160,), 10 ms, to a frame."""
    library = _load_lc3()
    library.lc3_encoder_size.restype = ctypes.c_uint
    library.lc3_setup_encoder.restype = ctypes.c_void_p
    library.lc3_encode.argtypes = (
        *(ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p),
        *(ctypes.c_int, ctypes.c_int, ctypes.c_void_p),
    )
    state = ctypes.create_string_buffer(library.lc3_encoder_size(10_000, 16_000))
    encoder = library.lc3_setup_encoder(10_000, 16_000, 16_000, ctypes.byref(state))

    def encode(pcm: np.ndarray) -> bytes:
        frame, pcm = ctypes.create_string_buffer(frame_bytes), np.ascontiguousarray(pcm)
        assert state  # the encoder lives in it
        assert library.lc3_encode(encoder, 0, pcm.ctypes.data, 1, frame_bytes, frame) == 0
        return frame.raw

    return encode
