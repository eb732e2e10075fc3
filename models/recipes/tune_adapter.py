"""Trains the adapters with which a backbone reads the soft tokens of pocket's connectors. The backbone stays frozen.

    python -m models.recipes.tune_adapter GGUF --pictures features.npz --clips DIR --out DIR --steps 240

`glasses.connectors.soft_tokens` mixes token rows and puts the rows of a sentence around them; training starts there. It
learns the sentence's rows (a soft prompt), the inverse temperature of each mixture and a low-rank correction of the
soft tokens, so that the backbone answers briefly and correctly. One run trains pictures and sounds together, because a
turn may hold both and ask about one. The networks that classify are pocket's own and are not trained.

The examples come from `models.recipes.image_pictures` and `sound_clips` (see adapter_examples). Runs are seeded.
DIR/adapter.pt is the checkpoint, from which `--resume` continues; DIR/image.npz and DIR/sound.npz are the results.
`--ask N` asks the runtime N held-out examples of each sense, greedily: once with token rows alone and once with the
adapters.
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
from models.recipes import soft_token_wording, training
from models.recipes.adapter_examples import AdapterExample, ExampleSource, Pictures, Sounds, mix_senses
from models.recipes.frozen_backbone import Frozen
from models.recipes.remote_backbone import open_frozen
from models.recipes.speech_align import Spells

ARTIFACTS = Path(__file__).parents[1] / "artifacts"
STEPS, BATCH, RATE, WARM_UP_STEPS, EPSILON = 240, 8, 2e-3, 10, 1e-6
BOTH_SENSES_SHARE = 0.5  # of the examples hold the other sense too
RANK = 16
# Factors on the learning rate, which suits rows: an inverse temperature is one number near 1, and a change of `up`
# counts RANK times.
TEMPERATURE_SCALE, UP_SCALE = 5.0, 0.05
WORDINGS = {"image": soft_token_wording.image, "sound": soft_token_wording.sound}
LEAST_INVERSE_TEMPERATURE = 1e-3


class Sentence:
    """The sentence of a wording for one backbone: its texts, and the tokens of what may stand in its slots."""

    def __init__(self, wording: dict[str, list[str | dict[str, str]]], backbone: TokenRowSource) -> None:
        self.texts = [part for part in wording["sentence"] if isinstance(part, str)]
        self.slots = [None if isinstance(part, str) else part["say"] for part in wording["sentence"]]
        self.mixtures = {
            what: TokenMixture([f" {name}" for name in wording[what]], backbone) for what in ("names", "kinds")
        }
        self.backbone = backbone

    def text_rows(self) -> list[Float32Array]:
        """Token rows of each text."""
        return [self.backbone.token_rows(self.backbone.tokenize(text)) for text in self.texts]


class TorchAdapter(nn.Module):
    """`glasses.connectors.backbone_adapter.BackboneAdapter` in torch. A new one changes nothing."""

    def __init__(self, sentence: Sentence) -> None:
        super().__init__()
        self.sentence = sentence
        rows = [torch.from_numpy(np.array(part)) for part in sentence.text_rows()]
        n_embd, size = rows[0].shape[1], torch.cat(rows).std()
        self.prompt_rows = nn.ParameterList(rows)
        self.inverse_temperature = nn.Parameter(torch.ones(sum(part is not None for part in sentence.slots)))
        self.down = nn.Parameter(torch.randn(n_embd, RANK) / (size * n_embd**0.5))
        self.up = nn.Parameter(torch.zeros(RANK, n_embd))

    def rows(self, units: Float32Array) -> Tensor:
        """Rows (n, n_embd) for one example's class probabilities, as `SoftTokenConnector.apply` makes them."""
        temperatures = iter(self.inverse_temperature.clamp(min=LEAST_INVERSE_TEMPERATURE))
        found, texts = [], iter(self.prompt_rows)
        best = np.argsort(-units, kind="stable")[:N_MIXED]
        weights = torch.from_numpy(units[best])
        for say in self.sentence.slots:
            if say is None:
                found.append(next(texts))
                continue
            soft = self._mixed(say, best, weights ** next(temperatures))
            found.append(soft + soft @ self.down @ self.up)
        return torch.cat(found)

    def _mixed(self, say: str, which: np.ndarray, weights: Tensor) -> Tensor:
        """`TokenMixture.rows_of` in torch, so that gradients reach the weights."""
        tokens_of = [self.sentence.mixtures[say].tokens(int(i)) for i in which]
        rows = []
        for j in range(len(tokens_of[0])):
            at = [i for i, tokens in enumerate(tokens_of) if len(tokens) > j]
            table = torch.from_numpy(self.sentence.backbone.token_rows([tokens_of[i][j] for i in at]))
            rows.append(weights[at] / weights[at].sum() @ table)
        return torch.stack(rows)

    def to_adapter(self) -> BackboneAdapter:
        """The adapter that the runtime reads."""
        temperature = self.inverse_temperature.clamp(min=LEAST_INVERSE_TEMPERATURE)
        rows = tuple(one.detach().numpy() for one in self.prompt_rows)
        return BackboneAdapter(rows, *(one.detach().numpy() for one in (temperature, self.down, self.up)))


def new_adapters(backbone: TokenRowSource) -> dict[str, TorchAdapter]:
    """One untrained adapter for each sense."""
    return {sense: TorchAdapter(Sentence(wording(), backbone)) for sense, wording in WORDINGS.items()}


def rows_of(models: Mapping[str, TorchAdapter], example: AdapterExample) -> Tensor:
    """The rows (n, n_embd) of all senses of one turn."""
    return torch.cat([models[sense].rows(units) for sense, units in example.units.items()])


