"""Writes the files by which any backbone is told what pocket's connectors find (see glasses.connectors.spelled).

    python -m models.recipes.spelled SMOLLM2.gguf models/artifacts

They hold texts and the wording around them, no weights, and depend on no backbone but the one whose tokens the word
connector reads: the same inputs give the same bytes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import onnxruntime

from glasses.backbone.llama import LlamaBackbone
from models.recipes import image_names
from models.recipes.sound_classes import UNITS, reply_to

ARTIFACTS = Path(__file__).parents[1] / "artifacts"
# Which tensor of the pocket connectors' graphs is their units: the softmax, the only one in its file.
IMAGE_UNITS, SOUND_UNITS = "n6", "n22"


def image() -> dict[str, Any]:
    """The kind of thing, and its name: of four wordings the one that names most of 70 training pictures."""
    names = image_names.load()
    kind, name = ({"region": 0, "say": what} for what in ("kinds", "names"))
    return {
        "units": IMAGE_UNITS,
        "names": list(names.names),
        "kinds": [names.broad(c) for c in range(len(names.names))],
        "sentence": ["The picture shows a", kind, ", a", name, ".\n"],
    }


def sound() -> dict[str, Any]:
    """What the sound is, as it is answered, without its full stop."""
    said = [reply_to(unit).rstrip(".") for unit in UNITS]
    return {
        "units": SOUND_UNITS,
        "names": [text[0].lower() + text[1:] for text in said],
        "kinds": [],
        "sentence": ["The sound of", {"region": 0, "say": "names"}, ".\n"],
    }


def words(connector: Path, gguf: Path) -> dict[str, Any]:
    """The text of every piece that the word connector can hear, and what stands around them: of five pairs the one with
    which most of 50 spoken training sentences are answered as typed. Quotation marks repeat better, answer worse.
    """
    ids = json.loads(onnxruntime.InferenceSession(str(connector)).get_modelmeta().custom_metadata_map["token_ids"])
    with LlamaBackbone(gguf, n_ctx=64, n_threads=1) as backbone:
        pieces = [backbone.detokenize([token]) for token in ids]
        table = [backbone.n_vocab, backbone.n_embd]
    return {"begin": "", "pieces": pieces, "end": "\n", "table": table}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gguf", type=Path, help="the pocket bundle's backbone")
    parser.add_argument("out", type=Path, help="folder")
    args = parser.parse_args()
    made = {
        "image-connector-spelled": image(),
        "sound-connector-spelled": sound(),
        "audio-words-spelled": words(ARTIFACTS / "audio-words-pocket.onnx", args.gguf),
    }
    for name, told in made.items():
        path = args.out / f"{name}.json"
        path.write_text(json.dumps(told, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
        print(path, path.stat().st_size)


if __name__ == "__main__":
    main()
