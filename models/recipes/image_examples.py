"""Training examples of the image connector: a picture or made-up activations, the words around it, the wanted answer.

The prompt is the runtime's: `PREFIX` + [text] + rows + text + `SUFFIX`, each run of text
tokenised by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.recipes.chat_frame import STOP, SUFFIX
from models.recipes.image_model import ImageConnector
from models.recipes.image_names import Names, answer, answer_for, with_article

Array = NDArray[np.float32]
QUESTIONS = (
    "What is in view?",
    "What am I looking at?",
    "What do you see?",
    "What is this?",
    "What's that?",
    "What is in front of me?",
    "Describe what you see.",
    "Can you tell me what this is?",
)
MAIN_QUESTION_SHARE = 0.4  # of the questions are the first
MADE_UP_SHARE, YES_NO_SHARE, TEXT_FIRST_SHARE = 0.5, 0.1, 0.1
NEIGHBOUR_TEMPERATURE = 0.06  # of the softmax over cosines of head rows that says what a class is mistaken for


@dataclass(frozen=True, slots=True)
class Example:
    """`regions` (5, 1280); `units` (5, classes) replace the activations where given; texts around the rows; reply."""

    regions: Array
    units: Array | None
    before: str
    after: str
    reply: str


class Source:
    """Draws examples; the same step gives the same examples in every run."""

    def __init__(self, names: Names, connector: ImageConnector, regions: Array, labels: list[str]) -> None:
        self.names, self.regions, self.labels = names, regions, labels
        with torch.no_grad():
            head = torch.nn.functional.normalize(connector.head - connector.head.mean(0), dim=1)
            cosines = (head @ head.T).fill_diagonal_(-1)
            self.neighbours = torch.softmax(cosines / NEIGHBOUR_TEMPERATURE, 1).numpy()
            logits = torch.from_numpy(regions[:, 0]) @ connector.head.T + connector.bias
            self.units = torch.softmax(logits, 1).numpy()
        self.groups = [names.group(c) for c in range(len(names.names))]

    def batch(self, step: int, size: int) -> list[Example]:
        """The examples of one step."""
        rng = np.random.default_rng((20261, step))
        return [self._example(rng) for _ in range(size)]

    def _example(self, rng: np.random.Generator) -> Example:
        i = int(rng.integers(len(self.labels)))
        units = self._made_up(rng) if rng.random() < MADE_UP_SHARE else None
        seen = self.units[i] if units is None else units[0]
        reply = self._named(i) if units is None and self.labels[i] else answer_for(self.names, seen)
        question = QUESTIONS[0] if rng.random() < MAIN_QUESTION_SHARE else QUESTIONS[rng.integers(len(QUESTIONS))]
        if rng.random() < YES_NO_SHARE:
            question, reply = self._yes_no(rng, seen, self.labels[i] if units is None else "")
        before, after = ("", question) if rng.random() >= TEXT_FIRST_SHARE else (question, "")
        return Example(self.regions[i], units, before, after + SUFFIX, reply + STOP)

    def _made_up(self, rng: np.random.Generator) -> Array:
        """Activations (5, classes) around a class drawn at random: sharp, or shared with what it is mistaken for."""
        c = int(rng.integers(len(self.groups)))
        units = np.zeros((5, len(self.groups)), np.float32)
        for region in range(5):
            sure = rng.beta(3, 1) if region == 0 else rng.beta(1, 1)
            other = rng.integers(len(self.groups)) if region and rng.random() < 0.5 else c
            spread = self.neighbours[other] ** rng.uniform(0.8, 2)
            kept = np.where(
                spread >= np.partition(spread, -8)[-8], spread, 0
            )  # a handful: the tail is not noise to learn
            units[region] = (1 - sure) * kept / kept.sum()
            units[region, c] += sure
        return units

    def _named(self, i: int) -> str:
        """The answer to a picture with a name: the name where the units bear it out or have nothing closer."""
        fits = self.names.classes(self.labels[i])
        best = max(fits, key=lambda c: self.units[i, c])
        if len(fits) == 1:
            return answer(self.names, best, certain=True)
        within = np.zeros_like(self.units[i])
        within[fits] = self.units[i, fits]
        return answer_for(self.names, within)

    def _yes_no(self, rng: np.random.Generator, seen: Array, label: str) -> tuple[str, str]:
        best = int(seen.argmax()) if not label else self.names.classes(label)[0]
        thing = self.groups[best]
        yes = bool(rng.random() < 0.5)
        if not yes:
            thing = self.groups[rng.integers(len(self.groups))]
            yes = any(seen[c] > 0.05 for c, group in enumerate(self.groups) if group == thing)
        question = (
            f"Is there {with_article(thing)} in view?" if rng.random() < 0.5 else f"Is this {with_article(thing)}?"
        )
        return question, "Yes." if yes else "No."
