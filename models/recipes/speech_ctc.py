"""Step 0 of the speech connector: CTC against the backbone's own token embeddings. No pass through the backbone.

`python -m models.recipes.speech_ctc GGUF SHARDS... --out DIR` trains until --minutes are used, with a checkpoint
every few minutes; the same command resumes. Seeded; what is not reproducible bit by bit is the order of shards that
were still being made.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from glasses.evals.speech import word_errors
from models.recipes import frozen_backbone
from models.recipes.latent_shards import Clip, Shards, pad
from models.recipes.pieces import Pieces
from models.recipes.speech_connector import STACK, SpeechConnector, collapse, scores
from models.recipes.speech_text import split, written

CHECKPOINT_EVERY_S = 240


def learning_rate(step: int, done: float, peak: float) -> float:
    """Linear warm-up over 300 steps, then a cosine over the share `done` of the time budget."""
    return peak * min(1.0, (step + 1) / 300) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(done, 1.0))))


def hide(latents: Tensor, rng: random.Random) -> Tensor:
    """Masks spans of up to 200 ms in each clip, so that context has to be used (SpecAugment, Park et al. 2019)."""
    for row in latents:
        for _ in range(len(row) // 30):
            start = rng.randrange(len(row))
            row[start : start + rng.randint(1, 10)] = 0
    return latents


def ctc_loss(model: SpeechConnector, clips: list[Clip], pieces: Pieces, table: Tensor, rng: random.Random) -> Tensor:
    """Mean CTC loss per target piece over the batch."""
    latents, mask = pad([clip.latents(rng.uniform(0.88, 1.12)) for clip in clips], STACK)
    targets = [torch.tensor(pieces.encode(clip.text)) + 1 for clip in clips]
    with torch.autocast("cpu", torch.bfloat16):
        states, blank, _ = model(hide(latents, rng), mask)
        log_probs = F.log_softmax(scores(states, blank, table).float(), dim=-1)
    lengths = torch.tensor([len(t) for t in targets])
    return F.ctc_loss(log_probs.transpose(0, 1), torch.cat(targets), mask.sum(1), lengths, zero_infinity=True)


@torch.inference_mode()
def greedy(model: SpeechConnector, clip: Clip, pieces: Pieces, table: Tensor) -> str:
    """Reads one clip by the best path, for watching the training; nothing at run time reads words this way."""
    states, blank, _ = model(torch.from_numpy(clip.latents())[None])
    best = scores(states, blank, table)[0].argmax(-1).tolist()
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
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)
    model, pieces, table = start(args)
    later = ("residual", "begin", "end")  # these learn in step 1 only
    used = [p for name, p in model.named_parameters() if not name.startswith(later)]
    decay, rest = [p for p in used if p.dim() > 1], [p for p in used if p.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.01}, {"params": rest, "weight_decay": 0.0}], fused=True
    )
    state: dict[str, Any] = {"step": 0, "used_s": 0.0}
    checkpoint = args.out / "ctc.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"], strict=False)
        optimizer.load_state_dict(saved["optimizer"])
        state = saved["state"]
    shards = Shards(args.shards)
    watch = Shards([args.watch]).clips[:120] if args.watch else []
    size = sum(p.numel() for p in model.parameters()) / 1e6
    print(f"{len(shards.clips)} clips, {len(pieces.ids)} pieces, {size:.1f} M parameters", flush=True)
    before, begun, saved_at, losses = state["used_s"], time.monotonic(), time.monotonic(), []
    while state["used_s"] < args.minutes * 60:
        for clips in shards.batches(args.rows, rng):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(state["step"], state["used_s"] / (args.minutes * 60), args.lr)
            loss = ctc_loss(model, clips, pieces, table, rng)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
            state["step"] += 1
            state["used_s"] = before + time.monotonic() - begun
            if state["step"] % 50 == 0:
                line = {
                    "step": state["step"],
                    "min": round(state["used_s"] / 60, 1),
                    "loss": round(sum(losses[-50:]) / 50, 3),
                }
                print(json.dumps(line), flush=True)
            if time.monotonic() - saved_at > CHECKPOINT_EVERY_S or state["used_s"] >= args.minutes * 60:
                saved_at = time.monotonic()
                part = checkpoint.with_suffix(".part")
                torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "state": state}, part)
                part.rename(checkpoint)
                print(json.dumps({"watch_wer": round(error_rate(model, watch, pieces, table), 3)}), flush=True)
            if state["used_s"] >= args.minutes * 60:
                break
        shards.refresh()


def main() -> None:
    parser = argparse.ArgumentParser(description="CTC warm-up of the speech connector.")
    parser.add_argument("gguf", type=Path)
    parser.add_argument("shards", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--watch", type=Path, help="folder of held-out shards to print a word error rate on")
    parser.add_argument("--minutes", type=float, default=90)
    parser.add_argument("--rows", type=int, default=6400, help="20 ms latents in a batch")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    args.pieces = args.out / "pieces.json"
    train(args)


if __name__ == "__main__":
    main()
