"""The wake phrase: which phrases are accepted, what is learned and kept, and that it acts as a touch does."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from glasses.__main__ import main
from glasses.assistant.listener import Listener
from glasses.assistant.listener_config import ListenerConfig
from glasses.assistant.turn_encoder import TurnEncoder
from glasses.assistant.turn_manager import TurnManager
from glasses.audio.ring_buffer import RingBuffer
from glasses.audio.sound_files import read_audio
from glasses.audio.vad import STEP, STEP_NS, Vad
from glasses.errors import InputError, ModelError, Reason
from glasses.events import Draft, TurnCompleted, TurnEvent, TurnSignal
from glasses.heads.wake_word import AFTER_STEPS, EVERY_STEPS, WakeWordDetector, WakeWordHead, load
from glasses.model_store import store
from glasses.runtime.bundle import LoadedBundle, open_bundle
from glasses.types import SAMPLE_RATE_HZ, AudioChunk, Button, Float32Array, Latents, frozen
from glasses.wake_word_training import examples, phrases, train

SPEECH = Path(__file__).parents[3] / "models/eval/speech"
SPACE = "test:0000"
WIDTH = 40


def no_tick(stage: str, done: int, total: int) -> None:
    pass


@pytest.mark.parametrize("phrase", ["hey", "glasses", "ok", "", "hey 2", "hey; rm", "one two three four five six"])
def test_phrases_too_common_or_unpronounceable_are_refused(phrase: str) -> None:
    with pytest.raises(InputError) as refused:
        phrases.checked(phrase)
    assert refused.value.reason is Reason.BAD_INPUT


@pytest.mark.parametrize("phrase", ["Hey  Glasses", "okay computer", "wake up jarvis", "banana"])
def test_phrases_usual_ones_are_accepted(phrase: str) -> None:
    assert phrases.checked(phrase) == " ".join(phrase.lower().split())


def test_near_misses_share_words_of_the_phrase_and_never_equal_it() -> None:
    texts = list(itertools.islice(phrases.near_misses("hey glasses", random.Random(0)), 300))
    assert "hey glasses" not in texts
    assert sum("glasses" in text or "hey" in text for text in texts) > 200
    assert len(set(texts)) > 100


def windows(rng: np.random.Generator, n: int) -> examples.Windows:
    """Windows of noise; those whose label is True have a pattern in their last bins."""
    out = examples.Windows()
    pattern = np.random.default_rng(5).standard_normal((5, WIDTH))
    for i in range(n):
        bins = rng.standard_normal((examples.n_bins(1.6), WIDTH))
        if label := i % 3 == 0:
            bins[-6:-1] += pattern
        out.bins.append(bins.astype(np.float16))
        out.labels.append(label)
        out.sources.append(i)
    return out


@pytest.fixture(scope="module")
def learned() -> WakeWordHead:
    return train.fit(windows(np.random.default_rng(0), 900), "hey glasses", SPACE, 1.6, tick=no_tick)


def test_wake_word_head_generalises_and_survives_the_disk(learned: WakeWordHead, tmp_path: Path) -> None:
    learned.save(tmp_path / "taught" / "wake.npz")
    kept = load(tmp_path / "taught" / "wake.npz")
    assert [path.name for path in (tmp_path / "taught").iterdir()] == ["wake.npz"]
    assert (kept.phrase, kept.space, kept.window_s) == ("hey glasses", SPACE, 1.6)
    unseen = windows(np.random.default_rng(1), 300)
    scores = [kept.probability(np.repeat(bins.astype(np.float32), 4, axis=0)) for bins in unseen.bins]
    right = sum((score >= 0.5) == label for score, label in zip(scores, unseen.labels, strict=True))
    assert right > 280
    assert (tmp_path / "taught" / "wake.npz").stat().st_size < 200_000


def test_load_tells_an_absent_wake_word_from_a_damaged_one(learned: WakeWordHead, tmp_path: Path) -> None:
    path = tmp_path / "wake.npz"
    with pytest.raises(ModelError) as absent:
        load(path)
    assert absent.value.reason is Reason.NOT_FOUND
    learned.save(path)
    whole = path.read_bytes()
    for damaged in (whole[:200], b"", whole[: len(whole) // 2] + b"\0" * (len(whole) // 2)):
        path.write_bytes(damaged)
        with pytest.raises(ModelError) as corrupt:
            load(path)
        assert corrupt.value.reason is Reason.CORRUPT


def test_sound_files_for_training_and_test_never_overlap(tmp_path: Path) -> None:
    for i in range(40):
        (tmp_path / f"{i}.wav").touch()
        (tmp_path / f"{i}.txt").touch()
    learn, test = (set(train.sound_files([tmp_path], learn=learn)) for learn in (True, False))
    assert not learn & test
    assert learn | test == set(train.sound_files([tmp_path])) == set(tmp_path.glob("*.wav"))
    assert min(len(learn), len(test)) > 10


def gate_of(probabilities: list[float]) -> tuple[WakeWordDetector, list[int]]:
    """A detector whose head returns `probabilities` in turn, and the lengths of the windows the head was given."""
    lengths: list[int] = []
    said, n = iter(probabilities), examples.n_bins(1.6)
    ones, none = np.ones(n, np.float32), np.zeros((n, 1), np.float32)
    frame, bias, out = np.ones((1, 1), np.float32), np.zeros(1, np.float32), np.zeros(2, np.float32)
    head = WakeWordHead("hey glasses", SPACE, 1.6, 0.9, frame, ones, ones, none, bias, out)

    def encode(pcm: Float32Array) -> Latents:
        lengths.append(len(pcm))
        probability = next(said)
        head.out[-1] = np.log(probability / (1 - probability))
        return Latents(0, 0, "audio", frozen(np.zeros((80, 1), np.float32)), SPACE)

    return WakeWordDetector(head, encode, SPACE), lengths


def steps(gate: WakeWordDetector, speech: list[float]) -> list[int]:
    """The number of the first step at which it wakes; an empty list if it does not."""
    ring = RingBuffer(4)
    for i, probability in enumerate(speech):
        ring.append(AudioChunk(i * STEP_NS, i, np.full(STEP, 500, np.int16), SAMPLE_RATE_HZ))
        if gate.step(ring, (i + 1) * STEP_NS, probability):
            return [i]
    return []


def test_wake_word_detector_runs_only_during_speech_and_shortly_after() -> None:
    gate, lengths = gate_of([0.01] * 100)
    assert steps(gate, [0.02] * 200) == []
    assert lengths == []
    assert steps(gate, [0.9] * 60 + [0.02] * 200) == []
    assert len(lengths) == (60 + AFTER_STEPS) // EVERY_STEPS // 2  # every second look is left out


def test_wake_word_detector_one_detection_is_not_enough() -> None:
    once, _ = gate_of([0.01, 0.97, 0.01, 0.01] + [0.01] * 100)  # the second, the one before it, the one after it
    assert steps(once, [0.9] * 100) == []


def test_wake_word_detector_two_in_a_row_fire_at_the_later_of_them() -> None:
    with_the_one_before, _ = gate_of([0.01, 0.99, 0.97])
    assert steps(with_the_one_before, [0.9] * 100) == [3 * EVERY_STEPS]
    with_the_one_after, lengths = gate_of([0.01, 0.97, 0.01, 0.99])
    assert steps(with_the_one_after, [0.9] * 100) == [4 * EVERY_STEPS]
    assert lengths[1] == lengths[2] + EVERY_STEPS * STEP  # looked back


def test_wake_word_detector_head_of_another_encoder_is_refused(learned: WakeWordHead) -> None:
    with pytest.raises(ModelError) as refused:
        WakeWordDetector(learned, lambda pcm: pytest.fail("not asked"), "other:1111")
    assert refused.value.reason is Reason.WRONG_SPACE


@pytest.fixture(scope="module")
def loaded() -> Iterator[LoadedBundle]:
    loaded = open_bundle(n_threads=1)
    yield loaded
    loaded.close()


class At:
    """Stands for the phrase: wakes at one step, whatever was said. The test is about what follows from it."""

    def __init__(self, at_ns: int) -> None:
        self._at_ns = at_ns

    def step(self, ring: RingBuffer, to_ns: int, probability: float) -> bool:
        return to_ns == self._at_ns

    def reset(self) -> None:
        pass


@pytest.mark.models
def test_listener_woken_turn_gives_the_rows_that_a_touch_would_give(loaded: LoadedBundle) -> None:
    """Bit for bit, for a touch at the moment of the wake phrase."""
    always = ListenerConfig(max_speculative_draft_ms=math.inf)  # however busy this machine is just now
    said = read_audio(SPEECH / "question-090.ogg")
    sound = np.concatenate([np.zeros(SAMPLE_RATE_HZ * 2, np.float32), said, np.zeros(SAMPLE_RATE_HZ * 3, np.float32)])
    pcm = (sound * 32767).astype(np.int16)
    at_ns = 50 * STEP_NS
    drafts: dict[str, list[Draft]] = {"touch": [], "wake": []}
    for how, found in drafts.items():
        listener = Listener(
            Vad(store.path_of(loaded.bundle.vad)),
            TurnManager(),
            TurnEncoder(loaded),
            wake_word=At(at_ns) if how == "wake" else None,
            config=always,
        )
        kinds = []
        for i in range(len(pcm) // STEP):
            chunk = AudioChunk(i * STEP_NS, i, pcm[i * STEP : (i + 1) * STEP], SAMPLE_RATE_HZ)
            signals = listener.feed(chunk)
            if how == "touch" and (i + 1) * STEP_NS == at_ns:
                signals += listener.feed(Button(at_ns, "tap"))
            found += [signal for signal in signals if isinstance(signal, Draft) and signal.is_final]
            kinds += [signal.event for signal in signals if isinstance(signal, TurnSignal)]
            if any(isinstance(signal, TurnCompleted) for signal in signals):
                break
        assert kinds[0] is TurnEvent.TURN_STARTED
    touch, woken = (found[-1] for found in drafts.values())
    assert woken.turn.cause == "wake_word"
    assert len(touch.rows) > 5
    np.testing.assert_array_equal(touch.rows, woken.rows)


@pytest.mark.models
@pytest.mark.slow
def test_wake_word_trained_is_shown_and_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("glasses.commands.wake_word.wake_word_path", lambda name: tmp_path / "wake.npz")
    assert main(["wake-word", "train", "hey glasses", "--takes", "20", "--test-hours", "0.002", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["of"] == 60
    assert figures["missed"] < 60  # so few takes teach it little, but something
    assert main(["wake-word", "show", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["missed"] == figures["missed"]
    capsys.readouterr()
    assert main(["wake-word", "delete"]) == 0
    assert main(["wake-word", "delete"]) == 0
    assert capsys.readouterr().out == "the wake phrase was deleted\nthere was no wake phrase to delete\n"
    assert list(tmp_path.iterdir()) == []
    assert main(["wake-word", "show"]) == 2
