"""The question "What was that sound just now?", half a minute later, is answered from latents alone."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest

from glasses.assistant.answer import Times, answer
from glasses.audio.vad import SPEECH, Vad
from glasses.memory.latent_memory import LatentMemory
from glasses.memory.sound_segmenter import SoundSegmenter
from glasses.model_store import store
from glasses.recording.demo_session import events, load_session
from glasses.runtime.bundle import LoadedBundle, open_bundle
from glasses.runtime.modalities import memory_policies
from glasses.types import SAMPLE_RATE_HZ, AudioChunk, Float32Array, Latents, Turn

pytestmark = [pytest.mark.models, pytest.mark.slow]
MS, S = 1_000_000, 1_000_000_000
BARKED_UNTIL_MS, ASKED_MS = 26_200, (26_800, 28_300)  # of the shipped minute: a dog, then "What is this sound?"
NAMED = re.compile(r"\bdogs?\b|\bbark(s|ing)?\b")


@pytest.fixture(scope="module")
def loaded() -> Iterator[LoadedBundle]:
    opened = open_bundle(n_threads=1)  # as a busy machine starves more
    yield opened
    opened.close()


@pytest.fixture
def memory(loaded: LoadedBundle) -> LatentMemory:
    """The memory after the minute with the question, heard as the microphone delivered it."""
    held, detector = LatentMemory(memory_policies()), Vad(store.path_of(store.load_bundle().vad))
    segmenter, speech = SoundSegmenter(held, lambda pcm, t_ns: (loaded.sound_encoder.encode(pcm, t_ns),)), False
    for event in events(load_session()):
        if isinstance(event, AudioChunk) and event.t_ns < ASKED_MS[1] * MS:
            for probability in detector.feed(event.pcm):
                speech = probability >= SPEECH
            segmenter.feed(event, speech=speech)
    return held


def said(loaded: LoadedBundle, given: tuple[Latents | str, ...]) -> str:
    pieces = answer(loaded, Turn(1, 0, "tap", given), Times(), max_tokens=40)
    return "".join(piece.text for piece in pieces).lower()


def spoken_question() -> Float32Array:
    first, after = (ms * SAMPLE_RATE_HZ // 1000 for ms in ASKED_MS)
    return load_session().pcm[first:after].astype(np.float32) / np.float32(32768)


@pytest.mark.parametrize("later_s", [30, 240])
def test_memory_sound_of_minutes_ago_is_recalled_and_named(
    loaded: LoadedBundle, memory: LatentMemory, later_s: int
) -> None:
    now_ns = BARKED_UNTIL_MS * MS + later_s * S
    memory.age(now_ns)
    recalled = memory.recall("sound", now_ns, within_s=300)
    assert recalled
    assert all(part.t_ns > 5 * S for part in recalled), "what was said at 2.4 s is not taken for a sound"
    assert NAMED.search(said(loaded, (*recalled, "What is this sound?")))


def test_memory_sound_asked_for_by_voice_is_named(loaded: LoadedBundle, memory: LatentMemory) -> None:
    now_ns = BARKED_UNTIL_MS * MS + 30 * S
    question = loaded.encode_audio(spoken_question(), now_ns)
    assert NAMED.search(said(loaded, (*memory.recall("sound", now_ns), *question)))
    assert not NAMED.search(said(loaded, question)), "the question alone does not hold the answer"


def test_memory_wiped_recalls_nothing(loaded: LoadedBundle, memory: LatentMemory) -> None:
    memory.wipe()
    assert memory.recall("sound", 20 * S) == ()
    assert memory.n_bytes == 0
