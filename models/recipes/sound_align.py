"""Step 3 of the sound connector: trains its rows through the frozen backbone."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from models.recipes import training
from models.recipes.frozen_backbone import Frozen
from models.recipes.remote_backbone import open_frozen
from models.recipes.sound_examples import Example, Source
from models.recipes.sound_model import N_AIR, SoundConnector
from models.recipes.sound_units import Pooled

RATE, EPSILON, WARM_UP_STEPS = 1e-3, 1e-6, 20


def loss_of(backbone: Frozen, connector: SoundConnector, examples: list[Example]) -> Tensor:
    """Mean cross-entropy of the replies' tokens; two line ends stand for the ambience rows before them."""
    pooled, units = torch.stack([e.pooled for e in examples]), torch.stack([e.units for e in examples])
    rows, beside = connector.rows(pooled, units), backbone.ids("\n") * N_AIR
    asked = [[beside, r, backbone.ids(e.after)] for r, e in zip(rows, examples, strict=True)]
    return backbone.answer_loss(asked, [backbone.ids(e.reply) for e in examples])


def train(
    connector: SoundConnector,
    clips: Pooled,
    *,
    gguf: Path,
    path: Path,
    steps: int,
    batch: int,
    through: str | None = None,
) -> None:
    """Up to `steps` in all, going on from the checkpoint at `path` if it is there; `through` a service's backbone."""
    source = Source(connector, clips)
    trained = [connector.names, connector.frame, connector.expand]
    optimizer = torch.optim.AdamW(trained, eps=EPSILON, weight_decay=0.0, betas=(0.9, 0.98))
    with open_frozen(gguf, through) as backbone:
        training.train(
            connector,
            optimizer,
            path,
            lambda step, _used_s: {"loss": loss_of(backbone, connector, source.batch(step, batch))},
            share=training.within_steps(steps),
            rate=training.warm_cosine(RATE, warm_steps=WARM_UP_STEPS, floor=0.05),
        )
