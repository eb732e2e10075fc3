"""Trains the rows between spoken words and a typed request about them, through the frozen backbone.

    python -m models.recipes.speech_align GGUF SHARDS... --out DIR --minutes 15

Speech comes from the bundle's own soft decoder as soft tokens, which the backbone answers as it answers typed words, if
nothing surrounds them. But a small backbone that is asked to repeat them talks about them instead. A few learned rows
before the request prevent that: the targets are transcripts. The rows of the sound ("a man speaking") follow, and the
request decides which of the two is answered. Only the learned rows are trained. DIR/heard.json keeps the soft tokens.
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

from glasses.connectors.pooled import PooledConnector
from glasses.connectors.soft_decoder import SoftDecoder, SoftSubword, read_subwords
from glasses.connectors.speech import SubwordMixture
from glasses.encoders.audio import AudioEncoder
from glasses.encoders.sound import SoundEncoder
from glasses.evaluation.speech import word_errors
from glasses.model_store import store
from glasses.runtime.bundle import open_connector
from glasses.types import Float32Array, Latents
from models.recipes import training
from models.recipes.chat_frame import STOP, SUFFIX
from models.recipes.frozen_backbone import Frozen
from models.recipes.latent_shards import Clip, Shards
from models.recipes.remote_backbone import open_frozen
from models.recipes.sound_clips import spoken
from models.recipes.speech_text import split, written

REPEAT = (" Repeat the words.", " Repeat what was said.", " What did I say?", " What was said?", " Say that again.")
ABOUT_SOUND = (" What is this sound?", " What is that sound?", " What do you hear?")
CLIPS = 12
N_VOICES = 48  # whose sound rows stand for the voice
N_ROWS = 8
MISHEARD_ONE_IN = 8  # words, at most
LISTENER_FILES = ("listener-begin.onnx", "listener-step.onnx", "whisper-tiny-en-decoder-int8.bin")
Said = tuple[Clip, Float32Array]  # a clip and the rows of its words (n, n_embd)
Voice = tuple[str, Tensor]  # "man" or "woman", and the rows (n, n_embd) of such a voice as a sound


class Rows(nn.Module):
    """The learned rows; they begin as line breaks, which say nothing."""

    def __init__(self, plain: Tensor) -> None:
        super().__init__()
        self.about = nn.Parameter(plain + torch.randn(N_ROWS, len(plain)) * 0.1 * plain.std())


class Spells:
    """`glasses.connectors.token_mixture.TokenRowSource` of a frozen backbone, near or far."""

    def __init__(self, backbone: Frozen) -> None:
        self._backbone, self._rows = backbone, dict[int, Float32Array]()
        self._n_embd = backbone.rows("\n").shape[1]

    def tokenize(self, text: str, *, special: bool = True) -> list[int]:
        """Token ids; their rows are known from then on."""
        del special
        ids = self._backbone.ids(text) if text else []
        if ids:
            self._rows |= dict(zip(ids, self._backbone.rows(text).numpy(), strict=True))
        return ids

    def token_rows(self, ids: Sequence[int]) -> Float32Array:
        """float32 (len(ids), n_embd) of tokens that `tokenize` has given."""
        return np.stack([self._rows[token] for token in ids]) if ids else np.zeros((0, self._n_embd), np.float32)


@dataclass(frozen=True, slots=True)
class Course:
    """What stays the same over the training: where rows come from and what is to be said."""

    backbone: Frozen
    ambience: PooledConnector | None
    voices: Sequence[Voice]

    def example(self, clip: Clip, rng: random.Random) -> tuple[list[Tensor | list[int]], list[int]]:
        """Returns (what follows the learned rows, reply tokens): a repeat, or what kind of sound it is."""
        ids, eos = self.backbone.ids, self.backbone.ids(STOP)
        who, rows = rng.choice(self.voices)
        if rng.random() < 0.15:
            return [rows, ids(rng.choice(ABOUT_SOUND)) + ids(SUFFIX)], ids(f"A {who} speaking.") + eos
        question = REPEAT[0] if rng.random() < 0.5 else rng.choice(REPEAT)
        said = clip.text[0].upper() + clip.text[1:]
        return [rows, ids(question) + ids(SUFFIX)], ids(said) + eos

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
        asked.append([torch.cat([before, torch.from_numpy(words), rows.about]), *after])
        replies.append(reply)
    return course.backbone.answer_loss(asked, replies)


def voices_as_sounds(bundle: store.Bundle, rng: random.Random, backbone: Frozen, sha256: str) -> list[Voice]:
    """What the bundle's sound connector makes of synthetic voices."""
    names = (bundle.encoders["audio"], bundle.encoders["sound"])
    audio, sound = (kind(store.path_of(name)) for kind, name in zip((AudioEncoder, SoundEncoder), names, strict=True))
    connector = open_connector(bundle.connectors["sound"], Spells(backbone), sha256, 1)
    texts, _ = split(written(rng), rng)
    found = []
    for i in range(N_VOICES):
        who = ("man", "woman")[i % 2]
        pcm = spoken(who, texts[i], rng)
        rows = connector.apply(sound.encode(pcm), audio.encode(pcm))
        found.append((who, torch.from_numpy(rows.copy())))
    return found


