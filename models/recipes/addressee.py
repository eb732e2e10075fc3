"""Trains the addressee head, which tells questions and requests from all other speech.

The head hears words only: it takes a question to another person for a request too.

    python -m models.recipes.addressee data/speech/written data/speech/wide \\
        --out models/artifacts/for-me-whisper-tiny.npz

The folders are shards of models.recipes.speech_clips: latents of synthetic voices with their texts. The label
of a clip comes from the words of its text; the head sees latents only.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from glasses.audio.sound_files import read_audio
from glasses.encoders.audio import AudioEncoder
from glasses.heads.addressee import features
from glasses.heads.linear import Head, fit
from glasses.types import Float32Array

_REQUESTS = ("please", "tell", "give", "name", "show", "explain", "describe")  # what a sentence that asks begins with
L2 = (1e-2, 1e-1, 1.0)
LEAST_WORDS = 3


def asks(text: str) -> bool:
    """Whether a text is a question or a request."""
    text = text.strip().lower()
    return text.endswith("?") or text.split(maxsplit=1)[0] in _REQUESTS


def clips(folders: list[Path]) -> Iterator[tuple[Float32Array, str]]:
    """Latents (T, 768) and text of every clip in which enough words are said."""
    for path in sorted(path for folder in folders for path in folder.glob("*.npz")):
        with np.load(path) as shard:
            if "texts" not in shard:
                continue
            rows, scales, ends = shard["rows"], shard["scales"], np.cumsum(shard["lengths"])
            for end, length, text in zip(ends, shard["lengths"], shard["texts"], strict=True):
                if len(str(text).split()) >= LEAST_WORDS:
                    part = slice(end - length, end)
                    yield rows[part].astype(np.float32) * scales[part].astype(np.float32), str(text)


def collect(folders: list[Path], most: int, seed: int = 0) -> tuple[Float32Array, np.ndarray, np.ndarray]:
    """Features (N, D), labels (N,) and a number of each text (N,), up to `most` of either kind."""
    rng, x, y, texts = random.Random(seed), [], [], []
    counts = [0, 0]
    for latents, text in clips(folders):
        label = asks(text)
        if counts[label] >= most or (not label and rng.random() < 0.6):  # there are more statements than questions
            continue
        counts[label] += 1
        x.append(features(latents))
        y.append(label)
        texts.append(hash_of(text))
        if min(counts) >= most:
            break
    return np.stack(x), np.array(y), np.array(texts)


def hash_of(text: str) -> int:
    """The same for the same text, in every process."""
    return int.from_bytes(text.encode()[:64], "little") % 1_000_003


def measure(head: Head, encoder: AudioEncoder, folder: Path) -> dict[str, dict[str, float]]:
    """On held-out voices and people: how many of each set, and the share of them taken for a request."""
    out: dict[str, dict[str, float]] = {}
    items = [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]
    for kind in ("question", "synthetic", "human"):
        scores: dict[bool, list[float]] = {True: [], False: []}
        for item in (item for item in items if item["set"] == kind and len(item["text"].split()) >= LEAST_WORDS):
            score = head.probability(features(encoder.encode(read_audio(folder / item["file"])).data))
            scores[asks(item["text"])].append(score)
        for label, found in scores.items():
            if found:
                name = f"{kind}, {'asks' if label else 'asks nothing'}"
                out[name] = {"n": len(found), "taken_for_a_request": round(float(np.mean(np.array(found) >= 0.5)), 3)}
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--clips", type=int, default=2000, help="of either kind")
    parser.add_argument("--encoder", type=Path, default=Path("models/artifacts/whisper-tiny-en-encoder-int8.onnx"))
    parser.add_argument("--eval", type=Path, default=Path("models/eval/speech"))
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    encoder = AudioEncoder(args.encoder, n_threads=1)
    x, y, texts = collect(args.folders, args.clips)
    held = texts % 8 == 0
    print(f"{len(y)} clips, {y.sum()} of them ask for something")
    heads = [fit(x[~held], y[~held], encoder.space, l2=l2) for l2 in L2]
    right = [np.mean([(h.probability(f) >= 0.5) == t for f, t in zip(x[held], y[held], strict=True)]) for h in heads]
    print("held-out texts:", dict(zip(L2, np.round(right, 3), strict=True)))
    head = fit(x, y, encoder.space, l2=L2[int(np.argmax(right))])
    head.save(args.out)
    print(json.dumps(measure(head, encoder, args.eval), indent=1))


if __name__ == "__main__":
    main()
