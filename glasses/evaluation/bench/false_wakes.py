"""How often the wake phrase is missed, and how often other sound opens a turn, over hours of sound.

Faster than real time, on the same sound for each activation mode of `glasses run`: the phrase, what asks for something,
all speech. No sound is heard twice, so the hours are independent of each other, and none was used in training. Kinds of
sound, a folder each, take turns, so that each has the same share while it lasts. When interrupted, it reports what was
measured so far.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from glasses.assistant.listener import Listener
from glasses.assistant.speculator import DraftState
from glasses.assistant.turn_encoder import EncodedTurn, TurnEncoder
from glasses.assistant.turn_manager import TurnManager
from glasses.audio.sound_files import read_audio
from glasses.audio.vad import Vad
from glasses.errors import GlassesError, InputError, Reason
from glasses.events import ReplyState, TurnCompleted
from glasses.heads.wake_word import WakeWordDetector, load
from glasses.model_store import store
from glasses.runtime.bundle import LoadedBundle, open_bundle
from glasses.runtime.heads import open_addressee, open_end_of_turn, wake_word_path
from glasses.types import NS_PER_S, SAMPLE_RATE_HZ, AudioChunk, Float32Array, Turn
from glasses.wake_word_training import train
from glasses.wake_word_training.voices import add_at_snr, at_hand, noise

LEAST_FILES = 10
STRETCH_S = 60
AFTER_S = 1.0  # of silence after each stretch: every turn ends in it
_LONGEST_FILE_S = 3600.0
_N_PHRASES = 100
_N_NAMED = 40  # false accepts that are named
_CHUNK = SAMPLE_RATE_HZ // 50


@dataclass(frozen=True, slots=True)
class Stretch:
    """Sound float32 (N,) at SAMPLE_RATE_HZ, at most STRETCH_S of it, and where it is from."""

    kind: str
    path: Path
    pcm: Float32Array


@dataclass(slots=True)
class TurnCounts:
    """For one kind of sound: how much was heard, and how many turns each activation mode would have opened."""

    heard_s: float = 0.0
    spoken_s: float = 0.0
    turns: dict[str, int] = field(default_factory=dict)

    def figures(self) -> dict[str, Any]:
        """Counts, and rates an hour."""
        hours = max(self.heard_s, 1e-9) / 3600
        rates = {f"{how}_an_hour": round(n / hours, 2) for how, n in self.turns.items()}
        return {"hours": round(hours, 3), "hours_of_voice": round(self.spoken_s / 3600, 3), **self.turns, **rates}


def run(bundle: str, folders: Sequence[Path], hours: float, tick: train.Tick) -> dict[str, Any]:
    """Raises ModelError (no phrase was taught, models), InputError(NOT_FOUND) for folders with hardly a sound."""
    head = load(wake_word_path())
    kinds = unlearned(folders, wake_word_path().with_suffix(".json"))
    if (n := sum(map(len, kinds.values()))) < LEAST_FILES:
        raise InputError(Reason.NOT_FOUND, f"{n} sound files below {', '.join(map(str, folders))}; name more")
    loaded = open_bundle(bundle)
    gate = WakeWordDetector(head, loaded.audio_encoder.encode, loaded.audio_encoder.space)
    hearing = train.Hearing(gate, Vad(store.path_of(loaded.bundle.vad)))
    figures: dict[str, Any] = {"phrase": head.phrase}
    learn, test = at_hand(None)
    try:
        if test or learn:
            misses, n = train.missed(hearing, head.phrase, test or learn, _N_PHRASES, tick, seed=11)
            figures |= {"missed": misses, "of": n}
        for counts in counted(hearing, loaded, kinds, hours, tick):
            figures |= counts
    except KeyboardInterrupt:
        figures["interrupted"] = True
    finally:
        loaded.close()
    return figures


def unlearned(folders: Sequence[Path], taught: Path) -> dict[str, list[Path]]:
    """The sound files below each folder by its name, without those that the phrase `taught` tells of was learned from,
    by content. Raises InputError(NOT_FOUND) where that is not known any more.
    """
    try:
        learned_from = [Path(folder) for folder in json.loads(taught.read_text())["learned_from"]]
    except (OSError, ValueError, KeyError) as error:
        why = f"{taught} does not say what the phrase was trained on: glasses wake-word train PHRASE"
        raise InputError(Reason.NOT_FOUND, why) from error
    if gone := [str(folder) for folder in learned_from if not folder.is_dir()]:
        raise InputError(Reason.NOT_FOUND, f"the phrase was trained on {', '.join(gone)}, which is gone")
    learned = {store.sha256_of(path) for path in train.sound_files(learned_from, learn=True)}
    return {
        folder.resolve().name: [
            path for path in train.sound_files([folder]) if not learned or store.sha256_of(path) not in learned
        ]
        for folder in folders
    }


def counted(
    hearing: train.Hearing, loaded: LoadedBundle, kinds: dict[str, list[Path]], hours: float, tick: train.Tick
) -> Iterator[dict[str, Any]]:
    """Yields after each stretch the counts so far, of all sound and of each kind, and what the phrase was heard in."""
    counters = {how: TurnCounter(loaded, how) for how in ("request", "speech")}
    heard = {kind: TurnCounts(turns={"wake": 0, **dict.fromkeys(counters, 0)}) for kind in kinds}
    woken_by: list[str] = []
    for stretch in mixed(kinds):
        one, spoken_s = heard[stretch.kind], hearing.spoken_s
        wakes = hearing.feed(stretch.pcm)
        woken_by += [f"{stretch.kind}/{stretch.path.name} at {at_s:.1f} s" for at_s in wakes]
        one.turns["wake"] += len(wakes)
        for how, counter in counters.items():
            one.turns[how] += counter.turns(stretch.pcm)
        one.heard_s += len(stretch.pcm) / SAMPLE_RATE_HZ
        one.spoken_s += hearing.spoken_s - spoken_s
        all_s = sum(kind.heard_s for kind in heard.values())
        tick("testing: other sound", min(int(all_s), int(hours * 3600)), int(hours * 3600))
        of_all = {how: sum(kind.turns[how] for kind in heard.values()) for how in one.turns}
        everything = TurnCounts(all_s, sum(kind.spoken_s for kind in heard.values()), of_all)
        yield {
            "all": everything.figures(),
            **{kind: o.figures() for kind, o in heard.items()},
            "woke": woken_by[:_N_NAMED],
        }
        if all_s >= hours * 3600:
            return


class TurnCounter:
    """Counts the turns that one activation mode opens; each is over as soon as it is decided, and none is answered."""

    def __init__(self, loaded: LoadedBundle, how: str) -> None:
        """`how`: request or speech. Raises ModelError from the heads."""
        detector = Vad(store.path_of(loaded.bundle.vad))
        addressee = open_addressee(loaded) if how == "request" else None
        encoder = _DecidingEncoder(loaded, end_of_turn=open_end_of_turn(loaded), addressee=addressee)
        self._ear = Listener(detector, TurnManager(on_speech=True), encoder)
        self._n_chunks = 0

    def turns(self, pcm: Float32Array) -> int:
        """How many turns are answered in `pcm`, float32 (N,), and the silence after it."""
        ended = 0
        sound = (np.clip(np.concatenate([pcm, np.zeros(round(AFTER_S * SAMPLE_RATE_HZ))]), -1, 1) * 32767).astype(
            np.int16
        )
        for first in range(0, len(sound) - _CHUNK, _CHUNK):
            t_ns = self._n_chunks * _CHUNK * NS_PER_S // SAMPLE_RATE_HZ
            chunk = AudioChunk(t_ns, self._n_chunks, sound[first : first + _CHUNK], SAMPLE_RATE_HZ)
            self._n_chunks += 1
            for signal in self._ear.feed(chunk):
                if isinstance(signal, TurnCompleted):
                    ended += 1
                    self._ear.feed(ReplyState(t_ns, signal.turn.id, "finished"))
        return ended


class _DecidingEncoder(TurnEncoder):
    """Encodes only the drafts that may decide something: those made in a pause."""

    def encode(self, pcm: Float32Array, end_ns: int, state: DraftState, *, wants_image: bool) -> EncodedTurn:
        if state is not DraftState.PARTIAL:
            return super().encode(pcm, end_ns, state, wants_image=wants_image)
        return EncodedTurn(Turn(self.turn_id, end_ns, self.cause, ()), np.zeros((0, 0), np.float32))


def mixed(kinds: dict[str, list[Path]], seed: int = 0) -> Iterator[Stretch]:
    """Each sound once: a third as it is, a third in noise, a third with another stretch, used up by it, beneath it.

    The next is of the kind of which least was heard so far, and is left.
    """
    rng, noise_rng = random.Random(seed), np.random.default_rng(seed)
    left, used_s, seen = (
        {kind: stretches(kind, files) for kind, files in kinds.items()},
        dict.fromkeys(kinds, 0.0),
        set(),
    )

    def following() -> Iterator[Stretch]:
        while left:
            kind = min(left, key=lambda kind: used_s[kind])
            stretch = next(left[kind], None)
            if stretch is None:
                del left[kind]
            elif (digest := hashlib.sha256(stretch.pcm.tobytes()).digest()) not in seen:
                seen.add(digest)
                used_s[kind] += len(stretch.pcm) / SAMPLE_RATE_HZ
                yield stretch

    coming = following()
    for stretch in coming:
        pcm, how = stretch.pcm, rng.randrange(3)
        if how == 1:
            pcm = add_at_snr(pcm, noise(len(pcm), noise_rng), rng.uniform(0, 25))
        elif how == 2 and (other := next(coming, None)) is not None:
            beneath = np.pad(other.pcm[: len(pcm)], (0, max(0, len(pcm) - len(other.pcm))))
            pcm = add_at_snr(pcm, beneath, rng.uniform(0, 15))
        yield Stretch(
            stretch.kind, stretch.path, pcm * np.float32(rng.uniform(0.1, 0.9) / max(np.abs(pcm).max(), 1e-6))
        )


def stretches(kind: str, paths: Sequence[Path]) -> Iterator[Stretch]:
    """All of each file, at most STRETCH_S at a time; what is no sound after all, or silence, is left out."""
    for path in paths:
        try:
            pcm = read_audio(path, max_s=_LONGEST_FILE_S)
        except GlassesError:
            continue
        for first in range(0, len(pcm), STRETCH_S * SAMPLE_RATE_HZ):
            stretch = pcm[first : first + STRETCH_S * SAMPLE_RATE_HZ]
            if len(stretch) >= SAMPLE_RATE_HZ // 2 and float(np.abs(stretch).max()) > 1e-4:
                yield Stretch(kind, path, stretch)
