"""Writes the wording files with which any backbone reads pocket's connectors (see glasses.connectors.soft_tokens).

    python -m models.recipes.soft_token_wording models/artifacts

They hold the texts of all classes and the sentence around them; they have no weights and serve every backbone.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from pathlib import Path
from typing import Any

from glasses.encoders.things import ThingEncoder
from models.recipes import image_names
from models.recipes.sound_classes import UNITS, reply_to

THINGS = Path(__file__).with_name("things_wording.toml")
N_NOUNS = 24  # that questions are made with, spread over the names
# The tensor with the class probabilities in the pocket connectors' graphs: the only softmax of each file.
IMAGE_UNITS, SOUND_UNITS = "n6", "n22"


def image() -> dict[str, Any]:
    """Kind and name of the thing: of four wordings the one with which most of 70 training pictures were named."""
    names = image_names.load()
    kind, name = ({"region": 0, "say": what} for what in ("kinds", "names"))
    return {
        "units": IMAGE_UNITS,
        "names": list(names.names),
        "kinds": [names.broad(c) for c in range(len(names.names))],
        "sentence": ["The picture shows a", kind, ", a", name, ".\n"],
    }


def sound() -> dict[str, Any]:
    """The sound's name, as answers say it, without the full stop."""
    said = [reply_to(unit).rstrip(".") for unit in UNITS]
    return {
        "units": SOUND_UNITS,
        "names": [text[0].lower() + text[1:] for text in said],
        "kinds": [],
        "sentence": ["The sound of", {"region": 0, "say": "names"}, ".\n"],
    }


def things(detector: Path) -> dict[str, Any]:
    """What the detector's classes are called, the words around them, and what asks about them."""
    held = tomllib.loads(THINGS.read_text(encoding="utf-8"))
    names = held["names"]
    plurals = [
        held["plurals"].get(one) or one + ("es" if one.endswith(("s", "x", "ch", "sh")) else "s") for one in names
    ]
    some = range(0, len(names), len(names) // N_NOUNS)
    of_one = [form.format(names[i]) for form in held["about_one"] for i in some]
    of_kind = [form.format(names[i]) for form in held["about_kind"] for i in some]
    of_several = [form.format(plurals[i]) for form in held["about_several"] for i in some]
    return {
        "space": ThingEncoder(detector).space,
        "names": names,
        "plurals": plurals,
        "numbers": ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "many"],
        "sides": ["left", "middle", "right"],
        **{"before": "The picture shows", "between": ",", "open": " (", "and": ", ", "close": ")", "after": ".\n"},
        "about_things": [*of_one, *of_several, *held["about_sides"]],
        "about_others": [*of_kind, *held["about_others"]],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder")
    args = parser.parse_args()
    made = {
        "image-connector-soft-tokens": image(),
        "sound-connector-soft-tokens": sound(),
        "things-connector": things(args.out / "nanodet-416-int8.onnx"),
    }
    for name, wording in made.items():
        path = args.out / f"{name}.json"
        path.write_text(json.dumps(wording, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
        print(path, path.stat().st_size)


if __name__ == "__main__":
    main()
