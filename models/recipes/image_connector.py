"""Trains the image connector of the pocket backbone and writes it as ONNX.

    python -m models.recipes.image_connector --work DIR --backbone B.gguf --weights W.pth \\
        --encoder models/artifacts/efficientnet-lite0-int8.onnx \\
        --out models/artifacts/image-connector-pocket.onnx [--resume]

1. Pictures are fetched, composed and encoded by the int8 encoder (image_pictures.py), once.
2. The ImageNet head is extended by what our own pictures show (image_classes.py), once.
3. The connector starts with the backbone's own token rows of a sentence with every class's name in it: it is understood
   before anything is trained (`--steps 0` writes that one).
4. Through the frozen backbone, dequantised from the GGUF that will run, the rows learn to be answered well: half of
   the examples are pictures, half are made-up activations around every class, since pictures show few of them.

Seeded; `DIR/image_connector.pt` is the checkpoint, written every few minutes; `--resume` goes on from it.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from glasses.backbone.llama import LlamaBackbone
from glasses.encoders.image import ImageEncoder
from models.recipes import image_classes, image_examples, image_names, image_pictures, training
from models.recipes.frozen_backbone import Frozen
from models.recipes.image_examples import Example
from models.recipes.image_model import N_NAME_ROWS, ImageConnector, export
from models.recipes.image_names import Names
from models.recipes.remote_backbone import open_frozen
from quantize import image_encoder

STEPS, BATCH, RATE, EPSILON = 1600, 16, 2e-3, 1e-6
# "The picture shows a bird, a king penguin. Quarters: bird water bird water." The backbone answers it untrained.
FRAME = ("The picture shows a", ", a", "\nQuarters:", ".\n")


def initialise(connector: ImageConnector, rows_of: Callable[[str], Tensor], names: Names, kinds: list[str]) -> None:
    """Starts every row at token rows of a sentence, so that the backbone reads it before anything is learned.

    `rows_of` gives the token rows (n, 576) of a text.
    """
    full_stop, line_end = rows_of(".")[:1], rows_of("\n")[:1]
    with torch.no_grad():
        for i, kind in enumerate(kinds):
            connector.kinds[i] = rows_of(" " + kind).mean(0)
        for c, name in enumerate(names.names):
            rows = rows_of(" " + name)
            if len(rows) > N_NAME_ROWS:
                rows = torch.cat([rows[: N_NAME_ROWS - 1], rows[N_NAME_ROWS - 1 :].mean(0, keepdim=True)])
            filled = torch.cat([rows, full_stop, line_end, line_end])
            connector.names[c] = filled[:N_NAME_ROWS].flatten()
        for part, text in zip(connector.frame, FRAME, strict=True):
            part.copy_(rows_of(text))


def loss_of(backbone: Frozen, connector: ImageConnector, examples: list[Example]) -> Tensor:
    """Mean cross-entropy of the answers' tokens."""
    regions = torch.from_numpy(np.stack([e.regions for e in examples]))
    units = connector.activations(regions)
    made_up = [(i, e.units) for i, e in enumerate(examples) if e.units is not None]
    if made_up:
        units = units.index_copy(
            0, torch.tensor([i for i, _ in made_up]), torch.from_numpy(np.stack([u for _, u in made_up]))
        )
    rows = connector.rows(regions, units)
    asked = [[backbone.ids(e.before), rows[i], backbone.ids(e.after)] for i, e in enumerate(examples)]
    return backbone.answer_loss(asked, [backbone.ids(e.reply) for e in examples])


def train(
    backbone: Frozen, connector: ImageConnector, source: image_examples.Source, path: Path, *, steps: int
) -> None:
    """Runs up to `steps` in all, going on from `path` if it is there."""
    connector.head.requires_grad_(False)  # few pictures must not bend what ImageNet's million taught
    connector.bias.requires_grad_(False)
    trained = [p for p in connector.parameters() if p.requires_grad]
    training.train(
        connector,
        torch.optim.AdamW(trained, lr=RATE, eps=EPSILON, weight_decay=0.0, betas=(0.9, 0.98)),
        path,
        lambda step, _used_s: {"reply": loss_of(backbone, connector, source.batch(step, BATCH))},
        share=training.within_steps(steps),
        rate=training.warm_cosine(RATE, warm_steps=50, floor=0.05),
    )


def prepare(
    work: Path, encoder: Path, weights: Path, names: Names, frame: list[int]
) -> tuple[dict[str, Any], ImageConnector, list[str]]:
    """Steps 1 and 2: returns the encoded pictures, a connector with the extended head, and its kinds."""
    features, space = work / "features.npz", ImageEncoder(encoder).space
    if not features.is_file() or str(np.load(features)["space"]) != space:
        image_pictures.fetch(work)
        image_pictures.save_photos(work)
        image_pictures.encode(work, ImageEncoder(encoder))
    data = dict(np.load(features))
    data["regions"] = data["regions"].astype(np.float32)
    labels = [str(name) for name in data["names"]]
    head, bias = image_classes.extend(*image_encoder.head(weights), names, data["regions"][:, 0], labels)
    broad = [names.broad(c) for c in range(len(names.names))]
    kinds = sorted(set(broad))
    return data, ImageConnector(head, bias, [kinds.index(kind) for kind in broad], frame), kinds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option in ("--work", "--backbone", "--weights", "--encoder", "--out"):
        parser.add_argument(option, type=Path, required=True)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--through", metavar="URL", help="train through this service's Gradient API (glasses serve)")
    args = parser.parse_args()
    torch.manual_seed(0)
    names = image_names.load()
    with LlamaBackbone(args.backbone, n_ctx=64) as llama:

        def rows_of(text: str) -> Tensor:
            return torch.from_numpy(np.array(llama.token_rows(llama.tokenize(text))))

        frame = [len(rows_of(text)) for text in FRAME]
        data, connector, kinds = prepare(args.work, args.encoder, args.weights, names, frame)
        initialise(connector, rows_of, names, kinds)
    if args.steps:
        source = image_examples.Source(names, connector, data["regions"], [str(name) for name in data["names"]])
        path = args.work / "image_connector.pt"
        if not args.resume:
            path.unlink(missing_ok=True)
        with open_frozen(args.backbone, args.through) as backbone:
            train(backbone, connector, source, path, steps=args.steps)
    sha256 = hashlib.sha256(args.backbone.read_bytes()).hexdigest()
    export(connector, args.out, space=str(data["space"]), backbone=sha256)
    print(args.out)


if __name__ == "__main__":
    main()
