"""Trains the end-of-turn head on latents of sentences that are whole and of sentences that are cut short.

A whole sentence ends in its own melody; a cut one either stops in mid-flow at a quiet moment, or hangs as a voice does
before a comma. Both are followed by the same 60 to 190 ms of room. Debian: espeak-ng, flite.

    python -m models.recipes.end_of_turn --texts questions.jsonl --out models/artifacts/turn-end-whisper-tiny.npz
    python -m models.recipes.end_of_turn --measure --out models/artifacts/turn-end-whisper-tiny.npz
"""

from __future__ import annotations

import argparse
import json
import math
import random
from pathlib import Path

import numpy as np

from glasses.assistant.turn_manager import silence_that_ends_ms
from glasses.audio.sound_files import read_audio
from glasses.encoders.audio import AudioEncoder
from glasses.heads.end_of_turn import EndOfTurnHead, features
from glasses.heads.linear import Head, fit, load
from glasses.types import SAMPLE_RATE_HZ, Float32Array
from models.recipes import augment, voices

_BLOCK = 160  # 10 ms
L2 = (1e-3, 1e-2, 1e-1)
PAUSES_MS = (200, 300, 400, 500)
STEP_MS = 32


def loudness(pcm: Float32Array) -> np.ndarray:
    """Smoothed power of each 10 ms."""
    power = (pcm[: len(pcm) // _BLOCK * _BLOCK].reshape(-1, _BLOCK) ** 2).mean(axis=1)
    return np.convolve(power, np.ones(4) / 4, "same")


def spoken(pcm: Float32Array) -> Float32Array:
    """Without the silence around it."""
    loud = np.flatnonzero((power := loudness(pcm)) > power.max() * 1e-3)
    return pcm[loud[0] * _BLOCK : (loud[-1] + 1) * _BLOCK]


def cut(pcm: Float32Array, rng: random.Random) -> Float32Array:
    """Stopped at the quietest 10 ms of a stretch somewhere between a third and nine tenths of it."""
    power = loudness(pcm)
    middle, reach = int(rng.uniform(0.33, 0.9) * len(power)), 12
    first = max(1, middle - reach)
    return pcm[: (first + int(power[first : middle + reach].argmin())) * _BLOCK]


def with_pause(pcm: Float32Array, rng: random.Random, noise_rng: np.random.Generator) -> Float32Array:
    """Room before and, for a moment, after it."""
    pcm = np.pad(pcm, (int(rng.uniform(0.05, 0.3) * SAMPLE_RATE_HZ), int(rng.uniform(0.06, 0.19) * SAMPLE_RATE_HZ)))
    if rng.random() < 0.3:
        pcm = augment.room(pcm, noise_rng)[: len(pcm)]
    pcm = augment.add_at_snr(pcm, augment.noise(len(pcm), noise_rng), rng.uniform(12, 45))
    return (pcm * rng.uniform(0.2, 0.9) / max(1e-4, float(np.abs(pcm).max()))).astype(np.float32)


def example(text: str, whole: bool, rng: random.Random, noise_rng: np.random.Generator) -> Float32Array:
    """One clip of a sentence that is whole or not."""
    voice = voices.espeak if rng.random() < 0.6 else voices.flite
    words = text.rstrip(".?!").split()
    if whole:
        pcm = spoken(voice(text, rng))
    elif rng.random() < 0.35 and len(words) > 2:
        pcm = spoken(voice(" ".join(words[: rng.randint(1, len(words) - 1)]) + ",", rng))
    else:
        pcm = cut(spoken(voice(text, rng)), rng)
    pcm = augment.change_speed(pcm, rng.uniform(0.88, 1.12))
    return with_pause(pcm, rng, noise_rng)


def read_texts(path: Path) -> list[str]:
    """One sentence a line, plain or as JSON with "text"."""
    lines = [line for line in path.read_text().splitlines() if line.strip()]
    texts = [json.loads(line)["text"] if line.startswith("{") else line for line in lines]
    return [text for text in texts if 3 <= len(text.split()) <= 16]


def waited_ms(score: float) -> float:
    """The silence after which the gate ends a turn: it looks once a step of the voice detector."""
    return math.ceil(silence_that_ends_ms(score) / STEP_MS - 1e-9) * STEP_MS


def measure(head: Head, encoder: AudioEncoder, folder: Path) -> dict[str, dict[str, float]]:
    """On held-out voices: share of whole sentences taken as such, and of cut ones (false), at a half, and the AUC; how
    long the gate waits after whole ones, and the share of cut ones that it would end in a pause of PAUSES_MS.
    """
    judge, rng, noise_rng = EndOfTurnHead(head, encoder.space), random.Random(1), np.random.default_rng(1)
    items = [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]
    out = {}
    for kind in ("question", "synthetic", "human"):
        scores: tuple[list[float], list[float]] = ([], [])
        for item in (item for item in items if item["set"] == kind):
            pcm = spoken(read_audio(folder / item["file"]))
            for which, clip in enumerate((cut(pcm, rng), pcm)):
                scores[which].append(judge(encoder.encode(with_pause(clip, rng, noise_rng))))
        short, whole = (np.array(values) for values in scores)
        auc = float((whole[:, None] > short[None]).mean())
        out[kind] = {"whole": float((whole >= 0.5).mean()), "cut": float((short >= 0.5).mean()), "auc": auc}
        waits, ends = (np.array([waited_ms(score) for score in scores]) for scores in (whole, short))
        out[kind] |= {f"wait_ms_p{q}": float(np.percentile(waits, q)) for q in (50, 90, 95)}
        out[kind] |= {f"cut_off_in_{pause_ms}_ms": float((ends <= pause_ms).mean()) for pause_ms in PAUSES_MS}
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--measure", action="store_true", help="train nothing: print the figures of --out")
    parser.add_argument("--clips", type=int, default=4000)
    parser.add_argument("--encoder", type=Path, default=Path("models/artifacts/whisper-tiny-en-encoder-int8.onnx"))
    parser.add_argument("--eval", type=Path, default=Path("models/eval/speech"))
    parser.add_argument("--keep", type=Path, help="keep the features here, and go on from them")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    encoder = AudioEncoder(args.encoder, n_threads=1)
    if args.measure:
        print(json.dumps(measure(load(args.out), encoder, args.eval), indent=1))
        return
    if args.texts is None:
        parser.error("--texts is needed to train")
    x, y = make(args, encoder)
    held = np.arange(len(y)) // 2 % 8 == 0  # both of a pair
    heads = [fit(x[~held], y[~held], encoder.space, l2=l2) for l2 in L2]
    right = [np.mean([(h.probability(f) >= 0.5) == t for f, t in zip(x[held], y[held], strict=True)]) for h in heads]
    print("held-out clips of the training voices:", dict(zip(L2, np.round(right, 3), strict=True)))
    head = fit(x, y, encoder.space, l2=L2[int(np.argmax(right))])
    head.save(args.out)
    print(json.dumps(measure(head, encoder, args.eval), indent=1))


def make(args: argparse.Namespace, encoder: AudioEncoder) -> tuple[Float32Array, np.ndarray]:
    """Features (N, D) and labels (N,), half of each kind."""
    if args.keep and args.keep.is_file():
        with np.load(args.keep) as file:
            return file["x"].astype(np.float32), file["y"]
    texts, rng, noise_rng = read_texts(args.texts), random.Random(0), np.random.default_rng(0)
    x, y = [], []
    for i in range(args.clips):
        pcm = example(rng.choice(texts), whole := i % 2 == 0, rng, noise_rng)
        if 0.3 * SAMPLE_RATE_HZ < len(pcm) < 10 * SAMPLE_RATE_HZ:
            x.append(features(encoder.encode(pcm).data))
            y.append(whole)
        if i % 200 == 199:
            print(f"{i + 1} clips", flush=True)
    out = np.stack(x), np.array(y)
    if args.keep:
        np.savez(args.keep, x=out[0].astype(np.float16), y=out[1])
    return out


if __name__ == "__main__":
    main()
