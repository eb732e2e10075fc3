"""What a told connector is trained and asked on: units of pocket's networks, the texts around the rows, the reply
wanted. Knows no backbone.

Pictures: half made-up units around every class, half training pictures. Sounds: most made up, else training clips,
whose units come from networks fitted without their package: those that ship know every training clip and doubt none. Of
both a part is never trained on: pictures of some names, clips of some packages.
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
class Asked:
    """`units` (n,) that sum to 1 of each sense that has rows in the turn, in the turn's order; texts before and after
    the rows; the reply; `label` is what it is that was asked about.
    """

    units: dict[str, Array]
    before: str
    after: str
    reply: str
    label: str = ""


class Course(Protocol):
    """Where examples of a sense come from."""

    space: str  # of the latents that the units are made of

    def batch(self, step: int, size: int) -> list[Asked]:
        """Examples to learn from: a function of the step."""
        ...

    def held_out(self, n: int) -> list[Asked]:
        """Examples that are never learned from, spread over what there is."""
        ...

    def right(self, label: str, answer: str) -> bool:
        """Whether an answer names what it is."""
        ...


def together(pictures: Sequence[Asked], sounds: Sequence[Asked], share: float, rng: np.random.Generator) -> list[Asked]:
    """All of both; `share` of them get, before or after, what another of the other sense is of: it is not asked about.

    Without that a sound beside a picture drowns it.
    """
    found = []
    for mine, others in ((pictures, sounds), (sounds, pictures)):
        for one in mine:
            beside = others[rng.integers(len(others))].units
            turns = (one.units | beside, beside | one.units)
            found.append(replace(one, units=turns[rng.integers(2)]) if rng.random() < share else one)
    return found


class Classifier(NamedTuple):
    """What finds the units of a shipped connector: softmax((x @ head.T + bias) * sharpness)."""

    head: Tensor
    bias: Tensor
    sharpness: float


class Graph:
    """An ONNX file of image_model.Graph: which node made a tensor, and its constants."""

    def __init__(self, path: Path) -> None:
        model = onnx.load(path)
        self.made = {node.output[0]: node for node in model.graph.node}
        self.constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        self.space = next(one.value for one in model.metadata_props if one.key == "space")

    def sharpened(self, units: str) -> tuple[str, float]:
        """What the softmax `units` is of: the name of the scores, and by how much they are multiplied."""
        scores, sharpness = self.made[self.made[units].input[0]].input
        return scores, float(self.constants[sharpness].flat[0])


def classifier(path: Path, units: str) -> Classifier:
    """Of the picture network whose softmax is the tensor `units`."""
    graph = Graph(path)
    scores, sharpness = graph.sharpened(units)
    product, bias = graph.made[scores].input
    table = graph.made[graph.made[graph.made[product].input[1]].input[0]]
    int8, scale = (graph.constants[name] for name in table.input)
    head = int8.astype(np.float32) * scale[:, None]
    return Classifier(torch.from_numpy(head), torch.from_numpy(graph.constants[bias].copy()), sharpness)


class Pictures:
    """`features` is what image_pictures writes, `network` the pocket connector whose units are mixed."""

    def __init__(self, features: Path, network: Path, units: str) -> None:
        with np.load(features) as data:
            whole, labels = data["regions"][:, :1].astype(np.float32), [str(name) for name in data["names"]]
            self.space = str(data["space"])
        self._names, self._classifier = image_names.load(), classifier(network, units)
        kept = np.array([bool(name) and zlib.crc32(name.encode()) % HELD_OUT_ONE_IN == 0 for name in labels])
        learned = [name for name, out in zip(labels, kept, strict=True) if not out]
        self._source: Any = image_examples.Source(self._names, self._classifier, whole[~kept], learned)
        self._kept = [(whole[i], labels[i]) for i in np.flatnonzero(kept)]

    def batch(self, step: int, size: int) -> list[Asked]:
        """See `Course`."""
        drawn = self._source.batch(step, size)
        units = [self._units(e.regions) if e.units is None else e.units[0] for e in drawn]
        return [Asked({"image": u}, e.before, e.after, e.reply) for u, e in zip(units, drawn, strict=True)]

    def held_out(self, n: int) -> list[Asked]:
        """See `Course`."""
        spread = np.linspace(0, len(self._kept) - 1, min(n, len(self._kept))).astype(int)
        found = [self._kept[i] for i in spread]
        return [Asked({"image": self._units(seen)}, "", ABOUT_VIEW + SUFFIX, "", label) for seen, label in found]

    def right(self, label: str, answer: str) -> bool:
        """See `Course`."""
        fits = self._names.classes(label)
        return hits(answer, [label, *{self._names.group(c) for c in fits}])

    def _units(self, regions: Array) -> Array:
        head, bias, sharpness = self._classifier
        return torch.softmax((torch.from_numpy(regions[0]) @ head.T + bias) * sharpness, 0).numpy()


class Sounds:
    """`clips` is the folder that sound_clips writes, `network` the pocket connector whose units are mixed."""

    def __init__(self, clips: Path, network: Path, units: str) -> None:
        graph, pooled = Graph(network), sound_units.load_clips(clips, "sound")
        self.space = graph.space
        found = units_without_their_package(pooled, graph.sharpened(units)[1])
        learned = pooled.fold != HELD_OUT_FOLD
        elsewhere = np.isin(pooled.y, pooled.y[learned])
        learned |= ~elsewhere
        of_one = replace(pooled, x=found[learned], y=pooled.y[learned], fold=pooled.fold[learned])
        self._source: Any = sound_examples.Source(Known(), of_one)  # type: ignore[arg-type]
        names = [(found[i], pooled.names[pooled.y[i]]) for i in np.flatnonzero(~learned)]
        self._kept = [(known, label) for known, label in names if label in CLASSES]

    def batch(self, step: int, size: int) -> list[Asked]:
        """See `Course`."""
        return [Asked({"sound": e.units.numpy()}, "", e.after, e.reply) for e in self._source.batch(step, size)]

    def held_out(self, n: int) -> list[Asked]:
        """See `Course`."""
        spread = np.linspace(0, len(self._kept) - 1, min(n, len(self._kept))).astype(int)
        found = [self._kept[i] for i in spread]
        return [Asked({"sound": units}, "", ABOUT_SOUND + SUFFIX, "", label) for units, label in found]

    def right(self, label: str, answer: str) -> bool:
        """See `Course`."""
        return said_class(answer, {one: names for one, (_, names) in CLASSES.items()}) == label


class Known:
    """Stands for the connector where the clips' units are what is given of them."""

    def units(self, pooled: Tensor) -> Tensor:
        """They are known already."""
        return pooled


def units_without_their_package(pooled: sound_units.Pooled, sharpness: float) -> Array:
    """Units (n, n_units) of every clip by networks fitted on the packages of other folds, as of sounds never heard.

    Clips of a sound that only one fold has are judged by what is fitted on all.
    """
    x = (pooled.x - pooled.x.mean(0)) / (pooled.x.std(0) + 1e-3)
    scores = np.zeros((len(x), len(pooled.names)), np.float32)
    for fold in (None, *range(sound_units.FOLDS)):
        known = pooled.fold != fold if fold is not None else np.ones(len(x), bool)
        weights, bias = sound_units.fit("sound", x[known], pooled.y[known], len(pooled.names))
        ask = ~known & np.isin(pooled.y, pooled.y[known]) if fold is not None else known
        scores[ask] = x[ask] @ weights + bias
    scores = scores * sharpness
    likely = np.exp(scores - scores.max(1, keepdims=True))
    return (likely / likely.sum(1, keepdims=True)).astype(np.float32)
