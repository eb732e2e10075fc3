"""What the image encoder's own classifier makes of the held-out photographs: the limit of an untrained connector.

    python -m models.recipes.image_limit --weights efficientnet-lite0-57934424.pth [--connector C.onnx]

Prints the share named right by the ImageNet head, in the same words and judged the same way as the assistant's answers;
given the connector, also by the connector's own softmax units, that is before the backbone reads them.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from glasses.encoders.image import ImageEncoder
from glasses.evaluation.pictures import hits, read_pictures
from models.recipes import image_names
from quantize import image_encoder

ENCODER = Path("models/artifacts/efficientnet-lite0-int8.onnx")


def units_of(connector: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The head (classes, 1280) and bias (classes,) inside a connector written by image_model.export."""
    constants = [numpy_helper.to_array(c) for c in onnx.load(connector).graph.initializer]
    table, scale = next((c, s) for c, s in itertools.pairwise(constants) if c.shape[1:] == (1280,))
    bias = next(c for c in constants if c.shape == (len(table),) and c is not scale)
    return table.astype(np.float32) * scale[:, None], bias


def accuracy(head: NDArray[np.float32], bias: NDArray[np.float32], features: NDArray[np.float32]) -> float:
    """The share of held-out pictures whose pooled `features` (n, 1280) the head names right."""
    names = image_names.load()
    logits = np.full((len(features), len(names.names)), -np.inf)
    logits[:, : len(head)] = features @ head.T + bias
    odds = np.exp(logits - logits.max(1, keepdims=True))
    answers = [image_names.answer_for(names, row / row.sum()) for row in odds]
    return float(np.mean([hits(a, p.accept) for a, p in zip(answers, read_pictures(), strict=True)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--encoder", type=Path, default=ENCODER)
    parser.add_argument("--connector", type=Path)
    args = parser.parse_args()
    encoder = ImageEncoder(args.encoder)
    features = np.stack([encoder.encode(picture.rgb).data.mean(0) for picture in read_pictures()])
    figures = {"imagenet_head": accuracy(*image_encoder.head(args.weights), features)}
    if args.connector:
        figures["connector_units"] = accuracy(*units_of(args.connector), features)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
