"""Reads sound and picture files into plain arrays, and writes WAV files.

Everything that can be wrong with a user's file is found here and raised as an InputError that says what is wrong, with
which file, and what to do. Sizes are checked from the header before anything is allocated, and again while reading,
because headers lie.
"""

from __future__ import annotations

import errno
import io
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from glasses.errors import InputError, Reason
from glasses.types import Float32Array, UInt8Array

MAX_AUDIO_S = 600.0
MAX_PIXELS = 25_000_000  # 75 MB of RGB; a larger baseline JPEG is decoded at 1/2, 1/4 or 1/8 of its size
MAX_IMAGE_FILE_BYTES = 256 << 20
SILENCE_DBFS = -70.0  # RMS of the loudest 20 ms; 16-bit dither lies near -96, a quiet room's microphone near -60

_BLOCK_SAMPLES = 1 << 18
_RATES_HZ = (1_000, 768_000)
# A recorder that writes to a pipe cannot know the length and leaves the largest number of 31 or 32 bits there.
_STREAMED_BYTES = 0x7FFF_0000
_DECLARED_LENGTH = re.compile(r": (\d+) \(should be (\d+)\)")  # libsndfile's log of a header that says too much
_MPEG_LENGTH_ERROR_S = 0.25  # the length of an MP3 is an estimate
_REDUCED = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
_IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")  # what both Pillow and OpenCV read
_IMAGE_HINT = "use a JPEG, PNG, WebP, GIF, BMP, TIFF or PPM picture"
_AUDIO_HINT = "use WAV, FLAC, OGG, Opus, MP3 or AIFF, or convert it: ffmpeg -i {name} out.wav"


