"""Makes the training clips of the speech connector: sentences -> voices -> augmentation -> encoder latents in shards.

Each shard holds 250 clips of int8 latents with one scale a row (6 GB for 50,000 clips, against 24 in float32).
Finished shards are never made again, so the command resumes; several run side by side with --worker I --workers N.
"""

from __future__ import annotations

import argparse
import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from glasses.encoders.audio import AudioEncoder
from glasses.types import SAMPLE_RATE_HZ, Float32Array
from models.recipes import augment, voices
from models.recipes.speech_text import definitions, split, whole_sentences, written

PER_SHARD = 250
MAX_S = 9.0  # of one sentence
MAX_TOGETHER_S = 29.0


def pick_voice(rng: random.Random, args: argparse.Namespace, kokoro: voices.Kokoro | None) -> voices.Voice:
    """Chooses a voice: about half espeak-ng, a third flite, the neural ones as CPU time allows."""
    draw = rng.random()
    if draw < args.kokoro_share and kokoro:
        return kokoro
    if draw < args.kokoro_share + args.piper_share:
        return lambda text, r: voices.piper(text, r, args.piper)
    return voices.espeak if rng.random() < 0.55 else voices.flite


def quantized(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float32 (T, D) -> int8 (T, D) and float16 (T, 1), absmax of each row."""
    scale = np.maximum(np.abs(rows).max(axis=1, keepdims=True) / 127, 1e-6)
    return np.round(rows / scale).astype(np.int8), scale.astype(np.float16)


def make_shard(
    texts: list[str], seed: int, args: argparse.Namespace, encoder: AudioEncoder, kokoro: voices.Kokoro | None
) -> dict:
    rng, noise_rng = random.Random(seed), np.random.default_rng(seed)
    rows, scales, kept = [], [], []
    for some in together(texts, args.together, rng):
        text, voice = " ".join(some), pick_voice(rng, args, kokoro)
        pcm = augment.for_speech(said_on(some, voice, rng), noise_rng)
        if not 0.3 < len(pcm) / SAMPLE_RATE_HZ < (MAX_TOGETHER_S if len(some) > 1 else MAX_S):
            continue
        data, scale = quantized(encoder.encode(pcm).data)
        rows.append(data)
        scales.append(scale)
        kept.append(text)
    lengths = np.array([len(row) for row in rows])
    return {"rows": np.concatenate(rows), "scales": np.concatenate(scales), "lengths": lengths, "texts": np.array(kept)}


def together(texts: list[str], most: int, rng: random.Random) -> Iterator[list[str]]:
    """The texts in groups of 2 to `most`, or each alone where `most` is 1."""
    left = list(texts)
    while left:
        n = rng.randint(2, most) if most > 1 else 1
        yield left[:n]
        left = left[n:]


def said_on(texts: list[str], voice: voices.Voice, rng: random.Random) -> Float32Array:
    """The texts one after the other in one voice, with pauses between them."""
    parts: list[Float32Array] = []
    for text in texts:
        pause = np.zeros(int(rng.uniform(0.1, 1.0) * SAMPLE_RATE_HZ), np.float32)
        parts += [pause, voice(text, rng)] if parts else [voice(text, rng)]
    return np.concatenate(parts)


def train_sentences(args: argparse.Namespace) -> list[str]:
    """The training side of the chosen text, shuffled."""
    rng = random.Random(0)
    if args.sampled:
        raw = whole_sentences(args.sampled.read_text().splitlines())
    else:
        raw = itertools.chain(written(rng), definitions()) if args.definitions else written(rng)
    train, _ = split(raw, rng)
    # Fragments of one and two words teach little of a sentence; keep one in three of them.
    return [text for i, text in enumerate(train) if len(text.split()) > 2 or i % 3 == 0]


def main() -> None:
    parser = argparse.ArgumentParser(description="Make latent shards for the speech connector.")
    parser.add_argument("encoder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--sampled", type=Path, help="use these questions (models.recipes.magpie) in place of the written sentences"
    )
    parser.add_argument("--definitions", action="store_true", help="add WordNet's definitions to the written sentences")
    parser.add_argument("--piper", type=Path, required=True, help="Piper voice .onnx")
    parser.add_argument("--kokoro", type=Path, help="folder with kokoro.onnx, voices_ja.npz, vocab.json")
    parser.add_argument("--piper-share", type=float, default=0.14)
    parser.add_argument("--kokoro-share", type=float, default=0.015)
    parser.add_argument("--together", type=int, default=1, help="up to so many sentences in one clip, at least two")
    parser.add_argument("--worker", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    train = train_sentences(args)
    encoder = AudioEncoder(args.encoder, n_threads=1)
    kokoro = None
    if args.kokoro:
        files = [args.kokoro / name for name in ("kokoro.onnx", "voices_ja.npz", "vocab.json")]
        kokoro = voices.Kokoro(*files, names=voices.KOKORO_TRAIN)
    args.out.mkdir(parents=True, exist_ok=True)
    shards = range(0, len(train), PER_SHARD)
    print(f"{len(train)} sentences, {len(shards)} shards", flush=True)
    for i in range(args.worker, len(shards), args.workers):
        path = args.out / f"{i:04d}.npz"
        if not path.exists():
            shard = make_shard(train[shards[i] : shards[i] + PER_SHARD], i, args, encoder, kokoro)
            with path.with_suffix(".part").open("wb") as part:
                np.savez(part, **shard)
            path.with_suffix(".part").rename(path)
            print(f"shard {i} of {len(shards)}: {len(shard['lengths'])} clips", flush=True)


if __name__ == "__main__":
    main()
