"""What the ambience rows are taught to be answered with, one batch at a time. Knows units and questions, no
recording.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from glasses.backbone.prompt import ABOUT_SOUND, SUFFIX
from models.recipes.sound_classes import CLASSES, NOISE, NOTHING

QUESTIONS = (
    "What do you hear?",
    "What was that sound?",
    "What is that noise?",
    "What did I just hear?",
    "What's that sound?",
    "What is making this sound?",
    "Listen, what is that?",
)
MAIN_QUESTION_SHARE, LEFT_ALONE_SHARE, VOICE_SHARE = 0.5, 0.15, 0.05
LEFT_ALONE = 64  # questions whose answer the ambience must not change
_SAID = {"calm": "speaking", "whispered": "whispering", "shouted": "shouting"}
_HOW = {"calm": "Calmly.", "whispered": "In a whisper.", "shouted": "Shouting."}
STOP = "<|im_end|>"


@dataclass(frozen=True, slots=True)
class Example:
    """`pooled` (2304,), `units` (n,) that sum to 1, the text after the rows and the reply with its stop token."""

    pooled: Tensor
    units: Tensor
    after: str
    reply: str


def replies(unit: str) -> tuple[str, ...]:
    """What to say of a unit, the usual wording first."""
    if unit in CLASSES:
        return (CLASSES[unit][0],)
    if unit in ("nothing", "noise"):
        return (NOTHING if unit == "nothing" else NOISE,)
    who, tone = unit.split()
    return (f"A {who} {_SAID[tone]}.",)


@torch.inference_mode()
def own_answers(backbone: Any, questions: list[str], max_tokens: int = 16) -> list[tuple[str, str]]:
    """The backbone's own greedy answers to typed questions: what a spoken one has to be answered as well."""
    pairs = []
    for question in questions:
        embed, cache, ids = backbone.model.get_input_embeddings(), backbone.cache(1), []
        x = embed(torch.tensor([backbone.ids(question + SUFFIX)]))
        for _ in range(max_tokens):
            hidden = backbone.model.model(inputs_embeds=x, past_key_values=cache, use_cache=True)[0]
            token = int(backbone.model.lm_head(hidden[0, -1]).argmax())
            if token == backbone.tokenizer.eos_token_id:
                break
            ids.append(token)
            x = embed(torch.tensor([[token]]))
        stop = STOP if len(ids) < max_tokens else ""
        pairs.append((question, backbone.tokenizer.decode(ids) + stop))
    return pairs


class Source:
    """Draws batches; a batch is a function of its number, so that a resumed run goes on as it would have."""

    def __init__(
        self,
        connector: Any,
        backbone: Any,
        *,
        x: Tensor,
        y: NDArray[np.int64],
        names: list[str],
        questions: Path | None,
    ) -> None:
        self.names, self.x = names, x
        self.members = [np.flatnonzero(y == unit) for unit in range(len(names))]
        with torch.inference_mode():
            self.units = torch.cat([connector.units(part) for part in x.split(1024)]).clone()
        lines = questions.read_text().splitlines()[:LEFT_ALONE] if questions else []
        self.left_alone = own_answers(backbone, lines)

    def batch(self, step: int, size: int) -> list[Example]:
        rng = np.random.default_rng((7, step))
        return [self._one(rng) for _ in range(size)]

    def _one(self, rng: np.random.Generator) -> Example:
        voices = [i for i, name in enumerate(self.names) if " " in name or name == "speech"]
        draw = rng.random()
        about_voice = draw < LEFT_ALONE_SHARE + VOICE_SHARE
        unit = int(rng.choice(voices)) if about_voice else int(rng.integers(len(self.names)))
        clip = int(rng.choice(self.members[unit]))
        units = self.units[clip] if rng.random() < 0.3 else self._made_up(unit, rng)
        if draw < LEFT_ALONE_SHARE and self.left_alone:
            question, reply = self.left_alone[rng.integers(len(self.left_alone))]
            return Example(self.x[clip], units, question + SUFFIX, reply)
        if about_voice and " " in self.names[unit]:
            who, tone = self.names[unit].split()
            question, reply = (
                ("Who is speaking?", f"A {who}.") if rng.random() < 0.5 else ("How did they say it?", _HOW[tone])
            )
            return Example(self.x[clip], units, question + SUFFIX, reply + STOP)
        question = ABOUT_SOUND if rng.random() < MAIN_QUESTION_SHARE else str(rng.choice(QUESTIONS))
        return Example(self.x[clip], units, question + SUFFIX, replies(self.names[unit])[0] + STOP)

    def _made_up(self, unit: int, rng: np.random.Generator) -> Tensor:
        """Units around one: between sure and barely ahead of a few others, as they come of recordings never
        heard before.
        """
        sure = rng.uniform(0.35, 1.0)
        rest = rng.dirichlet(np.full(len(self.names), 0.03)) * (1 - sure)
        rest[unit] += sure
        return torch.from_numpy(rest.astype(np.float32))
