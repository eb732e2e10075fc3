"""Steps 1 and 2 of the speech connector: through the frozen backbone, it learns to be repeated and to be answered.

Starts from the CTC warm-up. The soft tokens are already understood; what is learned here are the rows around them
(they say "this was heard" and let a small backbone repeat what it would otherwise only talk about), a residual beside
every soft token, and a little of everything before. Repeating is trained against the transcript, answering against
what the same backbone answers to the typed sentence. CTC goes on beside, or positions would lose their meaning.

`python -m models.recipes.speech_align GGUF SHARDS... --warm ctc.pt --answers ANSWERS.jsonl --out DIR --minutes M`
"""

from __future__ import annotations

import argparse
import json
import random
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from glasses.backbone.prompt import SUFFIX
from glasses.connectors.pooled import PooledConnector
from glasses.types import Latents
from models.recipes import speech_ctc, training
from models.recipes.frozen_backbone import Frozen
from models.recipes.latent_shards import Clip, Shards, pad
from models.recipes.pieces import Pieces
from models.recipes.remote_backbone import open_frozen
from models.recipes.speech_connector import STACK, SpeechConnector, scores, soft_rows

REPEAT = (" Repeat the words.", " Repeat what was said.", " What did I say?", " What was said?", " Say that again.")
CLIPS = 12
CTC_WEIGHT = 0.3


@dataclass(frozen=True, slots=True)
class Course:
    """What stays the same over the training: where rows come from and what is to be said."""

    backbone: Frozen
    pieces: Pieces
    table: Tensor
    answers: dict[str, str]
    ambience: PooledConnector | None

    def example(self, clip: Clip, rng: random.Random) -> tuple[list[int], list[int]]:
        """Returns (tokens after the spoken rows, reply tokens): the clip's own answer if it has one, or a repeat."""
        ids, eos = self.backbone.ids, self.backbone.ids("<|im_end|>")
        if clip.text in self.answers and rng.random() < 0.6:
            answer = self.answers[clip.text]
            return ids(SUFFIX), ids(answer) + (eos if answer.endswith((".", "!", "?")) else [])
        question = REPEAT[0] if rng.random() < 0.5 else rng.choice(REPEAT)
        said = clip.text[0].upper() + clip.text[1:]
        return ids(question) + ids(SUFFIX), ids(said) + eos

    def before(self, clip: Clip, rng: random.Random) -> Tensor:
        """The ambience rows that stand before the words at run time; sometimes none, so that words do not need them."""
        if self.ambience is None or rng.random() < 0.2:
            return self.table[:0]
        latents = Latents(0, 0, "audio", clip.latents(), self.ambience.space)
        return torch.from_numpy(self.ambience.apply_beside_words(latents).copy())


def loss_of(model: SpeechConnector, course: Course, clips: list[Clip], rng: random.Random) -> tuple[Tensor, Tensor]:
    """Returns (cross-entropy of the replies, CTC loss)."""
    latents, mask = pad([clip.latents() for clip in clips], STACK)
    with torch.autocast("cpu", torch.bfloat16):
        heard = model(latents, mask)
        raw = scores(heard.states, heard.blank, course.table).float()
    log_probs = F.log_softmax(raw, dim=-1)
    targets = [torch.tensor(course.pieces.encode(clip.text)) + 1 for clip in clips]
    ctc = speech_ctc.ctc(log_probs, mask.sum(1), targets)
    asked, replies = [], []
    for i, clip in enumerate(clips):
        n = int(mask[i].sum())
        after, reply = course.example(clip, rng)
        rows = soft_rows(log_probs[i, :n].exp(), heard.residual[i, :n].float(), course.table)
        asked.append([torch.cat([course.before(clip, rng), model.begin, rows, model.end]), after])
        replies.append(reply)
    return course.backbone.answer_loss(asked, replies), ctc


def optimizer_of(model: SpeechConnector, lr: float) -> torch.optim.Optimizer:
    """The rows around the words learn fast, what is warmed up slowly.

    The residual is the slowest: each output sums 384 inputs, so at the full rate one step of Adam moves a row
    further than the rows of the embedding table lie apart.
    """
    around, residual = [model.begin, model.end], list(model.residual.parameters())
    known = {id(p) for p in (*around, *residual)}
    warm = [p for p in model.parameters() if id(p) not in known]
    groups = [(around, 1.0), (warm, 0.05), (residual, 0.005)]
    return torch.optim.AdamW([{"params": p, "lr": lr, "scale": scale} for p, scale in groups], weight_decay=0.0)


def train(args: argparse.Namespace, backbone: Frozen) -> None:
    """Aligns until the minutes are used."""
    torch.manual_seed(args.seed + training.steps_done(args.out / "align.pt"))
    model, pieces, table = speech_ctc.start(args)
    model.load_state_dict(training.mean_weights(args.warm), strict=False)
    if not model.begin.any():  # else an earlier alignment has taught them already
        model.place_rows(backbone.rows("\n")[0])
    answers = {row["text"]: row["answer"] for row in map(json.loads, args.answers.read_text().splitlines())}
    course = Course(backbone, pieces, table, answers, PooledConnector(args.ambience) if args.ambience else None)
    clips = [clip for clip in Shards(args.shards).clips if len(clip.text.split()) >= 2]
    answered = [clip for clip in clips if clip.text in answers]
    print(f"{len(clips)} clips, {len(answered)} with answers", flush=True)
    model.train()

    def losses(step: int, _used_s: float) -> dict[str, Tensor]:
        rng = random.Random(f"{args.seed}.{step}")
        batch = rng.sample(clips, CLIPS // 2) + rng.sample(answered, CLIPS // 2)
        reply, ctc = loss_of(model, course, batch, rng)
        return {"reply": reply, "ctc": CTC_WEIGHT * ctc}

    training.train(
        model,
        optimizer_of(model, args.lr),
        args.out / "align.pt",
        losses,
        share=training.within_minutes(args.minutes),
        rate=training.warm_cosine(args.lr, warm_steps=50, floor=0.02),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Align the speech connector through the frozen backbone.")
    parser.add_argument("gguf", type=Path)
    parser.add_argument("shards", type=Path, nargs="+")
    parser.add_argument("--warm", type=Path, nargs="+", required=True, help="checkpoints to start from, averaged")
    parser.add_argument("--answers", type=Path, required=True, help="lines of models.recipes.speech_answers")
    parser.add_argument("--ambience", type=Path, help="ambience connector whose rows stand before the words")
    parser.add_argument("--through", metavar="URL", help="train through this service's Gradient API (glasses serve)")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--depth", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    args.pieces = args.warm[0].with_name("pieces.json")
    with open_frozen(args.gguf, args.through) as backbone:
        train(args, backbone)


if __name__ == "__main__":
    main()
