"""Trains the rows after a short window's latents that take the place of silence up to 30 s.

With them Whisper's decoder gives for a short window what it gives for the same sound padded to 30 s, and nothing where
nobody speaks.

    python -m models.recipes.soft_decoder_tail ENCODER.onnx model.bin config.json SHARDS... --quiet SOUNDS --out DIR

The teacher is the decoder itself with all 30 s (1,500 latents in every step); its subwords are the targets for the
decoder with a few learned rows. SHARDS come from speech_clips, SOUNDS from sound_clips. The teacher's answers are kept
in DIR and not computed again. Only the rows are trained.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from glasses.connectors.soft_decoder import LATENTS_PER_SUBWORD, N_FREE, SoftDecoder, is_repeating
from glasses.encoders.audio import LATENTS_PER_S, AudioEncoder
from glasses.evaluation.speech import edits
from glasses.model_store import flat_weights, whisper_decoder_weights
from glasses.model_store.whisper_decoder_weights import NO_TIMESTAMPS, START
from glasses.types import SAMPLE_RATE_HZ, Latents
from models.recipes import training
from models.recipes.latent_shards import Clip, Shards
from models.recipes.soft_decoder_model import WINDOW, Decoder, Tail
from quantize import whisper_decoder
from quantize.whisper_decoder import END

CLIPS, QUIET = 16, 4  # of one step
N_HELD = 96
TAUGHT_AT_ONCE = 24
MAX_RATE = 3e-3

Heard = tuple[NDArray[Any], list[int]]  # latents (T, n_state) and their subwords


def batch_of(latents: Sequence[NDArray[Any]]) -> tuple[Tensor, Tensor]:
    """Padded latents (B, T, n_state), and which are real (B, T)."""
    lengths = torch.tensor([len(rows) for rows in latents])
    batch = torch.zeros(len(latents), int(lengths.max()), latents[0].shape[1])
    for i, rows in enumerate(latents):
        batch[i, : len(rows)] = torch.from_numpy(rows)
    return batch, torch.arange(batch.shape[1])[None] < lengths[:, None]


def teacher(model: Path, never: list[int], space: str, folder: Path) -> SoftDecoder:
    """The deployed decoder, with rows after the latents that attention ignores."""
    held = whisper_decoder_weights.arrays(whisper_decoder_weights.read_tensors(model))
    n_state = held["start"].shape[1]
    n_layer, n_head = sum(name.endswith("ffn.gamma") for name in held), n_state // 64
    unseen = np.zeros((n_layer, 1, n_state), np.float32)
    unlearned = {"k": unseen, "v": unseen, "b": np.full((n_layer, n_head, 1), whisper_decoder.NEVER, np.float32)}
    flat_weights.write(held, folder / whisper_decoder.WEIGHTS)
    onnx.save(whisper_decoder.begin(held, unlearned, space, 2 * n_state), folder / "begin.onnx")
    onnx.save(whisper_decoder.step(held, never), folder / "step.onnx")
    return SoftDecoder(folder / "begin.onnx", folder / "step.onnx", folder / whisper_decoder.WEIGHTS)


def teach(listener: SoftDecoder, silence: Latents, clips: Sequence[Clip], path: Path) -> list[Heard]:
    """The decoder's subwords for each clip padded with silence to 30 s; kept in `path`."""
    known: list[list[int]] = json.loads(path.read_text()) if path.exists() else []
    heard = []
    for i, clip in enumerate(clips):
        rows = clip.latents()
        if i >= len(known):
            window = replace(silence, data=np.concatenate([rows, silence.data[len(rows) :]]))
            subwords = [int(one.subwords[0]) for one in listener.decode(window)]
            known.append(subwords[: N_FREE + len(rows) // LATENTS_PER_SUBWORD])
        if i % 200 == 199 or i == len(clips) - 1:
            path.write_text(json.dumps(known))
            print(f"taught {i + 1} of {len(clips)}", flush=True)
        if known[i] and not is_repeating(known[i]):
            heard.append((rows[:, : rows.shape[1] // 2].copy(), known[i]))
    return heard


def losses_of(decoder: Decoder, tail: Tail, batch: Sequence[Heard]) -> tuple[Tensor, Tensor]:
    """Cross-entropy of every subword and of the end of each clip; and the wanted subwords, (n,)."""
    width = max(len(subwords) for _, subwords in batch) + 1
    ids = torch.full((len(batch), width + 2), END)
    ids[:, 0], ids[:, 1] = START, NO_TIMESTAMPS
    for i, (_, subwords) in enumerate(batch):
        ids[i, 2 : 2 + len(subwords)] = torch.tensor(subwords, dtype=torch.long)
    counted = torch.arange(width)[None] <= torch.tensor([len(subwords) for _, subwords in batch])[:, None]
    states = decoder(ids[:, :-1], decoder.look(*batch_of([rows for rows, _ in batch]), tail))[:, 1:]
    wanted = ids[:, 2:][counted]
    return F.cross_entropy(decoder.scores(states[counted]), wanted, reduction="none"), wanted


def errors(decoder: Decoder, tail: Tail, held: Sequence[Heard], quiet: Sequence[Heard]) -> dict[str, float]:
    """Share of subwords that differ from the teacher's, and of quiet clips that give any subword."""
    wrong = total = talked = 0
    with torch.no_grad():
        for group in (held, quiet):
            for first in range(0, len(group), TAUGHT_AT_ONCE):
                some = group[first : first + TAUGHT_AT_ONCE]
                said = decoder.greedy(decoder.look(*batch_of([rows for rows, _ in some]), tail), 40)
                for (_, wanted), got in zip(some, said, strict=True):
                    wrong += edits(wanted, got) if wanted else 0
                    total += len(wanted)
                    talked += bool(got) and not wanted
    return {"subwords_wrong": round(wrong / max(1, total), 4), "quiet_heard": round(talked / max(1, len(quiet)), 4)}


def train(args: argparse.Namespace) -> None:
    """Teaches, trains until the minutes are used, and writes DIR/tail.npz."""
    torch.manual_seed(args.seed)
    silence = AudioEncoder(args.encoder).encode(np.zeros(WINDOW * SAMPLE_RATE_HZ // LATENTS_PER_S, np.float32))
    never = json.loads(args.config.read_text())["suppress_ids"]
    listener = teacher(args.model, never, silence.space, args.out)
    heard = teach(listener, silence, Shards(args.shards).clips, args.out / "taught.json")
    decoder, n_state = Decoder.load(args.model, never), silence.data.shape[1] // 2
    quiet = [(clip.latents()[:, :n_state].copy(), list[int]()) for clip in Shards(args.quiet).clips]
    for clips in (heard, quiet):
        random.Random(args.seed).shuffle(clips)
    held, heard = heard[:N_HELD], heard[N_HELD:]
    unheard, quiet = quiet[: N_HELD // 2], quiet[N_HELD // 2 :]
    print(f"{len(heard)} clips of speech, {len(quiet)} of none", flush=True)
    tail = Tail(decoder, silence.data[:, :n_state], args.rows)
    rates = [{"params": [tail.k, tail.v]}, {"params": [tail.b], "scale": 3.0}]

    def losses(step: int, _used_s: float) -> dict[str, Tensor]:
        rng = random.Random(f"{args.seed}.{step}")
        alike = sorted(rng.sample(heard, 4 * CLIPS), key=lambda pair: len(pair[0]))  # little of a batch is padding
        at = rng.randrange(4) * CLIPS
        loss, _ = losses_of(decoder, tail, alike[at : at + CLIPS] + rng.sample(quiet, min(QUIET, len(quiet))))
        return {"subwords": loss.mean()}

    training.train(
        tail,
        torch.optim.AdamW(rates, lr=MAX_RATE, weight_decay=0.0),
        args.out / "tail.pt",
        losses,
        share=training.within_minutes(args.minutes),
        rate=training.warm_cosine(MAX_RATE, warm_steps=30, floor=0.05),
        watch=lambda: errors(decoder, tail, held, unheard),
    )
    rows = {name: value.detach().numpy() for name, value in tail.named_parameters()}
    np.savez(args.out / "tail.npz", **rows)


def main() -> None:
    parser = argparse.ArgumentParser(description="Learn the rows after a short window's latents.")
    parser.add_argument("encoder", type=Path)
    parser.add_argument("model", type=Path, help="model.bin of whisper-tiny-en-ct2")
    parser.add_argument("config", type=Path, help="its config.json")
    parser.add_argument("shards", type=Path, nargs="+")
    parser.add_argument("--quiet", type=Path, nargs="+", required=True, help="sounds in which nobody speaks")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=16)
    parser.add_argument("--rows", type=int, default=48)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    train(args)


if __name__ == "__main__":
    main()
