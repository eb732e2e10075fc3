"""Step 0 of the speech connector: CTC against the backbone's own token embeddings. No pass through the backbone.

`python -m models.recipes.speech_ctc GGUF SHARDS... --out DIR` trains until --minutes are used, with a checkpoint
every few minutes; the same command resumes. Seeded; what is not reproducible bit by bit is the order of shards that
were still being made.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from glasses.evals.speech import word_errors
from models.recipes import frozen_backbone, training
from models.recipes.latent_shards import Clip, Shards, pad
from models.recipes.pieces import Pieces
from models.recipes.speech_connector import PER_STATE, STACK, SpeechConnector, collapse, scores, spelled
from models.recipes.speech_text import split, written

LETTERS_WEIGHT = 0.5
N_OTHERS = 2000


def hide(latents: Tensor, rng: random.Random) -> Tensor:
    """Masks spans of up to 200 ms in each clip, so that context has to be used (SpecAugment, Park et al. 2019)."""
    for row in latents:
        for _ in range(len(row) // 30):
            start = rng.randrange(len(row))
            row[start : start + rng.randint(1, 10)] = 0
    return latents


def heard_anew(clips: list[Clip], rng: random.Random) -> tuple[Tensor, Tensor]:
    """The padded latents and mask of a batch, each clip at a tempo of its own and with spans hidden."""
    latents, mask = pad([clip.latents(rng.uniform(0.88, 1.12)) for clip in clips], STACK)
    return hide(latents, rng), mask


def ctc(log_probs: Tensor, n_positions: Tensor, targets: list[Tensor]) -> Tensor:
    """Mean over the clips of the CTC loss per target of (B, P, 1 + n) log-probabilities, blank first.

    A clip with few targets or none counts as if it had one every ten positions.
    """
    lengths = torch.tensor([len(target) for target in targets])
    each = F.ctc_loss(
        log_probs.transpose(0, 1), torch.cat(targets), n_positions, lengths, reduction="none", zero_infinity=True
    )
    return (each / torch.maximum(lengths, n_positions // 10).clamp(min=1)).mean()


def letters_loss(letters: Tensor, n_positions: Tensor, clips: list[Clip]) -> Tensor:
    """Mean CTC loss per letter."""
    targets = [torch.tensor(spelled(clip.text), dtype=torch.long) for clip in clips]
    return ctc(F.log_softmax(letters.float(), dim=-1), n_positions * PER_STATE, targets)


def ctc_losses(
    model: SpeechConnector, clips: list[Clip], pieces: Pieces, table: Tensor, rng: random.Random
) -> tuple[Tensor, Tensor]:
    """Mean CTC loss per target piece and per letter over the batch."""
    latents, mask = heard_anew(clips, rng)
    chosen, targets = among(clips, pieces, rng)
    with torch.autocast("cpu", torch.bfloat16):
        heard = model(latents, mask)
        log_probs = F.log_softmax(scores(heard.states, heard.blank, table[chosen]).float(), dim=-1)
    return ctc(log_probs, mask.sum(1), targets), letters_loss(heard.letters, mask.sum(1), clips)


def among(clips: list[Clip], pieces: Pieces, rng: random.Random) -> tuple[Tensor, list[Tensor]]:
    """The pieces a batch is told apart from, its own and N_OTHERS more, and the targets as CTC indices among them.

    The full softmax would be a third of a step.
    """
    said = [pieces.encode(clip.text) for clip in clips]
    others = rng.sample(range(len(pieces.ids)), min(N_OTHERS, len(pieces.ids)))
    chosen = sorted({*others, *(piece for sentence in said for piece in sentence)})
    at = {piece: i + 1 for i, piece in enumerate(chosen)}
    return torch.tensor(chosen), [torch.tensor([at[p] for p in sentence], dtype=torch.long) for sentence in said]


def spelling_loss(model: SpeechConnector, clips: list[Clip], rng: random.Random) -> Tensor:
    """As ctc_losses, the letters and the lower half alone: a quarter of the cost."""
    latents, mask = heard_anew(clips, rng)
    with torch.autocast("cpu", torch.bfloat16):
        _, letters = model.spell(latents, mask)
    return letters_loss(letters, mask.sum(1), clips)


@torch.inference_mode()
def greedy(model: SpeechConnector, clip: Clip, pieces: Pieces, table: Tensor) -> str:
    """Reads one clip by the best path, for watching the training; nothing at run time reads words this way."""
    heard = model(torch.from_numpy(clip.latents())[None])
    best = scores(heard.states, heard.blank, table)[0].argmax(-1).tolist()
    return "".join(pieces.strings[p] for p, _, _ in collapse(best)).replace("\u0120", " ").strip()


def error_rate(model: SpeechConnector, clips: list[Clip], pieces: Pieces, table: Tensor) -> float:
    """Word error rate of the greedy path."""
    model.eval()
    counts = [word_errors(clip.text, greedy(model, clip, pieces, table)) for clip in clips]
    model.train()
    return sum(e for e, _ in counts) / max(1, sum(n for _, n in counts))


def start(args: argparse.Namespace) -> tuple[SpeechConnector, Pieces, Tensor]:
    """Builds the connector, the pieces and the frozen rows of the embedding table that belong to them."""
    backbone, tokenizer = frozen_backbone.load(args.gguf, dtype=torch.float32)
    pieces = _pieces(args.pieces, tokenizer)
    table = backbone.get_input_embeddings().weight[torch.tensor(pieces.ids)].clone()
    return SpeechConnector(table.shape[1], width=args.width, depth=args.depth), pieces, table


def _pieces(path: Path, tokenizer: Any) -> Pieces:
    """The pieces at `path`, or learned and kept there: a trained connector belongs to them."""
    if path.exists():
        return Pieces(tokenizer, json.loads(path.read_text()))
    train_text, _ = split(written(random.Random(0)), random.Random(0))
    pieces = Pieces.learn(tokenizer, train_text, min_count=6)
    path.write_text(json.dumps(pieces.strings, ensure_ascii=False))
    return pieces


def train(args: argparse.Namespace) -> None:
    step = training.steps_done(args.out / "ctc.pt")
    torch.manual_seed(args.seed + step)
    rng = random.Random(f"{args.seed}.{step}")
    model, pieces, table = start(args)
    if args.warm:
        model.load_state_dict(training.load(args.warm)["model"], strict=False)
    later = ("residual", "begin", "end")  # these learn in step 1 only
    used = [p for name, p in model.named_parameters() if not name.startswith(later)]
    decay, rest = [p for p in used if p.dim() > 1], [p for p in used if p.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.01}, {"params": rest, "weight_decay": 0.0}], fused=True
    )
    shards = Shards(args.shards)
    watched = Shards([args.watch]).clips[:120] if args.watch else []
    batches = endless(shards, args.rows, rng)
    size = sum(p.numel() for p in model.parameters()) / 1e6
    print(f"{len(shards.clips)} clips, {len(pieces.ids)} pieces, {size:.1f} M parameters", flush=True)

    def losses(_step: int, used_s: float) -> dict[str, Tensor]:
        if used_s < args.spelling_minutes * 60:
            return {"letters": LETTERS_WEIGHT * spelling_loss(model, next(batches), rng)}
        words, letters = ctc_losses(model, next(batches), pieces, table, rng)
        return {"words": words, "letters": LETTERS_WEIGHT * letters}

    training.train(
        model,
        optimizer,
        args.out / "ctc.pt",
        losses,
        share=training.within_minutes(args.minutes),
        rate=training.warm_cosine(args.lr, warm_steps=300, floor=0.02),
        watch=lambda: {"wer": round(error_rate(model, watched, pieces, table), 3)},
    )


def endless(shards: Shards, rows: int, rng: random.Random) -> Iterator[list[Clip]]:
    """Epoch after epoch, with the shards that were finished in between."""
    while True:
        yield from shards.batches(rows, rng)
        shards.refresh()


def main() -> None:
    parser = argparse.ArgumentParser(description="CTC warm-up of the speech connector.")
    parser.add_argument("gguf", type=Path)
    parser.add_argument("shards", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--warm", type=Path, help="start from the weights of this checkpoint of an earlier run")
    parser.add_argument("--watch", type=Path, help="folder of held-out shards to print a word error rate on")
    parser.add_argument("--minutes", type=float, default=90)
    parser.add_argument("--spelling-minutes", type=float, default=15, help="how long the lower half trains alone")
    parser.add_argument("--rows", type=int, default=6400, help="20 ms latents in a batch")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--depth", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    args.pieces = args.out / "pieces.json"
    train(args)


if __name__ == "__main__":
    main()
