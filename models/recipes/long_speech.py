"""Makes hours of synthetic talk for measuring: quotations, spoken by voices that no training uses.

`python -m models.recipes.long_speech OUT --texts DIR --hours 1.2` reads the quotations of Debian's `fortunes` (unpacked
by sound_fetch) and writes them as Ogg files below OUT, one a quotation, a text never twice. Debian: espeak-ng, flite.
"""

from __future__ import annotations

import argparse
import random
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import soundfile

from glasses.types import SAMPLE_RATE_HZ, Float32Array
from glasses.wake_word_training.voices import ESPEAK_HELD_OUT, FLITE_HELD_OUT, espeak, flite

# espeak-ng's variants that glasses/wake_word_training/voices.py does not learn from, without robots and whispers.
VARIANTS = (
    *ESPEAK_HELD_OUT,
    *"Alicia Andrea Gene Henrique Jacky Linda Marco Michael Mike Nguyen Storm adam anika antonio aunty belinda".split(),
    *"benjamin boris caleb david edward iven john marcelo max miguel norbert pablo paul pedro quincy rob".split(),
    *"robert sandro shelby travis victor zac".split(),
)
MIN_LETTERS, MAX_LETTERS = 40, 700  # a sentence to half a minute
_LETTERS = re.compile(r"[A-Za-z]")
_SIGNATURE = re.compile(r"\n\s*--.*", re.DOTALL)


def quotations(folder: Path) -> list[str]:
    """Every text below, in an order that is the same each time; what is drawn rather than written is left out."""
    found: set[str] = set()
    for path in folder.rglob("*"):
        if not path.is_file() or path.suffix or "fortunes" not in path.parent.name or path.name == "ascii-art":
            continue
        for raw in path.read_text(errors="ignore").split("\n%"):
            text = " ".join(_SIGNATURE.sub("", raw).split()).lstrip("%")
            n_letters = len(_LETTERS.findall(text))
            if MIN_LETTERS <= n_letters <= MAX_LETTERS and n_letters > 0.7 * len(text):
                found.add(text)
    return random.Random(0).sample(sorted(found), len(found))


def said(texts: list[str], seed: int = 0) -> Iterator[tuple[int, str, Float32Array]]:
    """Each text's number, voice and sound float32 (N,) at 16 kHz; every fourth by flite, the others by espeak-ng."""
    for i, text in enumerate(texts):
        rng = random.Random(f"{seed} {text}")
        try:
            name, pcm = (
                ("flite", flite(text, rng, FLITE_HELD_OUT)) if i % 4 == 0 else ("espeak", espeak(text, rng, VARIANTS))
            )
        except subprocess.CalledProcessError:  # a text that begins like an option of flite's
            continue
        yield i, name, pcm


def main() -> None:
    parser = argparse.ArgumentParser(description="Say quotations with voices that nothing was learned from.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--texts", type=Path, required=True, help="the unpacked package fortunes lies below")
    parser.add_argument("--hours", type=float, default=1.2)
    args = parser.parse_args()
    texts = quotations(args.texts)
    if not texts:
        raise SystemExit(
            f"no quotations below {args.texts}: fetch long_packages.tsv first (models.recipes.sound_fetch)"
        )
    args.out.mkdir(parents=True, exist_ok=True)
    seconds = 0.0
    for i, name, pcm in said(texts):
        soundfile.write(args.out / f"{name}-{i:05d}.ogg", pcm, SAMPLE_RATE_HZ)
        seconds += len(pcm) / SAMPLE_RATE_HZ
        if seconds >= args.hours * 3600:
            break
    print(f"{seconds / 3600:.2f} hours")


if __name__ == "__main__":
    main()
