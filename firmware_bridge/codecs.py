"""Decoders from the sound formats of glasses to PCM; a stream has a decoder object of its own.

Opus and LC3 are decoded by the reference libraries (extra `codecs`; libopus and liblc3), which also fill in for a lost
frame from their own state. A library that is missing is a LinkError NOT_AVAILABLE that names the package.
"""

from __future__ import annotations

import ctypes
from ctypes.util import find_library
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.errors import LinkError, Reason

Int16Array = NDArray[np.int16]
_OPUS_LONGEST_MS = 120  # RFC 6716, 2.1.4
_LC3_PCM_S16 = 0  # enum lc3_pcm_format in lc3.h
_LC3_BYTES = range(20, 401)  # LC3_MIN_FRAME_BYTES to LC3_MAX_FRAME_BYTES in lc3.h


class PcmDecoder:
    """16-bit little-endian PCM, or ITU-T G.711 mu-law; a lost frame is silence."""

    def __init__(self, rate_hz: int, *, mu_law: bool = False) -> None:
        self.rate_hz = rate_hz
        self._mu_law = mu_law

    def decode(self, frame: bytes) -> Int16Array:
        """One frame as int16 (N,). Raises LinkError CORRUPT for half a sample."""
        if self._mu_law:
            return _MU_LAW[np.frombuffer(frame, np.uint8)]
        if len(frame) % 2:
            raise LinkError(Reason.CORRUPT, f"{len(frame)} bytes of 16-bit PCM")
        return np.frombuffer(frame, "<i2").astype(np.int16)

    def conceal(self, n_samples: int) -> Int16Array:
        """`n_samples` in place of what was lost."""
        return np.zeros(n_samples, np.int16)


class OpusDecoder:
    """Opus (RFC 6716), mono, through opuslib-next and the system's libopus."""

    def __init__(self, rate_hz: int) -> None:
        try:
            import opuslib_next  # noqa: PLC0415  # pyright: ignore[reportMissingImports] - an extra, and it looks for libopus when imported
        except ImportError as error:
            raise LinkError(
                Reason.NOT_AVAILABLE, "Opus needs, from the checkout: pip install -e '.[codecs]'"
            ) from error
        except Exception as error:  # it raises a bare Exception where libopus is absent
            raise LinkError(Reason.NOT_AVAILABLE, f"Opus: {error} On Debian: apt install libopus0") from error
        self.rate_hz = rate_hz
        self._decoder = opuslib_next.Decoder(rate_hz, 1)
        self._error: type[Exception] = opuslib_next.OpusError

    def decode(self, frame: bytes) -> Int16Array:
        """One packet as int16 (N,), N as the packet says. Raises LinkError CORRUPT."""
        if not frame:  # which libopus would take for a lost one
            raise LinkError(Reason.CORRUPT, "an empty Opus packet")
        return self._samples(frame, self.rate_hz * _OPUS_LONGEST_MS // 1000)

    def conceal(self, n_samples: int) -> Int16Array:
        """`n_samples` (a multiple of 2.5 ms) that go on from what was heard last."""
        return self._samples(b"", n_samples)

    def _samples(self, packet: bytes, most_samples: int) -> Int16Array:
        try:
            return np.frombuffer(self._decoder.decode(packet, most_samples), np.int16)
        except self._error as error:
            raise LinkError(Reason.CORRUPT, f"not an Opus packet ({len(packet)} bytes): {error}") from error


class Lc3Decoder:
    """LC3 (Bluetooth SIG), mono, frames of 10 ms, through liblc3's C interface.

    No Python package of liblc3 has a wheel for arm64 or sources on PyPI; three functions of its interface are called
    directly, from the system's library.
    """

    def __init__(self, rate_hz: int, frame_bytes: int, *, frame_us: int = 10_000) -> None:
        if frame_bytes not in _LC3_BYTES:
            raise LinkError(Reason.BAD_INPUT, f"LC3 has no frames of {frame_bytes} bytes")
        self.rate_hz = rate_hz
        self.frame_samples = rate_hz * frame_us // 1_000_000
        self._frame_bytes = frame_bytes
        self._library = _load_lc3()
        self._state = ctypes.create_string_buffer(self._library.lc3_decoder_size(frame_us, rate_hz))
        self._decoder = self._library.lc3_setup_decoder(frame_us, rate_hz, rate_hz, self._state)
        if not self._decoder:
            raise LinkError(Reason.BAD_INPUT, f"LC3 has no frames of {frame_us} us at {rate_hz} Hz")

    def decode(self, frame: bytes) -> Int16Array:
        """One or more whole frames as int16 (frames * frame_samples,). Raises LinkError CORRUPT."""
        if not frame or len(frame) % self._frame_bytes:
            raise LinkError(Reason.CORRUPT, f"{len(frame)} bytes are not LC3 frames of {self._frame_bytes}")
        starts = range(0, len(frame), self._frame_bytes)
        return np.concatenate([self._samples(frame[start : start + self._frame_bytes]) for start in starts])

    def conceal(self, n_samples: int) -> Int16Array:
        """`n_samples`, rounded up to whole frames, that go on from what was heard last."""
        frames = -(-n_samples // self.frame_samples)
        return np.concatenate([self._samples(None) for _ in range(frames)] or [np.zeros(0, np.int16)])

    def _samples(self, frame: bytes | None) -> Int16Array:
        pcm = np.empty(self.frame_samples, np.int16)
        done = self._library.lc3_decode(self._decoder, frame, len(frame or b""), _LC3_PCM_S16, pcm.ctypes.data, 1)
        if done < 0 or (done == 1 and frame is not None):  # 1: the frame was unreadable and has been concealed
            raise LinkError(Reason.CORRUPT, f"not an LC3 frame ({len(frame or b'')} bytes)")
        return pcm


Decoder = PcmDecoder | OpusDecoder | Lc3Decoder


def _load_lc3() -> Any:
    """liblc3 with the types of the functions used here set."""
    path = find_library("lc3")
    if path is None:
        raise LinkError(Reason.NOT_AVAILABLE, "LC3 needs the system's liblc3; on Debian: apt install liblc3-0")
    library = ctypes.CDLL(path)
    library.lc3_decoder_size.argtypes = (ctypes.c_int, ctypes.c_int)
    library.lc3_decoder_size.restype = ctypes.c_uint
    library.lc3_setup_decoder.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_void_p)
    library.lc3_setup_decoder.restype = ctypes.c_void_p
    library.lc3_decode.argtypes = (
        *(ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int),
        *(ctypes.c_int, ctypes.c_void_p, ctypes.c_int),
    )
    library.lc3_decode.restype = ctypes.c_int
    return library


def _mu_law_table() -> Int16Array:
    """All 256 codes of ITU-T G.711 mu-law as 16-bit samples (table 2b, decision values times four)."""
    code = ~np.arange(256, dtype=np.uint8)
    exponent, mantissa = (code >> 4 & 7).astype(np.int32), (code & 15).astype(np.int32)
    size = ((mantissa << 3) + 132 << exponent) - 132
    return np.where(code & 128, -size, size).astype(np.int16)


_MU_LAW = _mu_law_table()
