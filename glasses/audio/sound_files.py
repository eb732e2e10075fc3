"""Reads sound files into plain arrays, and writes WAV files.

Everything that can be wrong with a user's sound is found here. What cannot be read is an InputError that says what is
wrong, with which file, and what to do; what is missing of a sound that can be read is a note. The bytes decide: a name
may say anything, and so may a length in a header. Sizes are checked before and while reading.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from glasses.audio.channels import levels, weights_of
from glasses.audio.sound_lengths import parts_of
from glasses.audio.sound_part import Part
from glasses.audio.speech_count import count_speech
from glasses.errors import InputError, Reason
from glasses.media.files import OnNote, log_note, regular_file
from glasses.media.kinds import cannot_read, kind_of, with_command
from glasses.media.native_output import native_output_to_log
from glasses.types import Float32Array

MAX_AUDIO_S = 600.0
MAX_CHANNELS = 64
SILENCE_DBFS = -70.0  # RMS of the loudest 20 ms; 16-bit dither lies near -96, a quiet room's microphone near -60

_FULL_SCALE = 2.0  # floats over that were written in another scale, as of 16-bit numbers, and are brought to 1
_BLOCK_SAMPLES = 1 << 18
_RATES_HZ = (1_000, 768_000)
_MAX_COPY_BYTES = 1 << 30  # of a file whose header is wrong: a copy with a right one is made in memory
_KINDS = ("WAV", "RF64", "BW64", "Wave64", "AIFF", "IFF", "AU", "CAF", "FLAC", "Ogg", "MP3")
_BELIEVED_S = 86_400.0  # a longer length in a header is no length
_LENGTH_ERROR_S = 0.25  # the length of an MP3 is an estimate
_HINT = "use WAV, FLAC, OGG, Opus, MP3 or AIFF, or convert it"


def read_audio(
    path: str | Path, *, rate_hz: int = 16_000, max_s: float = MAX_AUDIO_S, on_note: OnNote = log_note
) -> Float32Array:
    """The sound in `path` as float32 mono (N,) at `rate_hz`, full scale +-1.

    Several channels are averaged, unless they cancel or the voice is on one of them (see `channels`). Several
    recordings in one file follow each other. Memory stays at the result plus one block, whatever the file's rate and
    channels. `on_note` gets notes in words of what is missing.
    Raises InputError: NOT_FOUND, BAD_INPUT (no sound file, empty, NaN), TOO_LARGE (over `max_s` seconds),
    CORRUPT (damaged so that nothing is left).
    """
    path = regular_file(path)
    try:
        with path.open("rb") as file:
            return _Reader(str(path), path, rate_hz, max_s, on_note).read(file.fileno())
    except OSError as error:
        raise InputError(Reason.BAD_INPUT, f"{path} cannot be read: {error.strerror}") from error


def decode_audio(
    data: bytes, name: str, *, rate_hz: int = 16_000, max_s: float = MAX_AUDIO_S, on_note: OnNote = log_note
) -> Float32Array:
    """As `read_audio`, of the bytes of a sound file; `name` is what errors and notes call it."""
    if not data:
        raise InputError(Reason.BAD_INPUT, f"{name} is empty (0 bytes)")
    with _in_memory([data]) as fd:
        return _Reader(name, None, rate_hz, max_s, on_note).read(fd)


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


@contextmanager
def _in_memory(pieces: Iterator[bytes] | list[bytes]) -> Iterator[int]:
    """A file in memory with these bytes: libsndfile reads files, and calling back into Python it would lose Ctrl-C."""
    fd = os.memfd_create("sound")
    try:
        with os.fdopen(os.dup(fd), "wb") as out:
            out.writelines(pieces)
        yield fd
    finally:
        os.close(fd)


class _Reader:
    """Reads one file; `name` is what errors and notes call it, `path` what advice on converting it names."""

    def __init__(self, name: str, path: Path | None, rate_hz: int, max_s: float, on_note: OnNote) -> None:
        self._name, self._path, self._rate_hz, self._max_s, self._on_note = name, path, rate_hz, max_s, on_note

    def read(self, fd: int) -> Float32Array:
        """The whole sound."""
        size = os.fstat(fd).st_size
        kind = kind_of(os.pread(fd, 4096, 0))
        if kind and kind.name not in _KINDS:
            raise cannot_read(kind, "sound", self._name, self._path)
        heard: list[Float32Array] = []
        for part in parts_of(kind.name if kind else "", lambda at, n: os.pread(fd, n, at), size):
            if part.note:
                self._on_note(f"{self._name} {part.note}")
            if part.first == 0 and part.end == size and not part.patches:
                heard += self._part(fd, part)
            else:
                with self._copied(fd, part) as copy:
                    heard += self._part(copy, part)
            self._check_duration(sum(map(len, heard)), self._rate_hz)
        pcm = np.concatenate(heard)
        peak = np.abs(pcm).max(initial=0)
        return pcm / peak if peak > _FULL_SCALE else pcm

    @contextmanager
    def _copied(self, fd: int, part: Part) -> Iterator[int]:
        """A copy of one part with its lengths put right."""
        if part.end - part.first > _MAX_COPY_BYTES:
            raise InputError(Reason.TOO_LARGE, f"{self._name} says a wrong length and is too large to be repaired")
        copied = (os.pread(fd, min(1 << 20, part.end - at), at) for at in range(part.first, part.end, 1 << 20))
        with _in_memory(copied) as copy:
            for at, value in part.patches:
                os.pwrite(copy, value, at - part.first)
            yield copy

    def _part(self, fd: int, part: Part) -> list[Float32Array]:
        """The sound of one recording, in blocks at the wanted rate."""
        with self._opened(fd) as sound:
            rate_hz, n_channels, declared = sound.samplerate, sound.channels, part.frames or sound.frames
            self._check_header(sound)
        weights = self._weights(fd, n_channels)
        resampler = soxr.ResampleStream(rate_hz, self._rate_hz, 1, dtype="float32")
        out, frames = [], 0
        for block in self._blocks(fd):
            frames += len(block)
            self._check_duration(frames, rate_hz)
            if not np.isfinite(block).all():
                raise InputError(Reason.BAD_INPUT, f"{self._name} holds NaN or infinite samples; export it again")
            out.append(resampler.resample_chunk(np.ascontiguousarray(block @ weights)))
        if not frames:
            raise InputError(
                Reason.CORRUPT, f"{self._name} holds no sound that can be decoded; it is damaged or cut short"
            )
        out.append(resampler.resample_chunk(np.zeros(0, np.float32), last=True))
        if frames + _LENGTH_ERROR_S * rate_hz < declared < _BELIEVED_S * rate_hz and not part.note:
            self._on_note(
                f"{self._name} is cut short or damaged: {frames / rate_hz:.1f} of {declared / rate_hz:.1f} s are there"
            )
        return out

    def _weights(self, fd: int, n_channels: int) -> NDArray[np.float32]:
        """How the channels are summed."""
        if n_channels == 1:
            return np.ones(1, np.float32)
        measured = levels((np.nan_to_num(block) for block in self._blocks(fd)), n_channels)
        with self._opened(fd) as sound:
            rate_hz = sound.samplerate
        return weights_of(measured, lambda candidates: count_speech(self._blocks(fd), rate_hz, candidates, measured))

    def _blocks(self, fd: int) -> Iterator[Float32Array]:
        """The sound block by block, float32 (n, C), to its end or to where it is damaged."""
        frames = 0
        with self._opened(fd) as sound:
            while True:
                block = np.full((max(1, _BLOCK_SAMPLES // sound.channels), sound.channels), np.nan, np.float32)
                is_damaged = False
                try:
                    with native_output_to_log():
                        n = len(sound.read(dtype="float32", always_2d=True, out=block))
                except soundfile.LibsndfileError:
                    # What was decoded before the damage is there all the same. Past the end of a FLAC of unknown
                    # length, seeking is such an error too.
                    missing = np.isnan(block).all(axis=1)
                    n, is_damaged = int(missing.argmax()) if missing.any() else len(block), True
                frames += n
                if n:
                    yield block[:n]
                if is_damaged or n < len(block) or frames > self._max_s * sound.samplerate:
                    return

    @contextmanager
    def _opened(self, fd: int) -> Iterator[soundfile.SoundFile]:
        os.lseek(fd, 0, os.SEEK_SET)
        try:
            with native_output_to_log():
                sound = soundfile.SoundFile(os.dup(fd))
        except soundfile.LibsndfileError as error:
            if error.code == 1:  # SF_ERR_UNRECOGNISED_FORMAT
                raise self._unknown() from error
            raise InputError(
                Reason.CORRUPT, f"{self._name} is damaged or cut short ({error.error_string}); copy it again"
            ) from error
        with sound:
            yield sound

    def _unknown(self) -> InputError:
        if self._path and self._path.suffix.lower() in (".raw", ".pcm"):
            why = "is raw samples without a header, so their rate is unknown"
        else:
            why = "is not a sound file of a known format, or damaged"
        hint = with_command(_HINT, "ffmpeg -i {file} sound.wav", self._path)
        return InputError(Reason.BAD_INPUT, f"{self._name} {why}; {hint}")

    def _check_header(self, sound: soundfile.SoundFile) -> None:
        if not _RATES_HZ[0] <= sound.samplerate <= _RATES_HZ[1]:
            raise InputError(
                Reason.BAD_INPUT, f"{self._name} says its rate is {sound.samplerate} Hz; that is no sound rate"
            )
        if sound.channels > MAX_CHANNELS:
            raise InputError(Reason.TOO_LARGE, f"{self._name} has {sound.channels} channels, the cap is {MAX_CHANNELS}")
        if sound.frames == 0:
            raise InputError(
                Reason.BAD_INPUT, f"{self._name} holds no samples; the recorder may not have finished the file"
            )
        if sound.format in ("WAV", "WAVEX", "AIFF", "AU", "W64", "RF64"):  # of whose bytes the length is known
            self._check_duration(sound.frames, sound.samplerate)

    def _check_duration(self, frames: int, rate_hz: int) -> None:
        if frames > self._max_s * rate_hz:
            cut = with_command("cut it", f"ffmpeg -i {{file}} -t {self._max_s:.0f} sound.wav", self._path)
            raise InputError(
                Reason.TOO_LARGE,
                f"{self._name} is {frames / rate_hz:.0f} s long or longer, the cap is {self._max_s:.0f} s; {cut}",
            )
