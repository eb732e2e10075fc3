"""Sounds in which the question is lost: in pauses, behind wrong lengths, between channels; other kinds of file."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np

from glasses.types import Float32Array
from tests.wild.case import Case
from tests.wild.sounds import (
    asked,
    channels,
    encoded,
    filled,
    france,
    hears,
    other_question,
    split,
    thing,
    with_bytes,
)

_PARIS = r"^The capital of France is Paris\.$"
_PARIS_WITH_NOTE = r"^the sound is (cut short|longer).*The capital of France is Paris\.$"
_M4A = b"\0\0\0\x20ftypM4A \0\0\0\0M4A mp42isom" + bytes(200)


def _hears(kind: int, name: str, right: str, make: Callable[[], bytes | Float32Array], is_listed: bool = False) -> Case:
    return Case(kind, name, right, hears(make), is_listed)


def _joined(*sounds: Float32Array) -> Float32Array:
    return np.concatenate(sounds)


def _sized(kind: str, at: int, form: str, value: int) -> bytes:
    """The question with another length in the header."""
    return with_bytes(encoded(france(), kind), at, struct.pack(form, value))


def _caf() -> bytes:
    caf = encoded(france(), "CAF")
    return with_bytes(caf, caf.find(b"data") + 4, b"\xff" * 8)


def _flac() -> bytes:
    flac = encoded(france(), "FLAC")
    return with_bytes(flac, 18, struct.pack(">Q", struct.unpack_from(">Q", flac, 18)[0] >> 36 << 36))


def _cut(kind: str, kept: float, subtype: str | None = None) -> bytes:
    data = encoded(_joined(france(), other_question()), kind, subtype)
    return data[: round(kept * len(data))]


def _beside(music: str, *, is_first: bool = False) -> bytes:
    """The question quiet on one channel, loud music on the other."""
    loud = thing(music) / np.abs(thing(music)).max() * 0.9
    quiet = 0.1 * france()
    return channels(np.resize(loud, len(quiet)), quiet) if is_first else channels(quiet, loud)


CASES = [
    _hears(4, "cut1.53-pause2", _PARIS, lambda: split(1.53, filled(2)), True),
    _hears(4, "lead-zero-13", _PARIS, lambda: _joined(filled(13), france()), True),
    _hears(4, "lead-noise-25", _PARIS, lambda: _joined(filled(25, -50), france())),
    _hears(4, "pause-4-of-noise", _PARIS, lambda: split(0.5, filled(4, -60))),
    _hears(4, "tail-45", _PARIS, lambda: _joined(france(), filled(45))),
    Case(4, "dog-then-silence", "dog|bark", hears(lambda: _joined(thing("dog-0"), filled(40)), "What is this sound?")),
    _hears(10, "silent", "I hear nothing", lambda: filled(3)),
    _hears(13, "hdr-data-size-0", _PARIS, lambda: _sized("WAV", 40, "<I", 0), True),
    _hears(13, "hdr-data-8-too-long", _PARIS, lambda: _sized("WAV", 40, "<I", 2 * len(france()) + 8), True),
    _hears(13, "hdr-data-half", _PARIS_WITH_NOTE, lambda: _sized("WAV", 40, "<I", len(france())), True),
    _hears(13, "10pct-missing", _PARIS_WITH_NOTE, lambda: encoded(france())[:-9_000], True),
    _hears(13, "flac-of-unknown-length", _PARIS, _flac, True),
    _hears(13, "caf-unknown", _PARIS, _caf, True),
    _hears(13, "ogg-cut", "^the sound is cut short", lambda: _cut("OGG", 0.7, "OPUS"), True),
    _hears(13, "mp3-cut", r"^the sound is cut short.*of 5\.\d s", lambda: _cut("MP3", 0.8), True),
    _hears(
        13,
        "ogg-chained-two-questions",
        "^.+$",
        lambda: encoded(filled(1, -60), "OGG", "VORBIS") + encoded(france(), "OGG", "VORBIS"),
        True,
    ),
    _hears(13, "au-says-0", _PARIS, lambda: _sized("AU", 8, ">I", 0)),
    _hears(13, "wave64-says-0", _PARIS, lambda: _sized("W64", 96, "<Q", 0)),
    _hears(13, "rf64-far-too-long", _PARIS, lambda: _sized("RF64", 28, "<Q", 1 << 40)),
    _hears(13, "flac-cut", "^the sound is cut short", lambda: _cut("FLAC", 0.6)),
    _hears(13, "wav-behind-wav", _PARIS, lambda: encoded(filled(0.5, -60)) + encoded(france())),
    Case(
        13,
        "note-on-the-command-line",
        r'"notes": \["[^"]*a\.wav is longer than its header says',
        asked(lambda: _sized("WAV", 40, "<I", len(france())), "a.wav", "--json"),
    ),
    _hears(16, "stereo-antiphase", _PARIS, lambda: channels(france(), -france()), True),
    _hears(16, "voice-beside-music", _PARIS, lambda: _beside("drums-0"), True),
    _hears(16, "music-beside-voice", _PARIS, lambda: _beside("violin-0", is_first=True)),
    _hears(16, "antiphase-weaker", _PARIS, lambda: channels(france(), -0.6 * france())),
    _hears(
        16, "six-channels-one-voice", _PARIS, lambda: channels(*[filled(3)[: len(france())]] * 4, france(), filled(3))
    ),
    _hears(17, "floats-as-large-as-16-bits", _PARIS, lambda: encoded(france() * 32_768, "WAV", "FLOAT")),
    _hears(17, "doubles-100-times-too-loud", _PARIS, lambda: encoded(france() * 100, "AIFF", "DOUBLE")),
    Case(12, "m4a", r"M4A.*ffmpeg -i '.*my memo\.wav'", asked(lambda: _M4A, "my memo.wav"), True),
    Case(12, "webm", "Matroska or WebM.*take its sound", hears(lambda: b"\x1a\x45\xdf\xa3" + bytes(200)), True),
    Case(12, "amr", "AMR.*convert it to WAV$", hears(lambda: b"#!AMR\n" + bytes(200)), True),
    Case(12, "midi", "MIDI.*notes", hears(lambda: b"MThd\0\0\0\6\0\1" + bytes(200))),
    Case(12, "picture-given-as-sound", r"is a picture \(JPEG\)", hears(lambda: b"\xff\xd8\xff\xe0" + bytes(200))),
    Case(12, "flac-named-raw", r"Paris", asked(lambda: encoded(france(), "FLAC"), "a.raw")),
]
