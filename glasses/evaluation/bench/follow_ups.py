"""Whether a television goes on with a conversation that the wearer began, and whether the wearer still can.

A touch and a question open each conversation; a reply of REPLY_S follows every turn that is answered. Then speaks the
television, for minutes; or the wearer, once; or somebody else as near as the wearer. Faster than real time, on the
sound's clock, with the listener of `glasses run`.

All speech is from models/eval/speech, whose voices were used neither in training nor to choose a threshold of
assistant/follow_ups.py: synthetic jm_kumo, jf_nezumi and rms, and people's prompts and captions (one voice, and
several). Each is the wearer in turn, and the others are on television.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from glasses.assistant.listener import Listener
from glasses.assistant.setup import open_follow_ups
from glasses.assistant.speculator import DraftState
from glasses.assistant.turn_encoder import EncodedTurn, TurnEncoder
from glasses.assistant.turn_manager import TurnManager
from glasses.audio.sound_files import read_audio
from glasses.audio.vad import Vad
from glasses.data import data_path
from glasses.evaluation.degrade import with_noise
from glasses.evaluation.progress import Tick
from glasses.evaluation.speech import items
from glasses.evaluation.television import PROGRAMMES, at_level, programme, through_room
from glasses.events import ReplyState, TurnCompleted
from glasses.model_store import store
from glasses.runtime.bundle import LoadedBundle, open_bundle
from glasses.runtime.heads import open_end_of_turn
from glasses.types import NS_PER_S, SAMPLE_RATE_HZ, AudioChunk, Button, Float32Array, Turn

REPLY_S = 2.5
WEARER_RMS = 0.1  # -20 dB of full scale
TV_BELOW_DB = (0.0, 12.0)  # than the wearer, at the wearer's microphone
AGAIN_DB = 3.0  # a person speaks so much louder or softer the next time, at the most
GAP_S = (0.3, 4.0)  # from the end of a reply to the follow-up
SNR_DB = 30.0  # of the room around the wearer's voice
MOST_OF_TV, LEAST_OF_WEARER = 1, 0.85  # turns that each programme may open; share of follow-ups to be taken
N_TURNS = 20
_CHUNK = SAMPLE_RATE_HZ // 50
_HEARD = ("wearer", "wearer_beside_television", "somebody_else_as_near", "ten_seconds_of_television")
_SETS = ("question", "synthetic", "human", "human-caption")


def run(
    bundle: str, minutes: float, *, n_turns: int = N_TURNS, tick: Tick = lambda stage, done, total: None
) -> dict[str, Any]:
    """Turns opened by `minutes` of each programme, and the shares of `n_turns` follow-ups a voice that are taken.

    `over` names what misses MOST_OF_TV or LEAST_OF_WEARER. Raises ModelError from the bundle.
    """
    voices = read_voices()
    loaded, rng = open_bundle(bundle), np.random.default_rng(15)
    figures: dict[str, Any] = {"minutes_each": minutes, "television": {}, "follow_ups_taken": {}}
    try:
        asking = [name for name in voices if len(voices[name]) >= 20 and name != "tuxpaint-stamps"]
        for i, kind in enumerate(PROGRAMMES):
            tick("television", i, len(PROGRAMMES))
            wearer = asking[i % len(asking)]
            others = [sentences for name, sentences in voices.items() if name != wearer]
            heard = programme(kind, others, 60 * minutes, rng)
            below = np.float32(WEARER_RMS * 10 ** (-rng.uniform(*TV_BELOW_DB) / 20))
            one = Conversation(loaded)
            one.ask(voices[wearer][0], rng)
            figures["television"][kind] = one.hear(np.clip(heard * below, -1, 1))
        tick("television", len(PROGRAMMES), len(PROGRAMMES))
        for i, name in enumerate(asking):
            tick("voices", i, len(asking))
            figures["follow_ups_taken"][name] = _shares(loaded, voices, name, n_turns, rng)
        tick("voices", len(asking), len(asking))
    finally:
        loaded.close()
    return figures | _summary(figures)


def _summary(figures: dict[str, Any]) -> dict[str, Any]:
    shares = list(figures["follow_ups_taken"].values())
    of_all = {key: round(float(np.mean([share[key] for share in shares])), 3) for key in shares[0]}
    over = [
        f"{kind}: {n} turns opened by television, at most {MOST_OF_TV}"
        for kind, n in figures["television"].items()
        if n > MOST_OF_TV
    ]
    if of_all["wearer"] < LEAST_OF_WEARER:
        over.append(f"follow-ups taken: {of_all['wearer']}, at least {LEAST_OF_WEARER}")
    return {"of_all_voices": of_all, "over": over}


def _shares(
    loaded: LoadedBundle, voices: dict[str, list[Float32Array]], name: str, n: int, rng: np.random.Generator
) -> dict[str, float]:
    """Of `n` conversations each, in which a turn is opened by the wearer, by the wearer beside a television, by
    somebody else as near, by ten seconds of television.
    """
    own = voices[name]
    others = [sentences for other, sentences in voices.items() if other != name]
    taken: dict[str, int] = dict.fromkeys(_HEARD, 0)
    for i in range(n):
        question, follow_up = own[i % len(own)], own[(i + 1) % len(own)]
        stranger = others[i % len(others)]
        louder = np.float32(10 ** (rng.uniform(-AGAIN_DB, AGAIN_DB) / 20))
        said = {
            "wearer": at_level(follow_up, WEARER_RMS) * louder,
            "somebody_else_as_near": at_level(stranger[i % len(stranger)], WEARER_RMS) * louder,
        }
        beside = programme("talk", others, len(follow_up) / SAMPLE_RATE_HZ, rng) * np.float32(WEARER_RMS / 4)
        said["wearer_beside_television"] = said["wearer"] + np.resize(beside, len(follow_up))
        heard = {which: in_a_room(pcm, rng) for which, pcm in said.items()}
        below = np.float32(WEARER_RMS * 10 ** (-rng.uniform(*TV_BELOW_DB) / 20))
        heard["ten_seconds_of_television"] = programme(PROGRAMMES[i % 3], others, 10, rng) * below
        for which, pcm in heard.items():
            one = Conversation(loaded)
            one.ask(question, rng)
            silence = np.zeros(round(rng.uniform(*GAP_S) * SAMPLE_RATE_HZ), np.float32)
            taken[which] += one.hear(np.concatenate([silence, pcm])) > 0
    return {which: round(count / n, 3) for which, count in taken.items()}


def in_a_room(pcm: Float32Array, rng: np.random.Generator) -> Float32Array:
    """The wearer's own voice: near the microphone, the room far softer, and its noise."""
    far = through_room(pcm, rng) * np.float32(10 ** (-15 / 20))
    return with_noise((pcm + far).astype(np.float32), SNR_DB, seed=int(rng.integers(1 << 31)))