def listen(clips: Sequence[Clip], name: str, path: Path) -> list[list[SoftSubword]]:
    """What the listener of the model `name` hears in each clip; kept in `path`."""
    listener = SoftDecoder(*(store.path_of(name, file) for file in LISTENER_FILES))
    known: list[list[list[list[float]]]] = json.loads(path.read_text()) if path.exists() else []
    for i in range(len(known), len(clips)):
        heard = listener.decode(Latents(0, 0, "audio", clips[i].latents(), listener.space))
        known.append([[one.subwords.tolist(), np.round(one.probabilities, 5).tolist()] for one in heard])
        if i % 200 == 199 or i == len(clips) - 1:
            path.write_text(json.dumps(known))
            print(f"heard {i + 1} of {len(clips)}", flush=True)
    return [[SoftSubword(np.array(p, np.int64), np.array(s, np.float32)) for p, s in heard] for heard in known]


def said_in(args: argparse.Namespace, backbone: Frozen) -> list[Said]:
    """The clips of two words and more that are heard as they were said, with the rows of that.

    What is misheard would teach to say something else than what was heard.
    """
    clips = Shards(args.shards).clips
    words = store.load_bundle(args.bundle).connectors["audio"]
    pieces = read_subwords(store.path_of(words, "vocabulary.txt"))
    soft = SubwordMixture(pieces, Spells(backbone))
    said = []
    for clip, heard in zip(clips, listen(clips, words, args.out / "heard.json"), strict=True):
        edits, n_words = word_errors(clip.text, "".join(pieces[one.subwords[0]] for one in heard))
        if n_words > 1 and edits * MISHEARD_ONE_IN <= n_words:
            said.append((clip, soft.rows(heard)))
    return said


def train(args: argparse.Namespace, backbone: Frozen) -> None:
    """Aligns until the minutes are used and writes OUT/about.npz."""
    torch.manual_seed(args.seed)
    rows = Rows(backbone.rows("\n")[0])
    sha256 = store.sha256_of(args.gguf)
    voices = voices_as_sounds(store.load_bundle(args.bundle), random.Random(args.seed), backbone, sha256)
    course = Course(backbone, PooledConnector(args.ambience) if args.ambience else None, voices)
    said = said_in(args, backbone)
    print(f"{len(said)} clips", flush=True)

    def losses(step: int, _used_s: float) -> dict[str, Tensor]:
        rng = random.Random(f"{args.seed}.{step}")
        return {"reply": loss_of(rows, course, rng.sample(said, CLIPS), rng)}

    training.train(
        rows,
        torch.optim.AdamW(rows.parameters(), lr=args.lr, weight_decay=0.0),
        args.out / "align.pt",
        losses,
        share=training.within_minutes(args.minutes),
        rate=training.warm_cosine(args.lr, warm_steps=30, floor=0.02),
    )
    np.savez(args.out / "about.npz", space=sha256[:16], about=rows.about.detach().numpy().astype(np.float16))


def main() -> None:
    parser = argparse.ArgumentParser(description="Learn the rows around spoken words through the frozen backbone.")
    parser.add_argument("gguf", type=Path)
    parser.add_argument("shards", type=Path, nargs="+")
    parser.add_argument("--bundle", default=store.DEFAULT_BUNDLE, help="whose encoders, listener and sounds they are")
    parser.add_argument("--ambience", type=Path, help="ambience connector whose rows stand before the words")
    parser.add_argument("--through", metavar="URL", help="train through this service's Gradient API (glasses serve)")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with open_frozen(args.gguf, args.through) as backbone:
        train(args, backbone)


if __name__ == "__main__":
    main()
