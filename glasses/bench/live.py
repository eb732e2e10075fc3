"""How soon it answers, spoken to in a room without a sound card: latents and the cascade, turn about, in one run.

Times are acoustic, off one recording of room and speaker: from the last sample of a question that is louder than a
hundredth of its peak to the first sample on the speaker. Needs PulseAudio (bench/room.py) and, for the cascade, the
extra `opponent`. Knows how to measure, and no figures.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from glasses import store
from glasses.app import Parts, open_parts, open_turn_end, open_voice
from glasses.bench.cascade import CascadeEar
from glasses.bench.room import RATE_HZ, Room
from glasses.decoders.speech import Voice
from glasses.ear import Ear
from glasses.errors import InputError, Reason
from glasses.evals import opponent
from glasses.gates.turns import TurnGate
from glasses.gates.voice import VoiceDetector
from glasses.live import Devices, Live
from glasses.media import read_audio
from glasses.mouth import Reply
from glasses.types import Float32Array

SPEECH = Path(__file__).parents[2] / "models/eval/speech"
BLOCK = 5  # turns of one side before it is the other's
IDLE_S = 20.0
_LOUD = 200  # of 32768 on the speaker
_REPLY_S = 20.0


@dataclass(slots=True)
class Side:
    """One of the two that are compared."""

    name: str
    make_ear: Callable[[], Ear]
    waits_ms: list[float] = field(default_factory=list)
    early_share: list[float] = field(default_factory=list)  # of the work for the first sound, done before end of speech
    cpu_s: list[float] = field(default_factory=list)  # of the whole process for a turn, both halves of it
    answers: list[str] = field(default_factory=list)
    unanswered: int = 0


def run(bundle: str, n_turns: int, *, with_cascade: bool, tick: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Says `n_turns` held-out questions to each side. Raises SensorError, ModelError, InputError(NOT_FOUND)."""
    questions = _questions(n_turns)
    with tempfile.TemporaryDirectory() as folder, Room(Path(folder) / "room") as room:
        os.environ.update(room.env)  # PortAudio reads it when it is first asked
        voice, parts = open_voice(bundle, n_threads=1), open_parts(bundle)
        detector_path = store.path_of(store.load_bundle(bundle).voice_gate)
        judge = open_turn_end(parts)

        def gate() -> TurnGate:
            return TurnGate(on_speech=True)

        sides = [Side("latents", lambda: Ear(parts, VoiceDetector(detector_path), gate(), judge))]
        figures: dict[str, Any] = {"idle_cpu_percent": _idle(parts, voice, sides[0].make_ear())}
        figures["resident_mb"] = round(psutil.Process().memory_info().rss / 1e6, 1)
        if with_cascade:
            transcribe = opponent.transcriber(n_threads=1, compute_type="int8")
            sides.append(
                Side("cascade", lambda: CascadeEar(parts, VoiceDetector(detector_path), gate(), judge, transcribe))
            )
        for first in range(0, len(questions), BLOCK):
            for side in sides:
                said = questions[first : first + BLOCK]
                _block(side, parts, voice, room=room, folder=Path(folder), questions=said)
                tick()
        figures |= {side.name: _figures(side) for side in sides}
        if with_cascade:
            pair = [figures[side.name]["first_audio_ms_p50"] for side in sides]
            figures["cascade_over_latents"] = round(pair[1] / pair[0], 2)
        voice.close()
        parts.close()
    return figures


def report(figures: dict[str, Any]) -> str:
    """The figures for people."""
    return "\n".join(f"{name:>22}  {value}" for name, value in figures.items())


def _questions(n: int) -> list[Float32Array]:
    index = SPEECH / "index.jsonl"
    if not index.is_file():
        raise InputError(Reason.NOT_FOUND, f"{index}: no held-out speech here; run from a full checkout")
    items = [json.loads(line) for line in index.read_text().splitlines()]
    files = [SPEECH / item["file"] for item in items if item["set"] == "question"]
    return [read_audio(files[i % len(files)]) for i in range(n)]


