"""Learns the rows that stand around spoken words, through the frozen backbone: "this was heard", said to one backbone.

    python -m models.recipes.speech_align GGUF SHARDS... --answers ANSWERS.jsonl --out DIR --minutes 20

What is said comes from the bundle's own listener as soft tokens, which the backbone understands as they are. Without
rows around them a small backbone talks about a sentence that it is asked to repeat. Repeating is trained against the
transcript, answering against what the same backbone answers to the typed sentence (models.recipes.speech_answers), so
that what is asked aloud is answered as what is typed. Nothing but the rows is trained: 10 of them, few behind, because
those are read after the wearer has stopped speaking. DIR/heard.json keeps what the listener heard of every clip.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from glasses import store
from glasses.backbone.prompt import SUFFIX
from glasses.connectors.listener import Heard, Listener, read_pieces
from glasses.connectors.pooled import PooledConnector
from glasses.connectors.spelled import Spelling
from glasses.types import Float32Array, Latents
from models.recipes import training
from models.recipes.frozen_backbone import Frozen
from models.recipes.latent_shards import Clip, Shards
from models.recipes.remote_backbone import open_frozen

REPEAT = (" Repeat the words.", " Repeat what was said.", " What did I say?", " What was said?", " Say that again.")
CLIPS = 12
N_BEGIN, N_END = 8, 2
LISTENER_FILES = ("listener-begin.onnx", "listener-step.onnx", "whisper-tiny-en-decoder-int8.bin")
Said = tuple[Clip, Float32Array]  # a clip and the rows of its words (n, n_embd)


class Rows(nn.Module):
    """The learned rows; they begin as line breaks, which say nothing."""

    def __init__(self, plain: Tensor) -> None:
        super().__init__()
        noise = torch.randn(N_BEGIN + N_END, len(plain)) * 0.1 * plain.std()
        self.begin = nn.Parameter(plain + noise[:N_BEGIN])
        self.end = nn.Parameter(plain + noise[N_BEGIN:])


class Spells:
    """`glasses.connectors.spelled.Speller` of a frozen backbone, near or far."""

    def __init__(self, backbone: Frozen) -> None:
        self._backbone, self._rows = backbone, dict[int, Float32Array]()

    def tokenize(self, text: str, *, special: bool = True) -> list[int]:
        """Token ids; their rows are known from then on."""
        del special
        ids = self._backbone.ids(text) if text else []
        if ids:
            self._rows |= dict(zip(ids, self._backbone.rows(text).numpy(), strict=True))
        return ids

    def token_rows(self, ids: Sequence[int]) -> Float32Array:
        """float32 (len(ids), n_embd) of tokens that `tokenize` has given."""
        return np.stack([self._rows[token] for token in ids]) if ids else np.zeros((0, 0), np.float32)


@dataclass(frozen=True, slots=True)
class Course:
    """What stays the same over the training: where rows come from and what is to be said."""

    backbone: Frozen
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

    def before(self, clip: Clip, rng: random.Random, n_embd: int) -> Tensor:
        """The ambience rows that stand before the words at run time; sometimes none, so that words do not need them."""
        if self.ambience is None or rng.random() < 0.2:
            return torch.zeros(0, n_embd)
        latents = Latents(0, 0, "audio", clip.latents(), self.ambience.space)
        return torch.from_numpy(self.ambience.apply_beside_words(latents).copy())


def loss_of(rows: Rows, course: Course, said: Sequence[Said], rng: random.Random) -> Tensor:
    """Cross-entropy of the replies."""
    asked, replies = [], []
    for clip, words in said:
        after, reply = course.example(clip, rng)
        before = course.before(clip, rng, words.shape[1])
        asked.append([torch.cat([before, rows.begin, torch.from_numpy(words), rows.end]), after])
        replies.append(reply)
    return course.backbone.answer_loss(asked, replies)


def listen(clips: Sequence[Clip], name: str, path: Path) -> list[list[Heard]]:
    """What the listener of the model `name` hears in each clip; kept in `path`."""
    listener = Listener(*(store.path_of(name, file) for file in LISTENER_FILES))
    known: list[list[list[list[float]]]] = json.loads(path.read_text()) if path.exists() else []
    for i in range(len(known), len(clips)):
        heard = listener.hear(Latents(0, 0, "audio", clips[i].latents(), listener.space))
        known.append([[one.pieces.tolist(), np.round(one.shares, 5).tolist()] for one in heard])
        if i % 200 == 199 or i == len(clips) - 1:
            path.write_text(json.dumps(known))
            print(f"heard {i + 1} of {len(clips)}", flush=True)
    return [[Heard(np.array(p, np.int64), np.array(s, np.float32)) for p, s in heard] for heard in known]


def said_in(args: argparse.Namespace, backbone: Frozen) -> list[Said]:
    """The clips of two words and more, with the rows of what is heard in them."""
    clips = Shards(args.shards).clips
    pieces = read_pieces(store.path_of(args.words, "vocabulary.txt"))
    first, others = (Spelling(texts, Spells(backbone)) for texts in ([text.lstrip() for text in pieces], pieces))
    said = []
    for clip, heard in zip(clips, listen(clips, args.words, args.out / "heard.json"), strict=True):
        if len(heard) > 1 and len(clip.text.split()) > 1:
            rows = [(others if i else first).mixed(one.pieces, one.shares) for i, one in enumerate(heard)]
            said.append((clip, np.concatenate([part for part in rows if len(part)])))
    return said


def train(args: argparse.Namespace, backbone: Frozen) -> None:
    """Aligns until the minutes are used and writes OUT/around.npz."""
    torch.manual_seed(args.seed)
    rows = Rows(backbone.rows("\n")[0])
    answers = {row["text"]: row["answer"] for row in map(json.loads, args.answers.read_text().splitlines())}
    course = Course(backbone, answers, PooledConnector(args.ambience) if args.ambience else None)
    said = said_in(args, backbone)
    answered = [one for one in said if one[0].text in answers]
    print(f"{len(said)} clips, {len(answered)} with answers", flush=True)

    def losses(step: int, _used_s: float) -> dict[str, Tensor]:
        rng = random.Random(f"{args.seed}.{step}")
        batch = rng.sample(said, CLIPS // 2) + rng.sample(answered, CLIPS // 2)
        return {"reply": loss_of(rows, course, batch, rng)}

    training.train(
        rows,
        torch.optim.AdamW(rows.parameters(), lr=args.lr, weight_decay=0.0),
        args.out / "align.pt",
        losses,
        share=training.within_minutes(args.minutes),
        rate=training.warm_cosine(args.lr, warm_steps=30, floor=0.02),
    )
    sha256 = store.sha256_of(args.gguf)
    both = {side: getattr(rows, side).detach().numpy().astype(np.float16) for side in ("begin", "end")}
    np.savez(args.out / "around.npz", space=sha256[:16], **both)


def main() -> None:
    parser = argparse.ArgumentParser(description="Learn the rows around spoken words through the frozen backbone.")
    parser.add_argument("gguf", type=Path)
    parser.add_argument("shards", type=Path, nargs="+")
    parser.add_argument("--words", default="audio-words-pocket", help="the model whose listener hears")
    parser.add_argument("--answers", type=Path, required=True, help="lines of models.recipes.speech_answers")
    parser.add_argument("--ambience", type=Path, help="ambience connector whose rows stand before the words")
    parser.add_argument("--through", metavar="URL", help="train through this service's Gradient API (glasses serve)")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with open_frozen(args.gguf, args.through) as backbone:
        train(args, backbone)


if __name__ == "__main__":
    main()