def loss_of(models: Mapping[str, TorchAdapter], backbone: Frozen, examples: Sequence[AdapterExample]) -> Tensor:
    """Mean cross-entropy of the replies' tokens."""
    ids = backbone.ids
    turns = [([ids(e.before)] if e.before else [], rows_of(models, e), ids(e.after)) for e in examples]
    prompts = [[*before, rows, after] for before, rows, after in turns]
    return backbone.answer_loss(prompts, [ids(e.reply) for e in examples])


def train(
    models: Mapping[str, TorchAdapter],
    backbone: Frozen,
    sources: Mapping[str, ExampleSource],
    path: Path,
    *,
    steps: int,
    batch: int,
    rate: float,
) -> None:
    """Trains for `steps` in all, `batch` examples each; continues from the checkpoint at `path` if there is one."""
    groups = [
        {"params": [one for model in models.values() for one in (*model.prompt_rows, model.down)]},
        {"params": [model.up for model in models.values()], "scale": UP_SCALE},
        {"params": [model.inverse_temperature for model in models.values()], "scale": TEMPERATURE_SCALE},
    ]

    def losses(step: int, _used_s: float) -> dict[str, Tensor]:
        drawn = [sources[sense].batch(step, batch // 2) for sense in ("image", "sound")]
        examples = mix_senses(*drawn, BOTH_SENSES_SHARE, np.random.default_rng((3, step)))
        return {"reply": loss_of(models, backbone, examples)}

    training.train(
        nn.ModuleDict(models),
        torch.optim.AdamW(groups, lr=rate, eps=EPSILON, weight_decay=0.0, betas=(0.9, 0.98)),
        path,
        losses,
        share=training.within_steps(steps),
        rate=training.warm_cosine(rate, warm_steps=WARM_UP_STEPS, floor=0.05),
    )


def ask(gguf: Path, folder: Path, sources: Mapping[str, ExampleSource], n: int) -> None:
    """Prints how many of `n` held-out examples of each sense are named, alone and together with the other sense."""
    alone = {sense: source.held_out(n) for sense, source in sources.items()}
    mixed = mix_senses(alone["image"], alone["sound"], 1.0, np.random.default_rng(0))
    both = {"image": mixed[: len(alone["image"])], "sound": mixed[len(alone["image"]) :]}
    with LlamaBackbone(gguf, n_ctx=512, n_threads=1) as backbone:
        backbone.feed([backbone.tokenize(backbone.prompt_format.prefix(SYSTEM))])
        start, models = backbone.n_past, new_adapters(backbone)

        def answer(example: AdapterExample) -> str:
            backbone.rollback(start)
            with torch.inference_mode():
                backbone.feed([rows_of(models, example).numpy(), backbone.tokenize(example.after)])
            return "".join(token.text for token in backbone.generate(0, max_tokens=40)).strip()

        for name in ("token rows", "adapter"):
            for sense, model in models.items():
                if name == "adapter":
                    load(model, folder / f"{sense}.npz", store.sha256_of(gguf), sources[sense].space)
            for sense, source in sources.items():
                for how, examples in (("alone", alone[sense]), ("with the other sense", both[sense])):
                    answers = [answer(example) for example in examples]
                    pairs = list(zip(examples, answers, strict=True))
                    right = np.mean([source.is_right(example.label, said) for example, said in pairs])
                    words = np.mean([len(said.split()) for said in answers])
                    print(f"{name}, {sense} {how}: {right:.1%} of {len(pairs)} named, {words:.1f} words", flush=True)
                    print(
                        "\n".join(f"    {example.label}: {said!r}" for example, said in pairs[:: len(pairs) // 6 or 1])
                    )


def load(model: TorchAdapter, path: Path, backbone: str, space: str) -> None:
    """Reads the adapter file `path` into `model`. Raises ModelError."""
    n_embd = model.up.shape[1]
    shape = {"n_texts": len(model.prompt_rows), "n_slots": len(model.inverse_temperature), "n_embd": n_embd}
    found = backbone_adapter.read(path, backbone=backbone, space=space, **shape)
    with torch.no_grad():
        model.prompt_rows = nn.ParameterList(torch.from_numpy(rows.copy()) for rows in found.prompt_rows)
        for name in ("inverse_temperature", "down", "up"):
            setattr(model, name, nn.Parameter(torch.from_numpy(getattr(found, name).copy())))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gguf", type=Path)
    parser.add_argument("--pictures", type=Path, required=True, help="features.npz of image_pictures")
    parser.add_argument("--clips", type=Path, required=True, help="folder of sound_clips")
    parser.add_argument("--out", type=Path, required=True, help="folder")
    parser.add_argument("--steps", type=int, default=STEPS, help="0: no training, only --ask")
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
    sources: dict[str, ExampleSource] = {
        "image": Pictures(args.pictures, networks["image"], soft_token_wording.IMAGE_UNITS),
        "sound": Sounds(args.clips, networks["sound"], soft_token_wording.SOUND_UNITS),
    }
    if args.steps:
        path = args.out / "adapter.pt"
        if not args.resume:
            path.unlink(missing_ok=True)
        with open_frozen(args.gguf, args.through) as backbone:
            models = new_adapters(Spells(backbone))
            train(models, backbone, sources, path, steps=args.steps, batch=args.batch, rate=args.lr)
        sha256 = store.sha256_of(args.gguf)
        for sense, model in models.items():
            backbone_adapter.write(
                args.out / f"{sense}.npz", model.to_adapter(), backbone=sha256, space=sources[sense].space
            )
    if args.ask:
        ask(args.gguf, args.out, sources, args.ask)


if __name__ == "__main__":
    main()
