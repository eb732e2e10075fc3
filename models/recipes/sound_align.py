"""Step 3 of the ambience connector: its rows learn through the frozen backbone. Knows units and replies, no
recording.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.recipes.image_connector import Backbone, open_backbone
from models.recipes.sound_examples import Example, Source
from models.recipes.sound_model import N_ROWS, AmbienceConnector
from models.recipes.sound_units import Pooled

BATCH, RATE, EPSILON = 16, 1e-3, 1e-6
CHECKPOINT_STEPS = 25


def loss_of(backbone: Backbone, connector: AmbienceConnector, examples: list[Example]) -> Tensor:
    """Mean cross-entropy of the replies' tokens; the rows come first in the user's turn, as in the runtime."""
    pooled = torch.stack([e.pooled for e in examples])
    rows = connector.rows(pooled, torch.stack([e.units for e in examples])).to(torch.bfloat16)
    embed = backbone.model.get_input_embeddings()
    sequences, targets = [], []
    for i, example in enumerate(examples):
        after, reply = backbone.ids(example.after), backbone.ids(example.reply)
        sequences.append(torch.cat([rows[i], embed(torch.tensor(after + reply))]))
        targets.append((N_ROWS + len(after) - 1, reply))
    width = max(map(len, sequences))
    batch = torch.stack([functional.pad(s, (0, 0, 0, width - len(s))) for s in sequences])
    # Padding is on the right and attention is causal: no reply sees it.
    hidden = backbone.model.model(inputs_embeds=batch, past_key_values=backbone.cache(len(batch)), use_cache=True)[0]
    picked = torch.cat([hidden[i, at : at + len(reply)] for i, (at, reply) in enumerate(targets)])
    wanted = torch.tensor([token for _, reply in targets for token in reply])
    return functional.cross_entropy(backbone.model.lm_head(picked).float(), wanted)


def train(
    connector: AmbienceConnector,
    clips: Pooled,
    *,
    gguf: Path,
    questions: Path | None,
    checkpoint: Path,
    steps: int,
    minutes: float,
) -> None:
    """Up to `steps` in all or `minutes` in this run, going on from `checkpoint` where its connector was loaded."""
    backbone = open_backbone(gguf)
    source = Source(connector, backbone, x=torch.from_numpy(clips.x), y=clips.y, names=clips.names, questions=questions)
    trained = [connector.names, connector.frame, connector.expand]
    optimizer = torch.optim.AdamW(trained, lr=RATE, eps=EPSILON, weight_decay=0.0, betas=(0.9, 0.98))
    first = 0
    if checkpoint.is_file():
        state: dict[str, Any] = torch.load(checkpoint, weights_only=True)
        if all(torch.equal(value, state["connector"][name]) for name, value in connector.state_dict().items()):
            optimizer.load_state_dict(state["optimizer"])
            first = state["step"]
    began, losses = time.monotonic(), []
    for step in range(first, steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / 20) * (0.05 + 0.95 * (1 - step / steps))
        loss = loss_of(backbone, connector, source.batch(step, BATCH))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        spent = time.monotonic() - began
        if (step + 1) % CHECKPOINT_STEPS == 0 or step + 1 == steps or spent > minutes * 60:
            state = {"connector": connector.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
            torch.save(state, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").replace(checkpoint)
            print(
                json.dumps({"step": step + 1, "loss": round(float(np.mean(losses)), 4), "s": round(spent)}), flush=True
            )
            losses.clear()
        if spent > minutes * 60:
            return