def _idle(parts: Parts, voice: Voice, ear: Ear) -> float:
    """Percent of one core while nobody speaks."""
    live = Live(parts, voice, ear, Devices())
    figure: list[float] = []

    def measure() -> None:
        time.sleep(1.0)
        process, began_s = psutil.Process(), time.monotonic()
        before = sum(process.cpu_times()[:2])
        time.sleep(IDLE_S)
        figure.append(100 * (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - began_s))
        live.stop()

    threading.Thread(target=measure, daemon=True).start()
    live.run()
    return round(figure[0], 2)


def _block(
    side: Side, parts: Parts, voice: Voice, *, room: Room, folder: Path, questions: Sequence[Float32Array]
) -> None:
    """Some turns of one side, on a tape of their own."""
    replies: list[Reply] = []
    over = threading.Condition()

    def watch(what: object) -> None:
        if isinstance(what, Reply):
            with over:
                replies.append(what)
                over.notify()

    live = Live(parts, voice, side.make_ear(), Devices(), watch=watch)
    tape_path = folder / "tape.raw"
    tape = room.tape(tape_path)

    def talk() -> None:
        process = psutil.Process()
        for number, pcm in enumerate(questions, 1):
            time.sleep(1.0)
            before = sum(process.cpu_times()[:2])
            room.play(pcm).wait()
            with over:
                over.wait_for(lambda number=number: len(replies) >= number, _REPLY_S)
            side.cpu_s.append(sum(process.cpu_times()[:2]) - before)
        time.sleep(0.5)
        live.stop()

    threading.Thread(target=talk, daemon=True).start()
    live.run()
    tape.terminate()
    tape.wait()
    sound = np.fromfile(tape_path, np.int16)
    waits = acoustic_waits_ms(sound[: len(sound) // 2 * 2].reshape(-1, 2), len(questions))
    side.waits_ms += [wait for wait in waits if wait is not None]
    side.unanswered += sum(wait is None for wait in waits)
    side.answers += [reply.text for reply in replies]
    side.early_share += [early_share(reply) for reply in replies if reply.audible_ns]


def acoustic_waits_ms(tape: np.ndarray, n_questions: int) -> list[float | None]:
    """From the end of each question on the left of `tape` int16 (N, 2) to the next sound on the right, None if none.

    Questions are told apart by their `n_questions` - 1 longest pauses.
    """
    asked = np.flatnonzero(np.abs(tape[:, 0].astype(np.int32)) > np.abs(tape[:, 0].astype(np.int32)).max() // 100)
    said = np.flatnonzero(np.abs(tape[:, 1].astype(np.int32)) > _LOUD)
    gaps = np.sort(np.diff(asked).argsort()[len(asked) - n_questions :]) if n_questions > 1 else np.array([], int)
    ends = [*asked[gaps], asked[-1]]
    starts = [*asked[gaps + 1], len(tape)]
    out: list[float | None] = []
    for end, until in zip(ends, starts, strict=True):
        after = said[(said > end) & (said < until)]
        out.append(float(after[0] - end) * 1000 / RATE_HZ if len(after) else None)
    return out


def early_share(reply: Reply) -> float:
    """Share of the work up to the first sound that was done before the wearer had ended."""
    if reply.ended is None or reply.audible_ns is None:
        return 0.0
    end_ns = reply.ended.span.end_ns
    work = [(work.began_ns, work.ended_ns) for work in reply.work if work.began_ns < reply.audible_ns]
    early = sum(max(0, min(after, end_ns) - first) for first, after in work)
    return early / max(1, sum(after - first for first, after in work))


def _figures(side: Side) -> dict[str, Any]:
    p50, p95 = np.percentile(side.waits_ms, [50, 95]) if side.waits_ms else (float("nan"),) * 2
    return {
        "turns": len(side.waits_ms),
        "unanswered": side.unanswered,
        "first_audio_ms_p50": round(float(p50), 1),
        "first_audio_ms_p95": round(float(p95), 1),
        "work_before_end_of_speech": round(float(np.mean(side.early_share or [0.0])), 3),
        "cpu_s_per_turn": round(float(np.mean(side.cpu_s)), 2),
    }
