"""What latents and a transcript can each answer: held-out questions, sounds, pictures and tones of voice.

Backbone and request are the same for both systems; one is given latents, the other (the baseline) the transcript that
Whisper's decoder makes of the sound. Scores are those of `glasses evaluate`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from glasses.audio.sound_files import read_audio
from glasses.evaluation import pictures, probes, sounds, speech
from glasses.evaluation.bench.cascade import transcriber
from glasses.evaluation.bench.latency import SPEECH
from glasses.evaluation.degrade import with_noise
from glasses.evaluation.progress import Tick
from glasses.evaluation.subset import spread
from glasses.runtime.bundle import LoadedBundle, open_bundle
from glasses.types import Float32Array, Latents, UInt8Array

TONE_QUESTION = "Does the speaker whisper, shout or speak normally?"
TONES = {"whispered": ("whisper", "whispers", "whispering"), "shouted": ("shout", "shouts", "shouting"),
         "calm": ("calm", "calmly", "normal", "normally", "speak", "speaks", "speaking")}  # fmt: skip
_MAX_TOKENS = 24

Inputs = Sequence[Latents | str]


@dataclass(frozen=True, slots=True)
class System:
    """What the backbone is given for a sound, float32 (N,) at 16 kHz, and for a picture, uint8 (H, W, 3)."""

    sound_inputs: Callable[[Float32Array], Inputs]
    picture_inputs: Callable[[UInt8Array], Inputs]


def run(bundle: str, n_clips: int, *, tick: Tick = lambda stage, done, total: None) -> dict[str, Any]:
    """The share answered rightly by each system, of at most `n_clips` of each kind, spread over its set.

    Raises ModelError (NOT_INSTALLED, NOT_FOUND: the baseline), InputError(NOT_FOUND).
    """
    transcribe = transcriber()
    loaded = open_bundle(bundle)
    systems = {
        "latents": System(loaded.encode_audio, lambda rgb: [loaded.image_encoder.encode(rgb)]),
        "baseline": System(lambda pcm: [text] if (text := transcribe(pcm).strip()) else [], lambda rgb: []),
    }
    figures: dict[str, Any] = {}
    try:
        for done, (kind, ask) in enumerate(KINDS.items()):
            tick(kind, done, len(KINDS))
            figures[kind] = ask(loaded, systems, n_clips)
    finally:
        loaded.close()
    return figures


def report(figures: Mapping[str, Any]) -> str:
    """The figures as a table for people."""
    lines = [f"{'answered rightly':>34} {'of':>5} {'latents':>9} {'baseline':>9}"]
    for kind, row in figures.items():
        lines.append(f"{kind:>34} {row['clips']:>5} {100 * row['latents']:>8.1f}% {100 * row['baseline']:>8.1f}%")
    return "\n".join(lines)


def _shares(
    clips: Sequence[Any], systems: Mapping[str, System], right: Callable[[Any, System], bool]
) -> dict[str, Any]:
    shares = {name: sum(right(clip, system) for clip in clips) / len(clips) for name, system in systems.items()}
    return {"clips": len(clips), **{name: round(share, 4) for name, share in shares.items()}}


def _questions(
    loaded: LoadedBundle, systems: Mapping[str, System], n_clips: int, degrade: Callable[[Float32Array], Float32Array]
) -> dict[str, Any]:
    """Answered as the same question typed is: word F1 of the two answers at least speech.AGREE_F1."""

    items = spread(speech.items(SPEECH, "question"), n_clips)
    typed = {item["file"]: speech.reply(loaded, [item["text"]], _MAX_TOKENS) for item in items}

    def right(item: dict[str, str], system: System) -> bool:
        spoken = speech.reply(loaded, system.sound_inputs(degrade(read_audio(SPEECH / item["file"]))), _MAX_TOKENS)
        return speech.overlap_f1(spoken, typed[item["file"]]) >= speech.AGREE_F1

    return _shares(items, systems, right)


def _sounds(loaded: LoadedBundle, systems: Mapping[str, System], n_clips: int) -> dict[str, Any]:
    index = sounds.read_index()
    names = {sound.label: sound.accept for sound in index}

    def right(sound: sounds.Sound, system: System) -> bool:
        inputs = system.sound_inputs(read_audio(sounds.SOUNDS / sound.file))
        return sounds.said_class(speech.reply(loaded, [*inputs, sounds.QUESTION], _MAX_TOKENS), names) == sound.label

    return _shares(spread([sound for sound in index if sound.split == "held-out"], n_clips), systems, right)


def _pictures(loaded: LoadedBundle, systems: Mapping[str, System], n_clips: int) -> dict[str, Any]:
    def right(picture: pictures.Picture, system: System) -> bool:
        text = speech.reply(loaded, [*system.picture_inputs(picture.rgb), pictures.QUESTION], _MAX_TOKENS)
        return pictures.hits(text, picture.accept)

    return _shares(spread(list(pictures.read_pictures()), n_clips), systems, right)


def said_tone(answer: str) -> str | None:
    """The tone that is named first, of TONES; None where none is."""
    found = [
        (match.start(), tone)
        for tone, words in TONES.items()
        if (match := re.search(rf"\b({'|'.join(words)})\b", answer.lower()))
    ]
    return min(found)[1] if found else None


def _tones(loaded: LoadedBundle, systems: Mapping[str, System], n_clips: int) -> dict[str, Any]:
    """One in three by chance."""

    def right(row: dict[str, str], system: System) -> bool:
        inputs = system.sound_inputs(read_audio(probes.TONES / row["file"]))
        return said_tone(speech.reply(loaded, [*inputs, TONE_QUESTION], _MAX_TOKENS)) == row["tone"]

    return _shares(spread(probes.read_tones(), n_clips), systems, right)


KINDS: dict[str, Callable[[LoadedBundle, Mapping[str, System], int], dict[str, Any]]] = {
    "spoken questions": lambda loaded, systems, n: _questions(loaded, systems, n, lambda pcm: pcm),
    "spoken questions, 10 dB noise": lambda loaded, systems, n: _questions(loaded, systems, n, with_noise),
    "what is this sound?": _sounds,
    "what is in view?": _pictures,
    "in which tone is it said?": _tones,
}