def read_voices() -> dict[str, list[Float32Array]]:
    """The held-out sentences by voice; questions come first, so that they open conversations."""
    folder, found = data_path("models/eval/speech"), dict[str, list[Float32Array]]()
    for name in _SETS:
        for item in items(folder, name):
            pcm = read_audio(folder / item["file"])
            if len(pcm) >= SAMPLE_RATE_HZ * 0.8:  # captions are often one word
                found.setdefault(item["source"], []).append(pcm)
    return found


class Conversation:
    """A listener as `glasses run` has it, and replies of REPLY_S to what it takes; times are the sound's."""

    def __init__(self, loaded: LoadedBundle) -> None:
        encoder = _DecidingEncoder(loaded, end_of_turn=open_end_of_turn(loaded), follow_ups=open_follow_ups(loaded))
        self._listener = Listener(Vad(store.path_of(loaded.bundle.vad)), TurnManager(), encoder)
        self._n_chunks = 0
        self._reply: tuple[int, int] | None = None  # turn, and when its reply is over

    def ask(self, question: Float32Array, rng: np.random.Generator) -> None:
        """A touch, a question, and its reply to the end."""
        list(self._feed(np.zeros(SAMPLE_RATE_HZ // 2, np.float32)))
        self._listener.feed(Button(self._now_ns, "tap"))
        said = in_a_room(at_level(question, WEARER_RMS), rng)
        quiet = np.zeros(SAMPLE_RATE_HZ, np.float32)
        list(self._feed(np.concatenate([quiet[: SAMPLE_RATE_HZ // 4], said, quiet])))
        while self._reply:
            list(self._feed(quiet[: SAMPLE_RATE_HZ // 10]))

    def hear(self, pcm: Float32Array) -> int:
        """How many turns are answered in float32 (N,) of sound and the silence after it."""
        return sum(self._feed(np.concatenate([pcm, np.zeros(2 * SAMPLE_RATE_HZ, np.float32)])))

    @property
    def _now_ns(self) -> int:
        return self._n_chunks * _CHUNK * NS_PER_S // SAMPLE_RATE_HZ

    def _feed(self, pcm: Float32Array) -> Iterator[bool]:
        """True for each turn that is answered."""
        sound = (np.clip(pcm, -1, 1) * 32767).astype(np.int16)
        for first in range(0, len(sound) - _CHUNK + 1, _CHUNK):
            if self._reply and self._now_ns >= self._reply[1]:
                (turn_id, _), self._reply = self._reply, None
                self._listener.feed(ReplyState(self._now_ns, turn_id, "finished"))
            chunk = AudioChunk(self._now_ns, self._n_chunks, sound[first : first + _CHUNK], SAMPLE_RATE_HZ)
            self._n_chunks += 1
            for signal in self._listener.feed(chunk):
                if isinstance(signal, TurnCompleted):
                    self._listener.feed(ReplyState(self._now_ns, signal.turn.id, "audible"))
                    self._reply = signal.turn.id, self._now_ns + round(REPLY_S * NS_PER_S)
                    yield True


class _DecidingEncoder(TurnEncoder):
    """Encodes only the drafts that may decide something: those made in a pause."""

    def encode(self, pcm: Float32Array, end_ns: int, state: DraftState, *, wants_image: bool) -> EncodedTurn:
        if state is not DraftState.PARTIAL:
            return super().encode(pcm, end_ns, state, wants_image=wants_image)
        return EncodedTurn(Turn(self.turn_id, end_ns, self.cause, ()), np.zeros((0, 0), np.float32))
