"""Speech through latents: are the words repeated, and are spoken questions answered like typed ones?

Word error rate: edits between reference and the answer to "Repeat the words.", lower case, no punctuation, over the
words of the reference (an answer can err more than once a word). Agreement: a spoken and a typed question are
answered alike if the word overlap (F1) of the two greedy answers is at least one half.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from glasses.assistant.answer import Times, answer
from glasses.audio.sound_files import read_audio
from glasses.evaluation.degrade import telephone, with_noise
from glasses.evaluation.subset import spread
from glasses.runtime.bundle import LoadedBundle
from glasses.types import Float32Array, Latents, Turn

REPEAT = " Repeat the words."
AGREE_F1 = 0.5
Degrade = Callable[[Float32Array], Float32Array]
CONDITIONS: dict[str, tuple[str, Degrade]] = {
    "synthetic, clean": ("synthetic", lambda pcm: pcm),
    "synthetic, 10 dB noise": ("synthetic", with_noise),
    "synthetic, telephone": ("synthetic", telephone),
    "human prompts (8 kHz)": ("human", lambda pcm: pcm),
    "human captions": ("human-caption", lambda pcm: pcm),
}


def words_of(text: str) -> list[str]:
    """Lower-case words, apostrophes kept, everything else dropped."""
    return re.findall(r"[a-z0-9']+", text.lower())


def word_errors(said: str, heard: str) -> tuple[int, int]:
    """Returns (edits, words of `said`): Levenshtein distance over words."""
    a, b = words_of(said), words_of(heard)
    return edits(a, b), len(a)


def edits(a: Sequence[object], b: Sequence[object]) -> int:
    """Levenshtein distance: what has to be put in, taken out or exchanged to make one sequence of the other."""
    row = list(range(len(b) + 1))
    for i, one in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, other in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (one != other))
    return row[-1]


def overlap_f1(first: str, second: str) -> float:
    """F1 of the bags of words of two answers."""
    a, b = Counter(words_of(first)), Counter(words_of(second))
    common = sum((a & b).values())
    return 2 * common / max(1, a.total() + b.total())


def reply(loaded: LoadedBundle, given: Sequence[Latents | str], max_tokens: int = 40) -> str:
    """The whole greedy answer to one turn."""
    turn = Turn(id=0, t_ns=0, cause="eval", inputs=tuple(given))
    return "".join(piece.text for piece in answer(loaded, turn, Times(), max_tokens=max_tokens)).strip()


def run(
    loaded: LoadedBundle, folder: Path, tick: Callable[[], None] = lambda: None, *, limit: int | None = None
) -> dict[str, Any]:
    """Figures over models/eval/speech: {"word error rate": {condition: ...}, "agreement": ..., "examples": [...]}.

    At most `limit` clips of each kind, spread over the set.
    """
    examples: list[dict[str, str]] = []
    rates = {}
    for condition, (kind, degrade) in CONDITIONS.items():
        pairs = []
        for item in spread(items(folder, kind), limit):
            heard = reply(loaded, [*loaded.encode_audio(degrade(read_audio(folder / item["file"]))), REPEAT])
            pairs.append((item["text"], heard))
            examples.append({"condition": condition, "said": item["text"], "repeated": heard})
            tick()
        rates[condition] = _error_rate(pairs)
    agreed, questions = 0, spread(items(folder, "question"), limit)
    for item in questions:
        spoken = reply(loaded, loaded.encode_audio(read_audio(folder / item["file"])), 24)
        typed = reply(loaded, [item["text"]], 24)
        agreed += overlap_f1(spoken, typed) >= AGREE_F1
        examples.append({"condition": "question", "said": item["text"], "spoken": spoken, "typed": typed})
        tick()
    return {"word error rate": rates, "agreement": round(agreed / len(questions), 4), "examples": examples}


def typed_limit(loaded: LoadedBundle, folder: Path) -> float:
    """Word error rate of the same request typed instead of spoken: what the untouched backbone itself loses."""
    return _error_rate([(i["text"], reply(loaded, [i["text"], REPEAT])) for i in items(folder, "synthetic")])


def decoder_limit(folder: Path, transcribe: Callable[[Float32Array], str]) -> dict[str, float]:
    """Word error rate of a transcriber on the same clips."""
    return {
        condition: _error_rate(
            [(i["text"], transcribe(degrade(read_audio(folder / i["file"])))) for i in items(folder, kind)]
        )
        for condition, (kind, degrade) in CONDITIONS.items()
    }


def items(folder: Path, kind: str) -> list[dict[str, str]]:
    """The held-out clips of one kind, as models/eval/speech/index.jsonl tells of them."""
    index = (json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines())
    return [item for item in index if item["set"] == kind]


def _error_rate(pairs: Sequence[tuple[str, str]]) -> float:
    """Edits over words of all (said, heard) together."""
    counts = [word_errors(said, heard) for said, heard in pairs]
    return round(sum(edits for edits, _ in counts) / sum(words for _, words in counts), 4)
