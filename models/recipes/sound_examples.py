"""What the sound rows are taught to be answered with, one batch at a time. Knows units and questions, no recording."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from glasses.runtime.modalities import MODALITIES
from models.recipes.chat_frame import STOP, SUFFIX
from models.recipes.sound_classes import reply_to
from models.recipes.sound_model import SoundConnector
from models.recipes.sound_units import Pooled

ABOUT_SOUND = MODALITIES["sound"].default_question
QUESTIONS = (
    "What do you hear?",
    "What was that sound?",
    "What is that noise?",
    "What did I just hear?",
    "What's that sound?",
    "What is making this sound?",
    "Listen, what is that?",
)
MAIN_QUESTION_SHARE, MADE_UP_SHARE = 0.5, 0.7


@dataclass(frozen=True, slots=True)
class Example:
    """`pooled` (d,), `units` (n,) that sum to 1, the text after the rows and the reply with its stop token."""

    pooled: Tensor
    units: Tensor
    after: str
    reply: str


class Source:
    """Draws batches; a batch is a function of its number, so that a resumed run goes on as it would have."""

    def __init__(self, connector: SoundConnector, clips: Pooled) -> None:
        self.names, self.x = clips.names, torch.from_numpy(clips.x)
        self.members = [np.flatnonzero(clips.y == unit) for unit in range(len(clips.names))]
        with torch.inference_mode():
            self.units = torch.cat([connector.units(part) for part in self.x.split(1024)]).clone()

    def batch(self, step: int, size: int) -> list[Example]:
        """`size` examples, every unit as likely as any other."""
        rng = np.random.default_rng((7, step))
        return [self._one(rng) for _ in range(size)]

    def _one(self, rng: np.random.Generator) -> Example:
        unit = int(rng.integers(len(self.names)))
        clip = int(rng.choice(self.members[unit]))
        units = self._made_up(unit, rng) if rng.random() < MADE_UP_SHARE else self.units[clip]
        question = ABOUT_SOUND if rng.random() < MAIN_QUESTION_SHARE else str(rng.choice(QUESTIONS))
        return Example(self.x[clip], units, question + SUFFIX, reply_to(self.names[unit]) + STOP)

    def _made_up(self, unit: int, rng: np.random.Generator) -> Tensor:
        """Units around one: between sure and barely ahead of a few others, as they come of recordings never heard."""
        sure = rng.uniform(0.35, 1.0)
        rest = rng.dirichlet(np.full(len(self.names), 0.03)) * (1 - sure)
        rest[unit] += sure
        return torch.from_numpy(rest.astype(np.float32))
