"""Which held-out sounds are still named when they come from the latent memory, at once and after minutes.

Each clip is fed to the memory as the microphone would, in 20 ms chunks; then time passes, and "What is this sound?" is
asked about what the memory gives. `views` adds which pictures the view filter keeps.
The clips and the rule are those of `glasses evaluate --only sounds`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from glasses.assistant.answer import Times, answer
from glasses.audio.sound_files import read_audio
from glasses.evaluation.bench import views
from glasses.evaluation.progress import Tick
from glasses.evaluation.sounds import QUESTION, SOUNDS, read_index, said_class
from glasses.evaluation.subset import spread
from glasses.memory.latent_memory import LatentMemory
from glasses.memory.sound_segmenter import SoundSegmenter
from glasses.runtime.bundle import LoadedBundle, open_bundle
from glasses.runtime.modalities import memory_policies
from glasses.types import NS_PER_S, SAMPLE_RATE_HZ, AudioChunk, Float32Array, Latents, Turn

AGES_S = (5, 120, 900)  # one for each tier of the memory
_CHUNK = SAMPLE_RATE_HZ // 50


def run(bundle: str, n_clips: int, *, tick: Tick = lambda stage, done, total: None) -> dict[str, Any]:
    """Share of clips whose class is named: heard directly, and from memory by age; MB a minute of sound takes there."""
    loaded = open_bundle(bundle)
    index = [sound for sound in read_index() if sound.split == "held-out"]
    names = {sound.label: sound.accept for sound in index}
    clips = spread(index, n_clips)
    hits: dict[str, int] = {}
    for i, sound in enumerate(clips):
        tick("sounds", i, len(clips))
        pcm = read_audio(SOUNDS / sound.file)
        given: dict[str, tuple[Latents, ...]] = {"heard directly": loaded.encode_audio(pcm)}
        for age_s in AGES_S:
            memory = remembered(loaded, pcm)
            now_ns = memory.span_ns[1] + age_s * NS_PER_S if memory.span_ns else 0
            memory.age(now_ns)
            given[f"from memory after {age_s} s"] = memory.recall("sound", now_ns, within_s=2 * age_s)
        for how, latents in given.items():
            text = _answer(loaded, latents) if latents else ""
            hits[how] = hits.get(how, 0) + (said_class(text, names) == sound.label)
    minute = np.tile(0.1 * np.random.default_rng(0).standard_normal(SAMPLE_RATE_HZ).astype(np.float32), 60)
    megabytes = remembered(loaded, minute).n_bytes / 1e6
    loaded.close()
    shares = {how: round(n / len(clips), 3) for how, n in hits.items()}
    return {"clips": len(clips), "named": shares, "mb_a_minute": round(megabytes, 2), "views": views.run(tick=tick)}


def remembered(loaded: LoadedBundle, pcm: Float32Array) -> LatentMemory:
    """A memory that was fed float32 (N,) sound from time 0, with a second of silence after it."""
    memory = LatentMemory(memory_policies())
    segmenter = SoundSegmenter(memory, lambda pcm, t_ns: (loaded.sound_encoder.encode(pcm, t_ns),))
    whole = np.pad(pcm, (0, SAMPLE_RATE_HZ))
    samples = np.clip(np.round(whole * 32768), -32768, 32767).astype(np.int16)
    for i in range(0, len(samples), _CHUNK):
        segmenter.feed(
            AudioChunk(i * NS_PER_S // SAMPLE_RATE_HZ, i // _CHUNK, samples[i : i + _CHUNK], SAMPLE_RATE_HZ),
            speech=False,
        )
    return memory


def report(figures: dict[str, Any]) -> str:
    """The figures as lines."""
    lines = [f"{how:>28}  {share:6.1%}" for how, share in figures["named"].items()]
    sounds = f"{figures['clips']} clips; a minute of sound takes {figures['mb_a_minute']} MB"
    return "\n".join([*lines, sounds, views.report(figures["views"])])


def _answer(loaded: LoadedBundle, latents: tuple[Latents, ...]) -> str:
    turn = Turn(1, 0, "bench", (*latents, QUESTION))
    return "".join(piece.text for piece in answer(loaded, turn, Times(), max_tokens=24))
