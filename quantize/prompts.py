"""Prompts for calibrating and measuring a backbone: text, and rows that the runtime's connectors make."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from glasses.assistant.answer import Times, answer
from glasses.audio.sound_files import read_audio
from glasses.backbone.inputs import ModelInput
from glasses.backbone.prompt import SYSTEM
from glasses.errors import InputError, Reason
from glasses.evaluation import sounds, speech
from glasses.evaluation.subset import spread
from glasses.media.pictures import read_image
from glasses.runtime.bundle import LoadedBundle
from glasses.runtime.prompt import prompt_of
from glasses.types import Turn
from quantize import feeds

MAX_TEXT_BYTES = 16 << 20
TEXT_TOKENS = 128  # of one piece of running text
ANSWER_TOKENS = 24


@dataclass(frozen=True, slots=True)
class Prompt:
    """Parts to feed in order. The model is held against the tokens from row `scored` on, which lie in the last part."""

    domain: str
    name: str
    parts: tuple[ModelInput, ...]
    scored: int  # rows before the first token that is scored


def check_text(path: Path) -> str:
    """The text of a file. Raises InputError: NOT_FOUND, TOO_LARGE, BAD_INPUT (not text, none in it)."""
    if not path.is_file():
        raise InputError(Reason.NOT_FOUND, f"{path}: no such text file")
    if path.stat().st_size > MAX_TEXT_BYTES:
        raise InputError(Reason.TOO_LARGE, f"{path}: over {MAX_TEXT_BYTES >> 20} MiB; a few hundred KB are enough")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(Reason.BAD_INPUT, f"{path}: not UTF-8 text; calibration text is plain text") from error
    if not text.strip():
        raise InputError(Reason.BAD_INPUT, f"{path}: no text in it")
    return text


def texts(path: Path, loaded: LoadedBundle, limit: int | None = None) -> Iterator[Prompt]:
    """Pieces of TEXT_TOKENS tokens of a text file. Raises InputError as `check_text`."""
    ids = loaded.backbone.tokenize(check_text(path), special=False)
    if len(ids) < 2:
        raise InputError(Reason.BAD_INPUT, f"{path}: no text in it")
    pieces = [ids[at : at + TEXT_TOKENS] for at in range(0, len(ids), TEXT_TOKENS)]
    for i, piece in enumerate(spread([piece for piece in pieces if len(piece) > 1], limit)):
        yield Prompt("text", f"{path.name}:{i}", (piece,), 1)


def held_out(loaded: LoadedBundle, domain: str, limit: int | None) -> Iterator[Prompt]:
    """Turns about the held-out files of one domain (text, speech, pictures, sounds), each with the backbone's answer.

    `text` are the spoken questions as they would be typed.
    """
    if domain == "text":
        for item in spread(_speech("question"), limit):
            yield _turn(loaded, "text", item["text"], (item["text"],))
    elif domain == "speech":
        for item in spread(_speech("synthetic"), limit):
            heard = loaded.encode_audio(read_audio(feeds.EVAL / "speech" / item["file"]))
            yield _turn(loaded, domain, item["file"], (*heard, speech.REPEAT))
    elif domain == "sounds":
        held = [one for one in sounds.read_index() if one.split == "held-out"]
        for one in spread(held, limit):
            heard = loaded.encode_audio(read_audio(sounds.SOUNDS / one.file))
            yield _turn(loaded, domain, one.file, (*heard, sounds.QUESTION))
    else:
        yield from _pictures(loaded, spread(sorted((feeds.EVAL / "pictures").glob("*.jpg")), limit), "pictures")


def calibration(loaded: LoadedBundle, limit: int | None) -> Iterator[Prompt]:
    """Turns about what is not held out: the sounds the connector was trained on, the demo's frames and minute."""
    known = [one for one in sounds.read_index() if one.split == "reference"]
    for one in spread(known, limit):
        heard = loaded.encode_audio(read_audio(sounds.SOUNDS / one.file))
        yield _turn(loaded, "sounds", one.file, (*heard, sounds.QUESTION))
    for i, pcm in enumerate(feeds.demo_sound()):
        yield _turn(loaded, "speech", f"demo:{i}", loaded.encode_audio(pcm))
    yield from _pictures(loaded, spread(sorted((feeds.DEMO / "frames").glob("*.jpg")), limit), "pictures")


def _pictures(loaded: LoadedBundle, paths: Sequence[Path], domain: str) -> Iterator[Prompt]:
    for path in paths:
        yield _turn(loaded, domain, path.name, (loaded.image_encoder.encode(read_image(path)), "What is in view?"))


def _turn(loaded: LoadedBundle, domain: str, name: str, given: tuple) -> Prompt:
    """The whole turn as `glasses` feeds it, then the greedy answer, token by token."""
    backbone = loaded.backbone
    turn = Turn(id=0, t_ns=0, cause="quantize", inputs=given)
    pieces = list(answer(loaded, turn, Times(), max_tokens=ANSWER_TOKENS))
    before = [backbone.tokenize(backbone.prompt_format.prefix(SYSTEM)), *prompt_of(loaded, given)]
    tokens = [piece.token_id for piece in pieces]
    return Prompt(domain, name, (*before, tokens), sum(len(part) for part in before))


def _speech(kind: str) -> list[dict[str, str]]:
    index = (feeds.EVAL / "speech" / "index.jsonl").read_text(encoding="utf-8").splitlines()
    return [item for item in map(json.loads, index) if item["set"] == kind]
