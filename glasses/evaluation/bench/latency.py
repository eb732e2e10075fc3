"""End of speech to first audio, in a virtual room: latents, and what they are compared with, alternating in one run.

That is the baseline, the same pipeline where every turn stands alone, or with apps that are busy on its backbone; a
conversation begins with each block.

Times are acoustic, from one recording of room and speaker (turn_times.py). Needs PulseAudio (virtual_room.py) and, for
the baseline, the extra `baseline`. When interrupted, it reports the turns measured so far.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from glasses.assistant.answer import warm_up
from glasses.assistant.assistant import Assistant
from glasses.assistant.config import NO_MEMORY, AssistantConfig, ConversationConfig
from glasses.assistant.listener import Listener
from glasses.assistant.observers import FunctionObserver
from glasses.assistant.turn_encoder import TurnEncoder
from glasses.assistant.turn_manager import TurnManager
from glasses.audio.sound_files import read_audio
from glasses.audio.vad import Vad
from glasses.backbone.handover import Handover
from glasses.data import data_path
from glasses.decoders.speech import Voice
from glasses.devices.local import LocalDevices
from glasses.errors import InputError, Reason, SensorError
from glasses.evaluation.bench.cascade import CascadeEncoder, transcriber
from glasses.evaluation.bench.turn_times import acoustic_waits_ms, early_share, median_waterfall_ms, waterfall_ms
from glasses.evaluation.bench.virtual_room import Room
from glasses.evaluation.progress import Tick
from glasses.events import Outcome, Reply
from glasses.model_store import store
from glasses.runtime.bundle import LoadedBundle, open_bundle, open_voice
from glasses.runtime.heads import open_end_of_turn
from glasses.types import SAMPLE_RATE_HZ, Float32Array

SPEECH = data_path("models/eval/speech")
BLOCK = 5  # turns of one system before it is the other's turn
HISTORY_BLOCK = 10  # the same where a conversation is to grow
ALONE = replace(NO_MEMORY, conversation=ConversationConfig(minutes=0))
IDLE_S = 20.0
SETTLE_S = 4.0  # PortAudio spins until a null sink gives its first sound, 1 to 2 s after the microphone is opened
_REPLY_S = 20.0
STALLED_S = 10.0  # what is played lies ready in the server, so it ends within a second of its length


@dataclass(slots=True)
class System:
    """One of the two that are compared, and what was measured of it."""

    name: str
    make_listener: Callable[[], Listener]
    config: AssistantConfig = NO_MEMORY
    n_apps: int = 0  # that use the backbone meanwhile
    past_turns: list[int] = field(default_factory=list)  # in the KV cache, of each turn
    waits_ms: list[float] = field(default_factory=list)
    early_share: list[float] = field(default_factory=list)  # of the work for the first audio, done before end of speech
    waterfalls: list[dict[str, float]] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)  # of the whole process, for a turn
    unanswered: int = 0
    unsaid: int = 0  # questions that the sound server did not play to the end, which are not measured


@dataclass(frozen=True, slots=True)
class Setting:
    """Where the systems are measured."""

    loaded: LoadedBundle
    voice: Voice
    room: Room
    folder: Path


def run(
    bundle: str,
    n_turns: int,
    *,
    with_baseline: bool,
    with_history: bool = False,
    n_apps: int = 0,
    tick: Tick = lambda stage, done, total: None,
) -> dict[str, Any]:
    """Says `n_turns` held-out questions to each system; `with_history` compares turns that know those before with
    turns that stand alone, `n_apps` with turns beside so many busy apps. Raises SensorError, ModelError,
    InputError(NOT_FOUND).
    """
    questions = spoken_questions(n_turns)
    figures: dict[str, Any] = {"load_average": round(os.getloadavg()[0], 1)}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        room = stack.enter_context(Room(folder / "room"))
        os.environ.update(room.env)  # PortAudio reads it when it is first asked
        voice, loaded = stack.enter_context(open_voice(bundle)), open_bundle(bundle)
        stack.callback(loaded.close)
        warm_up(loaded, voice)
        systems = [System("latents", _maker(loaded, None))]
        figures["idle_cpu_percent"] = _idle(loaded, voice, systems[0].make_listener())
        figures["resident_mb"] = round(psutil.Process().memory_info().rss / 1e6, 1)
        if with_baseline:
            systems.append(System("baseline", _maker(loaded, transcriber())))
        if with_history:
            systems.append(System("alone", systems[0].make_listener, ALONE))
        if n_apps:
            systems.append(System("with_apps", systems[0].make_listener, n_apps=n_apps))
        done, block = 0, HISTORY_BLOCK if with_history else BLOCK
        try:
            for first in range(0, len(questions), block):
                for system in systems if first // block % 2 == 0 else systems[::-1]:
                    said = questions[first : first + block]
                    _block(system, Setting(loaded, voice, room, folder), said)
                    done += len(said)
                    tick("turns", done, len(questions) * len(systems))
        except KeyboardInterrupt:
            figures["interrupted_after"] = done
    figures |= {system.name: _figures(system) for system in systems}
    if with_baseline:
        figures |= _ratios([figures[system.name] for system in systems[:2]])
    if with_history:
        figures |= _of_history(systems[0], next(one for one in systems if one.config is ALONE))
    if n_apps:
        ratio = np.median(systems[-1].waits_ms) / np.median(systems[0].waits_ms)
        figures |= {"apps": n_apps, "apps_over_none_p50": round(float(ratio), 3)}
    return figures


def _maker(loaded: LoadedBundle, transcribe: Callable[[Float32Array], str] | None) -> Callable[[], Listener]:
    """Listeners alike, that give the responder rows, or with `transcribe` a transcript."""
    detector_path, judge = store.path_of(loaded.bundle.vad), open_end_of_turn(loaded)

    def make() -> Listener:
        detector, gate = Vad(detector_path), TurnManager(on_speech=True)
        if transcribe is None:
            return Listener(detector, gate, TurnEncoder(loaded, end_of_turn=judge))
        return Listener(detector, gate, CascadeEncoder(loaded, judge, transcribe))

    return make


def spoken_questions(n: int) -> list[Float32Array]:
    """`n` held-out questions as sound at 16 kHz, over again from the first where they are fewer.

    Raises InputError(NOT_FOUND).
    """
    index = SPEECH / "index.jsonl"
    if not index.is_file():
        raise InputError(Reason.NOT_FOUND, f"{index}: no held-out speech here; run from a full checkout")
    items = [json.loads(line) for line in index.read_text().splitlines()]
    files = [SPEECH / item["file"] for item in items if item["set"] == "question"]
    return [read_audio(files[i % len(files)]) for i in range(n)]


def _idle(loaded: LoadedBundle, voice: Voice, listener: Listener) -> float:
    """Percent of one core while nobody speaks."""
    assistant = Assistant(NO_MEMORY, loaded, voice, LocalDevices(), listener=listener)
    figure: list[float] = []

    def measure() -> None:
        time.sleep(SETTLE_S)
        process, began_s = psutil.Process(), time.monotonic()
        before = sum(process.cpu_times()[:2])
        time.sleep(IDLE_S)
        figure.append(100 * (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - began_s))
        assistant.stop()

    threading.Thread(target=measure, daemon=True).start()
    assistant.run()
    return round(figure[0], 2)


def _block(system: System, setting: Setting, questions: Sequence[Float32Array]) -> None:
    """Some turns of one system, with a recording of their own. Raises what ended the assistant or the speech."""
    replies, n_unsaid = list[Reply](), system.unsaid
    replied = threading.Condition()

    def observe(event: object) -> None:
        if isinstance(event, Reply) and event.outcome is not Outcome.CONTINUED:  # that turn goes on
            with replied:
                replies.append(event)
                replied.notify()

    def ask(number: int, pcm: Float32Array) -> None:
        process = psutil.Process()
        before = sum(process.cpu_times()[:2])
        speaking = setting.room.play(pcm)
        try:
            speaking.wait(len(pcm) / SAMPLE_RATE_HZ + STALLED_S)
        except subprocess.TimeoutExpired:  # a machine so busy that the server starves
            speaking.kill()
            system.unsaid += 1
            return
        with replied:
            replied.wait_for(lambda: len(replies) >= number, _REPLY_S)
        system.cpu_s.append(sum(process.cpu_times()[:2]) - before)

    with ExitStack() as stack:
        handover = stack.enter_context(_apps(setting, system.n_apps)) if system.n_apps else None
        assistant = Assistant(
            system.config,
            setting.loaded,
            setting.voice,
            LocalDevices(),
            listener=system.make_listener(),
            observers=[FunctionObserver(observe, Reply)],
            handover=handover,
        )
        tape = stack.enter_context(setting.room.tape(setting.folder / "tape.raw"))
        stack.callback(tape.terminate)
        _run_while_asked(assistant, questions, ask)
    if system.unsaid > n_unsaid:  # what was half said cannot be told from a question
        return
    sound = np.fromfile(setting.folder / "tape.raw", np.int16)
    waits = acoustic_waits_ms(sound[: len(sound) // 2 * 2].reshape(-1, 2), len(questions))
    system.waits_ms += [wait for wait in waits if wait is not None]
    system.unanswered += sum(wait is None for wait in waits)
    heard = [reply for reply in replies if reply.audible_ns]
    system.past_turns += [reply.n_past_turns for reply in heard]
    system.early_share += [early_share(reply) for reply in heard]
    system.waterfalls += [waterfall_ms(reply) for reply in heard]


def _apps(setting: Setting, n: int) -> AbstractContextManager[Handover]:
    from glasses.evaluation.bench.busy_apps import busy_apps  # noqa: PLC0415  # needs the extra `service`

    return busy_apps(setting.loaded, setting.folder, n)


def _run_while_asked(
    assistant: Assistant, questions: Sequence[Float32Array], ask: Callable[[int, Float32Array], None]
) -> None:
    """Runs the assistant while a thread asks the questions, numbered from 1. Raises SensorError if asking fails."""
    errors: list[Exception] = []

    def talk() -> None:
        try:
            for number, pcm in enumerate(questions, 1):
                time.sleep(1.0)
                ask(number, pcm)
            time.sleep(0.5)
        except Exception as error:  # raised again below: without this the assistant would listen for ever
            errors.append(error)
        finally:
            assistant.stop()

    threading.Thread(target=talk, daemon=True).start()
    assistant.run()
    if errors:
        raise SensorError(Reason.INTERNAL, f"nobody spoke: {errors[0]}") from errors[0]


def _figures(system: System) -> dict[str, Any]:
    p50, p95 = np.percentile(system.waits_ms, [50, 95]) if system.waits_ms else (float("nan"),) * 2
    return {
        "turns": len(system.waits_ms),
        "unanswered": system.unanswered,
        **({"unsaid": system.unsaid} if system.unsaid else {}),
        "first_audio_ms_p50": round(float(p50), 1),
        "first_audio_ms_p95": round(float(p95), 1),
        "after_end_ms_p50": median_waterfall_ms(system.waterfalls),
        "work_before_end_of_speech": round(float(np.mean(system.early_share or [0.0])), 3),
        "cpu_s_per_turn": round(float(np.mean(system.cpu_s or [0.0])), 2),
    }


def _of_history(known: System, alone: System) -> dict[str, Any]:
    """First sounds of turns that know others over those of turns that stand alone; goal: at most 1.10."""
    return {
        "past_turns_mean": round(float(np.mean(known.past_turns or [0])), 1),
        "history_over_alone_p50": round(float(np.median(known.waits_ms) / np.median(alone.waits_ms)), 3),
    }


def _ratios(figures: list[dict[str, Any]]) -> dict[str, float]:
    """The waits of the baseline over those of latents."""
    ours, theirs = figures
    return {
        f"baseline_over_latents_{which}": round(theirs[f"first_audio_ms_{which}"] / ours[f"first_audio_ms_{which}"], 2)
        for which in ("p50", "p95")
    }
