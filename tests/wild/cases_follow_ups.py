"""Kind 3: after a reply the wearer may go on without a touch, and nobody else.

A conversation is a touch and a question of one voice of `models/eval/speech`, a reply, and then what is said. All
cases run on the sound's clock (`bench follow-ups`), but for the listed one, which is a replay from the command line.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import numpy as np
import soundfile

from glasses.audio.sound_files import read_audio
from glasses.evaluation.bench.follow_ups import WEARER_RMS, Conversation, in_a_room, read_voices
from glasses.evaluation.television import Programme, at_level, programme
from glasses.types import SAMPLE_RATE_HZ, Float32Array
from tests.wild.case import Case
from tests.wild.world import SPEECH, bundle, in_process

WEARER, STRANGER = "rms", "jm_kumo"
voices = cache(read_voices)


def _rng() -> np.random.Generator:
    return np.random.default_rng(3)


def _question_then_television(folder: Path) -> str:
    """As `s-tv/` of the list: one touch, one question, then sentences of other voices, 6 dB softer."""
    others = ["synthetic-030", "synthetic-061", "human-156", "question-112", "synthetic-070", "human-160"]
    parts = [np.zeros(SAMPLE_RATE_HZ, np.float32)]
    for i, name in enumerate(["question-090", *others]):
        pcm = read_audio(SPEECH / f"{name}.ogg")
        parts += [at_level(pcm, WEARER_RMS if i == 0 else WEARER_RMS / 2), np.zeros(SAMPLE_RATE_HZ // 2, np.float32)]
    sound = np.concatenate([*parts, np.zeros(2 * SAMPLE_RATE_HZ, np.float32)])
    session = folder / "session"
    session.mkdir()
    soundfile.write(session / "audio.wav", sound, SAMPLE_RATE_HZ)
    (session / "session.toml").write_text(
        f'title = "case"\naudio = "audio.wav"\nlength_ms = {len(sound) // 16}\nframes = []\nsaid = []\n\n'
        '[[touches]]\nt_ms = 500\npress = "tap"\n'
    )
    printed = in_process("replay", session, "--fast", "--no-voice", "--json")
    return f"{len(json.loads(printed.partition(chr(10))[2].strip())['turns'])} turns"


def _heard(said: Callable[[dict[str, list[Float32Array]]], Float32Array], folder: Path) -> str:
    """How many turns are answered in what is `said` after WEARER's question was."""
    conversation = Conversation(bundle())
    conversation.ask(voices()[WEARER][0], _rng())
    silence = np.zeros(SAMPLE_RATE_HZ, np.float32)
    return f"{conversation.hear(np.concatenate([silence, said(voices())]))} taken"


def _sentence(name: str, db: float, voices: dict[str, list[Float32Array]]) -> Float32Array:
    """A question of that voice, so much louder than the first one was."""
    return in_a_room(at_level(voices[name][1], WEARER_RMS * 10 ** (db / 20)), _rng())


def _television(kind: Programme, voices: dict[str, list[Float32Array]]) -> Float32Array:
    others = [sentences for name, sentences in voices.items() if name != WEARER]
    heard = programme(kind, others, 20, _rng())
    return np.clip(heard * np.float32(WEARER_RMS / 2), -1, 1)


def _over_the_reply(folder: Path) -> str:
    """A question that is answered, then somebody else's voice over that reply and after it."""
    conversation = Conversation(bundle())
    conversation.ask(voices()[WEARER][0], _rng())
    said = voices()
    pause = np.zeros(SAMPLE_RATE_HZ, np.float32)
    first = np.concatenate([pause[: SAMPLE_RATE_HZ // 2], _sentence(WEARER, 0, said), pause])
    return f"{conversation.hear(np.concatenate([first, _sentence(STRANGER, 0, said), pause]))} taken"


CASES = [
    Case(3, "a question, then television", r"^[12] turns$", _question_then_television, is_listed=True),
    Case(3, "the wearer goes on", r"^1 taken$", partial(_heard, partial(_sentence, WEARER, 0))),
    Case(3, "the wearer goes on, softer", r"^1 taken$", partial(_heard, partial(_sentence, WEARER, -6))),
    Case(3, "somebody else asks, as near", r"^0 taken$", partial(_heard, partial(_sentence, STRANGER, 0))),
    Case(3, "the wearer's voice from across the room", r"^0 taken$", partial(_heard, partial(_sentence, WEARER, -16))),
    Case(3, "talk on television", r"^0 taken$", partial(_heard, partial(_television, "talk"))),
    Case(3, "television with music", r"^0 taken$", partial(_heard, partial(_television, "music beside"))),
    Case(3, "somebody else over the second reply", r"^1 taken$", _over_the_reply),
]
