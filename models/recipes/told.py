"""Learns how a backbone is told what pocket's connectors find, through that backbone, which stays frozen.

    python -m models.recipes.told GGUF --pictures features.npz --clips DIR --out DIR --steps 240

`glasses.connectors.soft_tokens` mixes token rows and puts those of a sentence around them, read untrained.
From there the sentence's rows, the sharpness of the mixture and a correction of low rank to the soft tokens learn to be
answered shortly and rightly, pictures and sounds in one run, as a turn may hold both and asks about one. The networks
that find what there is are pocket's own and are not trained.

The examples are of `models.recipes.image_pictures` and `sound_clips` (see told_examples). Seeded; DIR/told.pt is the
checkpoint, `--resume` goes on from it; DIR/image.npz and DIR/sound.npz are what is learned. `--ask N` asks N examples
of each sense that are never learned from, greedily, by the program that will run: with token rows alone, then with
those files.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from glasses.backbone.llama import LlamaBackbone
from glasses.backbone.prompt import SYSTEM
from glasses.connectors import backbone_adapter
from glasses.connectors.backbone_adapter import BackboneAdapter
from glasses.connectors.token_mixture import N_MIXED, TokenMixture, TokenRowSource
from glasses.model_store import store
from glasses.types import Float32Array
from models.recipes import spelled, training
from models.recipes.frozen_backbone import Frozen
from models.recipes.remote_backbone import open_frozen
from models.recipes.speech_align import Spells
from models.recipes.told_examples import Asked, Course, Pictures, Sounds, together

ARTIFACTS = Path(__file__).parents[1] / "artifacts"
STEPS, BATCH, RATE, WARM_UP_STEPS, EPSILON = 240, 8, 2e-3, 10, 1e-6
BESIDE_SHARE = 0.5  # of the examples hold the other sense too
RANK = 16
# Of the learning rate, which suits rows: sharpness is one number near 1, and what `expand` moves counts RANK times.
SHARPNESS_SCALE, EXPAND_SCALE = 5.0, 0.05
WORDINGS = {"image": spelled.image, "sound": spelled.sound}
SHORTEST = 1e-3  # sharpness


class Sentence:
    """The texts of the sentence and the spellings of what may stand in its gaps, of one backbone."""

    def __init__(self, told: dict[str, list[str | dict[str, str]]], backbone: TokenRowSource) -> None:
        self.texts = [part for part in told["sentence"] if isinstance(part, str)]
        self.parts = [None if isinstance(part, str) else part["say"] for part in told["sentence"]]
        self.spellings = {
            what: TokenMixture([f" {name}" for name in told[what]], backbone) for what in ("names", "kinds")
        }
        self.backbone = backbone

    def text_rows(self) -> list[Float32Array]:
        """Token rows of each text."""
        return [self.backbone.token_rows(self.backbone.tokenize(text)) for text in self.texts]


class Told(nn.Module):
    """`glasses.connectors.backbone_adapter.BackboneAdapter` in torch. As it begins it changes nothing."""

    def __init__(self, sentence: Sentence) -> None:
        super().__init__()
        self.sentence = sentence
        rows = [torch.from_numpy(np.array(part)) for part in sentence.text_rows()]
        n_embd, size = rows[0].shape[1], torch.cat(rows).std()
        self.around = nn.ParameterList(rows)
        self.sharpness = nn.Parameter(torch.ones(sum(part is not None for part in sentence.parts)))
        self.squeeze = nn.Parameter(torch.randn(n_embd, RANK) / (size * n_embd**0.5))
        self.expand = nn.Parameter(torch.zeros(RANK, n_embd))

    def rows(self, units: Float32Array) -> Tensor:
        """What one example is told in, (n, n_embd), as `SoftTokenConnector.apply`."""
        found, around, gap = [], iter(self.around), iter(self.sharpness.clamp(min=SHORTEST))
        best = np.argsort(-units, kind="stable")[:N_MIXED]
        weights = torch.from_numpy(units[best])
        for say in self.sentence.parts:
            if say is None:
                found.append(next(around))
                continue
            soft = self._mixed(say, best, weights ** next(gap))
            found.append(soft + soft @ self.squeeze @ self.expand)
        return torch.cat(found)

    def _mixed(self, say: str, which: np.ndarray, weights: Tensor) -> Tensor:
        """`TokenMixture.rows_of`, through which the weights are learned."""
        spelt = [self.sentence.spellings[say].tokens(int(i)) for i in which]
        rows = []
        for j in range(len(spelt[0])):
            at = [i for i, tokens in enumerate(spelt) if len(tokens) > j]
            table = torch.from_numpy(self.sentence.backbone.token_rows([spelt[i][j] for i in at]))
            rows.append(weights[at] / weights[at].sum() @ table)
        return torch.stack(rows)

    def learned(self) -> BackboneAdapter:
        """What the runtime reads."""
        around, sharpness, squeeze, expand = (
            [one.detach().numpy() for one in part]
            for part in (self.around, [self.sharpness.clamp(min=SHORTEST)], [self.squeeze], [self.expand])
        )
        return BackboneAdapter(tuple(around), sharpness[0], squeeze[0], expand[0])


def senses(backbone: TokenRowSource) -> dict[str, Told]:
    """What pictures and sounds are told in, by sense."""
    return {sense: Told(Sentence(wording(), backbone)) for sense, wording in WORDINGS.items()}


def rows_of(models: Mapping[str, Told], example: Asked) -> Tensor:
    """The rows of all that a turn holds, (n, n_embd)."""
    return torch.cat([models[sense].rows(units) for sense, units in example.units.items()])


def loss_of(models: Mapping[str, Told], backbone: Frozen, examples: Sequence[Asked]) -> Tensor:
    """Mean cross-entropy of the replies' tokens."""
    ids = backbone.ids
    turns = [([ids(e.before)] if e.before else [], rows_of(models, e), ids(e.after)) for e in examples]
    asked = [[*before, rows, after] for before, rows, after in turns]
    return backbone.answer_loss(asked, [ids(e.reply) for e in examples])


