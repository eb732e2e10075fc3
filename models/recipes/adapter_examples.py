"""Examples for training and testing backbone adapters (see tune_adapter).

An example holds the class probabilities ("units") of pocket's networks, the texts around their rows and the wanted
reply. Pictures: half made-up units around every class, half training pictures. Sounds: mostly made up, the others
training clips, whose units come from networks fitted without their package: the shipped networks have seen every
training clip and would be too sure. Some are held out: pictures of some names, clips of some packages.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor

from glasses.evaluation.pictures import hits
from glasses.evaluation.sounds import said_class
from glasses.runtime.modalities import MODALITIES
from models.recipes import image_examples, image_names, sound_examples, sound_units
from models.recipes.chat_frame import SUFFIX
from models.recipes.sound_classes import CLASSES

Array = NDArray[np.float32]
ABOUT_SOUND, ABOUT_VIEW = (MODALITIES[one].default_question for one in ("sound", "image"))
HELD_OUT_FOLD = 0  # of the packages (sound_units.FOLDS)
HELD_OUT_ONE_IN = 8  # names of pictures


@dataclass(frozen=True, slots=True)
class AdapterExample:
    """One turn and the reply to it.

    `units`: class probabilities (n,) by sense, in the order of the turn. `before` and `after`: the texts around their
    rows. `label` is the class that is asked about.
    """

    units: dict[str, Array]
    before: str
    after: str
    reply: str
    label: str = ""


class ExampleSource(Protocol):
    """Makes the examples of one sense."""

    space: str  # of the latents that the units are made of

    def batch(self, step: int, size: int) -> list[AdapterExample]:
        """Training examples, the same each time for the same step."""
        ...

    def held_out(self, n: int) -> list[AdapterExample]:
        """Up to `n` examples that training never uses, spread over all that are held out."""
        ...

    def is_right(self, label: str, answer: str) -> bool:
        """Whether the answer names `label`."""
        ...


def mix_senses(
    pictures: Sequence[AdapterExample], sounds: Sequence[AdapterExample], share: float, rng: np.random.Generator
) -> list[AdapterExample]:
    """All examples of both senses; `share` of them also hold units of the other sense, before or after their own.

    Those are not asked about. Without such examples a sound beside a picture decides the answer.
    """
    found = []
    for mine, others in ((pictures, sounds), (sounds, pictures)):
        for one in mine:
            other = others[rng.integers(len(others))].units
            turns = (one.units | other, other | one.units)
            found.append(replace(one, units=turns[rng.integers(2)]) if rng.random() < share else one)
    return found


class Classifier(NamedTuple):
    """The classifier of a shipped connector: units are softmax((x @ head.T + bias) * sharpness)."""

    head: Tensor
    bias: Tensor
    sharpness: float


class Graph:
    """Reads an ONNX file that image_model.Graph wrote: the node that makes each tensor, and the constants."""

    def __init__(self, path: Path) -> None:
        model = onnx.load(path)
        self.made = {node.output[0]: node for node in model.graph.node}
        self.constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        self.space = next(one.value for one in model.metadata_props if one.key == "space")

    def sharpened(self, units: str) -> tuple[str, float]:
        """The input of the softmax `units`: the name of the scores and the factor on them."""
        scores, sharpness = self.made[self.made[units].input[0]].input
        return scores, float(self.constants[sharpness].flat[0])


def classifier(path: Path, units: str) -> Classifier:
    """The classifier of the picture network whose softmax is the tensor `units`."""
    graph = Graph(path)
    scores, sharpness = graph.sharpened(units)
    product, bias = graph.made[scores].input
    table = graph.made[graph.made[graph.made[product].input[1]].input[0]]
    int8, scale = (graph.constants[name] for name in table.input)
    head = int8.astype(np.float32) * scale[:, None]
    return Classifier(torch.from_numpy(head), torch.from_numpy(graph.constants[bias].copy()), sharpness)


class Pictures:
    """Pictures: `features` is the file that image_pictures writes, `network` the pocket connector that classifies."""

    def __init__(self, features: Path, network: Path, units: str) -> None:
        with np.load(features) as data:
            whole, labels = data["regions"][:, :1].astype(np.float32), [str(name) for name in data["names"]]
            self.space = str(data["space"])
        self._names, self._classifier = image_names.load(), classifier(network, units)
        kept = np.array([bool(name) and zlib.crc32(name.encode()) % HELD_OUT_ONE_IN == 0 for name in labels])
        learned = [name for name, out in zip(labels, kept, strict=True) if not out]
        self._source: Any = image_examples.Source(self._names, self._classifier, whole[~kept], learned)
        self._kept = [(whole[i], labels[i]) for i in np.flatnonzero(kept)]

    def batch(self, step: int, size: int) -> list[AdapterExample]:
        """See `ExampleSource`."""
        drawn = self._source.batch(step, size)
        units = [self._units(e.regions) if e.units is None else e.units[0] for e in drawn]
        return [AdapterExample({"image": u}, e.before, e.after, e.reply) for u, e in zip(units, drawn, strict=True)]

    def held_out(self, n: int) -> list[AdapterExample]:
        """See `ExampleSource`."""
        spread = np.linspace(0, len(self._kept) - 1, min(n, len(self._kept))).astype(int)
        found = [self._kept[i] for i in spread]
        return [
            AdapterExample({"image": self._units(seen)}, "", ABOUT_VIEW + SUFFIX, "", label) for seen, label in found
        ]

    def is_right(self, label: str, answer: str) -> bool:
        """See `ExampleSource`."""
        fits = self._names.classes(label)
        return hits(answer, [label, *{self._names.group(c) for c in fits}])

    def _units(self, regions: Array) -> Array:
        head, bias, sharpness = self._classifier
        return torch.softmax((torch.from_numpy(regions[0]) @ head.T + bias) * sharpness, 0).numpy()


class Sounds:
    """Sounds: `clips` is the folder that sound_clips writes, `network` the pocket connector that classifies."""

    def __init__(self, clips: Path, network: Path, units: str) -> None:
        graph, pooled = Graph(network), sound_units.load_clips(clips, "sound")
        self.space = graph.space
        found = units_without_their_package(pooled, graph.sharpened(units)[1])
        learned = pooled.fold != HELD_OUT_FOLD
        elsewhere = np.isin(pooled.y, pooled.y[learned])
        learned |= ~elsewhere
        of_one = replace(pooled, x=found[learned], y=pooled.y[learned], fold=pooled.fold[learned])
        self._source: Any = sound_examples.Source(PrecomputedUnits(), of_one)  # type: ignore[arg-type]
        names = [(found[i], pooled.names[pooled.y[i]]) for i in np.flatnonzero(~learned)]
        self._kept = [(known, label) for known, label in names if label in CLASSES]

    def batch(self, step: int, size: int) -> list[AdapterExample]:
        """See `ExampleSource`."""
        return [
            AdapterExample({"sound": e.units.numpy()}, "", e.after, e.reply) for e in self._source.batch(step, size)
        ]

    def held_out(self, n: int) -> list[AdapterExample]:
        """See `ExampleSource`."""
        spread = np.linspace(0, len(self._kept) - 1, min(n, len(self._kept))).astype(int)
        found = [self._kept[i] for i in spread]
        return [AdapterExample({"sound": units}, "", ABOUT_SOUND + SUFFIX, "", label) for units, label in found]

    def is_right(self, label: str, answer: str) -> bool:
        """See `ExampleSource`."""
        return said_class(answer, {one: names for one, (_, names) in CLASSES.items()}) == label


class PrecomputedUnits:
    """Takes a connector's place where a clip's units are known already."""

    def units(self, pooled: Tensor) -> Tensor:
        """Returns its argument."""
        return pooled


def units_without_their_package(pooled: sound_units.Pooled, sharpness: float) -> Array:
    """Units (n, n_units) of every clip, by networks that were fitted on the packages of the other folds.

    A class that only one fold has is classified by a network fitted on all folds.
    """
    x = (pooled.x - pooled.x.mean(0)) / (pooled.x.std(0) + 1e-3)
    scores = np.zeros((len(x), len(pooled.names)), np.float32)
    for fold in (None, *range(sound_units.FOLDS)):
        known = pooled.fold != fold if fold is not None else np.ones(len(x), bool)
        weights, bias = sound_units.fit("sound", x[known], pooled.y[known], len(pooled.names))
        ask = ~known & np.isin(pooled.y, pooled.y[known]) if fold is not None else known
        scores[ask] = x[ask] @ weights + bias
    scores = scores * sharpness
    exponentials = np.exp(scores - scores.max(1, keepdims=True))
    return (exponentials / exponentials.sum(1, keepdims=True)).astype(np.float32)
