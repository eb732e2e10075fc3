"""Reads sound files into plain arrays, and writes WAV files.

Everything that can be wrong with a user's sound is found here and raised as an InputError that says what is wrong, with
which file, and what to do. Sizes are checked from the header before anything is allocated, and again while reading,
because headers lie.
"""

from __future__ import annotations

import errno
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from glasses.errors import InputError, Reason
from glasses.media.files import OnNote, log_note, regular_file
from glasses.types import Float32Array

MAX_AUDIO_S = 600.0
SILENCE_DBFS = -70.0  # RMS of the loudest 20 ms; 16-bit dither lies near -96, a quiet room's microphone near -60

_BLOCK_SAMPLES = 1 << 18
_RATES_HZ = (1_000, 768_000)
# A recorder that writes to a pipe cannot know the length and leaves the largest number of 31 or 32 bits there.
_STREAMED_BYTES = 0x7FFF_0000
_DECLARED_LENGTH = re.compile(r": (\d+) \(should be (\d+)\)")  # libsndfile's log of a header that says too much
_MPEG_LENGTH_ERROR_S = 0.25  # the length of an MP3 is an estimate
_AUDIO_HINT = "use WAV, FLAC, OGG, Opus, MP3 or AIFF, or convert it: ffmpeg -i {name} out.wav"


def read_audio(
    path: str | Path, *, rate_hz: int = 16_000, max_s: float = MAX_AUDIO_S, on_note: OnNote = log_note
) -> Float32Array:
    """The sound in `path` as float32 mono (N,) at `rate_hz`, full scale +-1; channels are averaged.

    Memory stays at the result plus one block, whatever the file's rate and channels. `on_note` gets notes in words of
    what is missing or was left out.
    Raises InputError: NOT_FOUND, BAD_INPUT (no sound file, empty, NaN), TOO_LARGE (over `max_s` seconds),
    CORRUPT (cut short or damaged).
    """
    path = regular_file(path)
    if path.suffix.lower() == ".raw":
        hint = _AUDIO_HINT.format(name=path.name)
        raise InputError(Reason.BAD_INPUT, f"{path} is raw samples without a header, so their rate is unknown; {hint}")
    return _decode(path, str(path), rate_hz, max_s, on_note)


def decode_audio(
    data: bytes, name: str, *, rate_hz: int = 16_000, max_s: float = MAX_AUDIO_S, on_note: OnNote = log_note
) -> Float32Array:
    """As `read_audio`, of the bytes of a sound file; `name` is what errors and notes call it."""
    if not data:
        raise InputError(Reason.BAD_INPUT, f"{name} is empty (0 bytes)")
    return _decode(io.BytesIO(data), name, rate_hz, max_s, on_note)


def _decode(source: Path | io.BytesIO, name: str, rate_hz: int, max_s: float, on_note: OnNote) -> Float32Array:
    try:
        with soundfile.SoundFile(source) as sound:
            _check_sound_header(sound, name, max_s)
            resampler = soxr.ResampleStream(sound.samplerate, rate_hz, 1, dtype="float32")
            mono = [resampler.resample_chunk(block) for block in _mono_blocks(sound, name, max_s)]
            mono.append(resampler.resample_chunk(np.zeros(0, np.float32), last=True))
    except soundfile.LibsndfileError as error:
        if error.code == 1:  # SF_ERR_UNRECOGNISED_FORMAT
            hint = _AUDIO_HINT.format(name=name)
            raise InputError(
                Reason.BAD_INPUT, f"{name} is not a sound file of a known format, or damaged; {hint}"
            ) from error
        raise InputError(
            Reason.CORRUPT, f"{name} is damaged or cut short ({error.error_string}); copy it again"
        ) from error
    return np.concatenate(mono)


def is_silent(pcm: Float32Array, *, rate_hz: int = 16_000) -> bool:
    """Whether no 20 ms of float32 (N,) `pcm` are louder than SILENCE_DBFS; a constant offset is not sound."""
    window = max(1, rate_hz // 50)
    whole = pcm[: len(pcm) // window * window].reshape(-1, window) if len(pcm) >= window else pcm.reshape(1, -1)
    if whole.size == 0:
        return True
    rms = np.sqrt(np.mean(np.square(whole - pcm.mean()), axis=1))
    return bool(rms.max() < 10 ** (SILENCE_DBFS / 20))


def write_wav(path: str | Path, pcm: Float32Array, rate_hz: int) -> None:
    """Writes float32 mono (N,) as 16-bit PCM, clipped to +-1; the file appears whole or not at all.

    Raises InputError: BAD_INPUT (shape, NaN), NOT_FOUND (no such folder), NO_SPACE.
    """
    path = Path(path)
    if pcm.ndim != 1 or not np.isfinite(pcm).all():
        raise InputError(Reason.BAD_INPUT, f"sound for {path} must be finite and of shape (N,), not {pcm.shape}")
    encoded = io.BytesIO()
    soundfile.write(encoded, np.clip(pcm, -1.0, 1.0), rate_hz, format="WAV", subtype="PCM_16")
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as out:
            out.write(encoded.getbuffer())
            out.flush()
            os.fsync(out.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        reason = {errno.ENOSPC: Reason.NO_SPACE, errno.ENOENT: Reason.NOT_FOUND}.get(error.errno or 0, Reason.BAD_INPUT)
        raise InputError(reason, f"cannot write {path}: {error.strerror}") from error


def _check_sound_header(sound: soundfile.SoundFile, name: str, max_s: float) -> None:
    if not _RATES_HZ[0] <= sound.samplerate <= _RATES_HZ[1]:
        raise InputError(Reason.BAD_INPUT, f"{name} says its rate is {sound.samplerate} Hz; that is no sound rate")
    if sound.frames == 0:
        raise InputError(Reason.BAD_INPUT, f"{name} holds no samples; the recorder may not have finished the file")
    _check_duration(sound.frames, sound.samplerate, name, max_s)
    for declared, real in _DECLARED_LENGTH.findall(sound.extra_info):
        if int(real) < int(declared) < _STREAMED_BYTES:
            raise InputError(
                Reason.CORRUPT, f"{name} is cut short: {real} of {declared} bytes are there; copy or record it again"
            )


def _check_duration(frames: int, rate_hz: int, name: str, max_s: float) -> None:
    if frames > max_s * rate_hz:
        raise InputError(
            Reason.TOO_LARGE,
            f"{name} is {frames / rate_hz:.0f} s long or longer, the cap is {max_s:.0f} s; cut it: "
            f"ffmpeg -i {name} -t {max_s:.0f} out.wav",
        )


def _mono_blocks(sound: soundfile.SoundFile, name: str, max_s: float) -> Iterator[Float32Array]:
    """The sound block by block, float32 (n,), channels averaged."""
    frames = 0
    while len(block := sound.read(max(1, _BLOCK_SAMPLES // sound.channels), dtype="float32", always_2d=True)):
        frames += len(block)
        _check_duration(frames, sound.samplerate, name, max_s)
        if not np.isfinite(block).all():
            raise InputError(Reason.BAD_INPUT, f"{name} holds NaN or infinite samples; export it again")
        yield block.mean(axis=1)
    if sound.frames - frames > _MPEG_LENGTH_ERROR_S * sound.samplerate:
        raise InputError(
            Reason.CORRUPT, f"{name} is cut short: {frames} of {sound.frames} samples are there; copy it again"
        )