def train(
    models: Mapping[str, Told],
    backbone: Frozen,
    courses: Mapping[str, Course],
    path: Path,
    *,
    steps: int,
    batch: int,
    rate: float,
) -> None:
    """Up to `steps` of `batch` examples in all, going on from the checkpoint at `path` if it is there."""
    groups = [
        {"params": [one for model in models.values() for one in (*model.around, model.squeeze)]},
        {"params": [model.expand for model in models.values()], "scale": EXPAND_SCALE},
        {"params": [model.sharpness for model in models.values()], "scale": SHARPNESS_SCALE},
    ]

    def losses(step: int, _used_s: float) -> dict[str, Tensor]:
        drawn = [courses[sense].batch(step, batch // 2) for sense in ("image", "sound")]
        examples = together(*drawn, BESIDE_SHARE, np.random.default_rng((3, step)))
        return {"reply": loss_of(models, backbone, examples)}

    training.train(
        nn.ModuleDict(models),
        torch.optim.AdamW(groups, lr=rate, eps=EPSILON, weight_decay=0.0, betas=(0.9, 0.98)),
        path,
        losses,
        share=training.within_steps(steps),
        rate=training.warm_cosine(rate, warm_steps=WARM_UP_STEPS, floor=0.05),
    )


def ask(gguf: Path, folder: Path, courses: Mapping[str, Course], n: int) -> None:
    """Prints how many of `n` held-out examples of each sense are named, alone and beside one of the other sense."""
    alone = {sense: course.held_out(n) for sense, course in courses.items()}
    mixed = together(alone["image"], alone["sound"], 1.0, np.random.default_rng(0))
    beside = {"image": mixed[: len(alone["image"])], "sound": mixed[len(alone["image"]) :]}
    with LlamaBackbone(gguf, n_ctx=512, n_threads=1) as backbone:
        backbone.feed([backbone.tokenize(backbone.prompt_format.prefix(SYSTEM))])
        start, models = backbone.n_past, senses(backbone)

        def answer(example: Asked) -> str:
            backbone.rollback(start)
            with torch.inference_mode():
                backbone.feed([rows_of(models, example).numpy(), backbone.tokenize(example.after)])
            return "".join(piece.text for piece in backbone.generate(0, max_tokens=40)).strip()

        for name in ("token rows", "learned"):
            for sense, model in models.items():
                if name == "learned":
                    load(model, folder / f"{sense}.npz", store.sha256_of(gguf), courses[sense].space)
            for sense, course in courses.items():
                for how, examples in (("alone", alone[sense]), ("beside another", beside[sense])):
                    answers = [answer(example) for example in examples]
                    pairs = list(zip(examples, answers, strict=True))
                    right = np.mean([course.right(example.label, said) for example, said in pairs])
                    words = np.mean([len(said.split()) for said in answers])
                    print(f"{name}, {sense} {how}: {right:.1%} of {len(pairs)} named, {words:.1f} words", flush=True)
                    print(
                        "\n".join(f"    {example.label}: {said!r}" for example, said in pairs[:: len(pairs) // 6 or 1])
                    )


def load(model: Told, path: Path, backbone: str, space: str) -> None:
    """What `path` holds into `model`. Raises ModelError."""
    n_embd = model.expand.shape[1]
    shape = {"n_texts": len(model.around), "n_slots": len(model.sharpness), "n_embd": n_embd}
    found = backbone_adapter.read(path, backbone=backbone, space=space, **shape)
    with torch.no_grad():
        model.around = nn.ParameterList(torch.from_numpy(rows.copy()) for rows in found.prompt_rows)
        for name, values in (("sharpness", found.inverse_temperature), ("squeeze", found.down), ("expand", found.up)):
            setattr(model, name, nn.Parameter(torch.from_numpy(values.copy())))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gguf", type=Path)
    parser.add_argument("--pictures", type=Path, required=True, help="features.npz of image_pictures")
    parser.add_argument("--clips", type=Path, required=True, help="folder of sound_clips")
    parser.add_argument("--out", type=Path, required=True, help="folder")
    parser.add_argument("--steps", type=int, default=STEPS, help="0 only asks")
    parser.add_argument("--batch", type=int, default=BATCH, help="examples a step, half of each sense")
    parser.add_argument("--lr", type=float, default=RATE)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--through", metavar="URL", help="train through this service's Gradient API (glasses serve)")
    parser.add_argument("--ask", type=int, default=0, metavar="N", help="then ask N held-out examples of each sense")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    networks = {sense: ARTIFACTS / f"{sense}-connector-pocket.onnx" for sense in WORDINGS}
    courses: dict[str, Course] = {
        "image": Pictures(args.pictures, networks["image"], spelled.IMAGE_UNITS),
        "sound": Sounds(args.clips, networks["sound"], spelled.SOUND_UNITS),
    }
    if args.steps:
        path = args.out / "told.pt"
        if not args.resume:
            path.unlink(missing_ok=True)
        with open_frozen(args.gguf, args.through) as backbone:
            models = senses(Spells(backbone))
            train(models, backbone, courses, path, steps=args.steps, batch=args.batch, rate=args.lr)
        sha256 = store.sha256_of(args.gguf)
        for sense, model in models.items():
            backbone_adapter.write(
                args.out / f"{sense}.npz", model.learned(), backbone=sha256, space=courses[sense].space
            )
    if args.ask:
        ask(args.gguf, args.out, courses, args.ask)


if __name__ == "__main__":
    main()