def read_audio(path: str | Path, *, rate_hz: int = 16_000, max_s: float = MAX_AUDIO_S) -> Float32Array:
    """The sound in `path` as float32 mono (N,) at `rate_hz`, full scale +-1; channels are averaged.

    Memory stays at the result plus one block, whatever the file's rate and channels.
    Raises InputError: NOT_FOUND, BAD_INPUT (no sound file, empty, NaN), TOO_LARGE (over `max_s` seconds),
    CORRUPT (cut short or damaged).
    """
    path = _regular_file(path)
    hint = _AUDIO_HINT.format(name=path.name)
    if path.suffix.lower() == ".raw":
        raise InputError(Reason.BAD_INPUT, f"{path} is raw samples without a header, so their rate is unknown; {hint}")
    try:
        with soundfile.SoundFile(path) as sound:
            _check_sound_header(sound, path, max_s)
            resampler = soxr.ResampleStream(sound.samplerate, rate_hz, 1, dtype="float32")
            mono = [resampler.resample_chunk(block) for block in _mono_blocks(sound, path, max_s)]
            mono.append(resampler.resample_chunk(np.zeros(0, np.float32), last=True))
    except soundfile.LibsndfileError as error:
        if error.code == 1:  # SF_ERR_UNRECOGNISED_FORMAT
            raise InputError(
                Reason.BAD_INPUT, f"{path} is not a sound file of a known format, or damaged; {hint}"
            ) from error
        raise InputError(
            Reason.CORRUPT, f"{path} is damaged or cut short ({error.error_string}); copy it again"
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


def read_image(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> UInt8Array:
    """The picture in `path` as uint8 (H, W, 3) RGB, upright as its EXIF orientation says, transparency on white.

    A baseline JPEG over `max_pixels` is decoded at a half, a quarter or an eighth of its size; any other picture
    over it is refused, because it would have to be in memory whole. The first picture of an animation is taken.
    A picture with transparency is not turned (OpenCV keeps its alpha channel only as stored).
    Raises InputError: NOT_FOUND, BAD_INPUT (no picture), TOO_LARGE, CORRUPT (cut short or damaged).
    """
    path = _regular_file(path)
    if path.stat().st_size > MAX_IMAGE_FILE_BYTES:
        raise InputError(Reason.TOO_LARGE, f"{path} has over {MAX_IMAGE_FILE_BYTES:,} bytes; make it smaller")
    return decode_image(path.read_bytes(), path, max_pixels=max_pixels)


def decode_image(data: bytes, path: str | Path, *, max_pixels: int = MAX_PIXELS) -> UInt8Array:
    """As `read_image`, of the bytes of a picture; `path` is what errors call it."""
    path = Path(path)
    header = _image_header(data, path)
    reduce_by = _reduction(header, path, max_pixels)
    if _is_cut_short(data):
        raise InputError(Reason.CORRUPT, f"{path} is cut short: its end is missing; copy it again")
    flags = cv2.IMREAD_UNCHANGED if header.has_transparency_data else _REDUCED[reduce_by]
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise InputError(Reason.CORRUPT, f"{path} cannot be decoded ({error.err}); {_IMAGE_HINT}") from error
    if picture is None:
        raise InputError(Reason.CORRUPT, f"{path} is damaged or of a kind that cannot be decoded; {_IMAGE_HINT}")
    return _rgb(np.asarray(picture))


def _regular_file(path: str | Path) -> Path:
    path = Path(path)
    if path.is_dir():
        raise InputError(Reason.BAD_INPUT, f"{path} is a folder; name a file in it")
    if not path.exists():
        raise InputError(Reason.NOT_FOUND, f"there is no file {path}; check the name and the folder")
    if not path.is_file():
        raise InputError(Reason.BAD_INPUT, f"{path} is a device or a pipe; save it to a file first")
    if not os.access(path, os.R_OK):
        raise InputError(Reason.BAD_INPUT, f"{path} may not be read by this user; change its permissions")
    if path.stat().st_size == 0:
        raise InputError(Reason.BAD_INPUT, f"{path} is empty (0 bytes); record or copy it again")
    return path


def _check_sound_header(sound: soundfile.SoundFile, path: Path, max_s: float) -> None:
    if not _RATES_HZ[0] <= sound.samplerate <= _RATES_HZ[1]:
        raise InputError(Reason.BAD_INPUT, f"{path} says its rate is {sound.samplerate} Hz; that is no sound rate")
    if sound.frames == 0:
        raise InputError(Reason.BAD_INPUT, f"{path} holds no samples; the recorder may not have finished the file")
    _check_duration(sound.frames, sound.samplerate, path, max_s)
    for declared, real in _DECLARED_LENGTH.findall(sound.extra_info):
        if int(real) < int(declared) < _STREAMED_BYTES:
            raise InputError(
                Reason.CORRUPT, f"{path} is cut short: {real} of {declared} bytes are there; copy or record it again"
            )


def _check_duration(frames: int, rate_hz: int, path: Path, max_s: float) -> None:
    if frames > max_s * rate_hz:
        raise InputError(
            Reason.TOO_LARGE,
            f"{path} is {frames / rate_hz:.0f} s long or longer, the cap is {max_s:.0f} s; cut it: "
            f"ffmpeg -i {path.name} -t {max_s:.0f} out.wav",
        )


def _mono_blocks(sound: soundfile.SoundFile, path: Path, max_s: float) -> Iterator[Float32Array]:
    """The sound block by block, float32 (n,), channels averaged."""
    frames = 0
    while len(block := sound.read(max(1, _BLOCK_SAMPLES // sound.channels), dtype="float32", always_2d=True)):
        frames += len(block)
        _check_duration(frames, sound.samplerate, path, max_s)
        if not np.isfinite(block).all():
            raise InputError(Reason.BAD_INPUT, f"{path} holds NaN or infinite samples; export it again")
        yield block.mean(axis=1)
    if sound.frames - frames > _MPEG_LENGTH_ERROR_S * sound.samplerate:
        raise InputError(
            Reason.CORRUPT, f"{path} is cut short: {frames} of {sound.frames} samples are there; copy it again"
        )


def _image_header(data: bytes, path: Path) -> Image.Image:
    """Pillow's lazily opened picture: size and mode are known, nothing is decoded."""
    try:
        with warnings.catch_warnings():
            # It warns of sizes that our lower cap refuses next, and of damage that the decoder meets if it matters.
            warnings.simplefilter("ignore")
            return Image.open(io.BytesIO(data), formats=_IMAGE_FORMATS)
    except UnidentifiedImageError as error:
        raise InputError(
            Reason.BAD_INPUT, f"{path} is not a picture of a known format, or damaged; {_IMAGE_HINT}"
        ) from error
    except Image.DecompressionBombError as error:
        raise InputError(Reason.TOO_LARGE, f"{path} is far too large ({error}); make it smaller") from error
    except (OSError, ValueError, SyntaxError) as error:  # what Pillow's parsers raise on a broken header
        raise InputError(Reason.CORRUPT, f"{path} has a damaged header ({error}); copy it again") from error


def _reduction(header: Image.Image, path: Path, max_pixels: int) -> int:
    """By what to divide the sides while decoding. Raises InputError(TOO_LARGE)."""
    width, height = header.size
    # A progressive JPEG holds all its coefficients in memory, however small the picture that is made of them.
    can_reduce = header.format in ("JPEG", "MPO") and not header.info.get("progressive")
    for by in (1, 2, 4, 8) if can_reduce else (1,):
        if -(-width // by) * -(-height // by) <= max_pixels:
            return by
    raise InputError(
        Reason.TOO_LARGE,
        f"{path} is {width} x {height}, over the cap of {max_pixels:,} pixels; make it smaller",
    )


def _is_cut_short(data: bytes) -> bool:
    """Whether a JPEG or PNG lacks its end: OpenCV would fill the rest with grey and say nothing."""
    if data.startswith(b"\x89PNG"):
        return b"IEND" not in data
    if not data.startswith(b"\xff\xd8"):
        return False
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:  # segments up to the first scan
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return data.find(b"\xff\xd9", at) < 0  # ITU T.81 B.1.1.5: coded data never contains an end-of-image marker


def _rgb(picture: NDArray[Any]) -> UInt8Array:
    """OpenCV's grey, BGR or BGRA picture of 8 or 16 bits as uint8 (H, W, 3) RGB, transparency on white."""
    if picture.dtype == np.uint16:
        picture = (picture >> 8).astype(np.uint8)
    if picture.ndim == 2:
        return np.repeat(picture[:, :, None], 3, axis=2)
    rgb = np.ascontiguousarray(picture[:, :, 2::-1])
    if picture.shape[2] == 3:
        return rgb
    alpha = picture[:, :, 3:].astype(np.uint16)
    return ((rgb * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
