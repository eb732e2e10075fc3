"""Makes models/eval/sounds: the held-out recordings, and three trained-on ones a class for the probes to be fitted on.

`python -m models.recipes.sound_eval_set ENCODER PACKAGES OUT`. Clips are Ogg/Opus, at most 5 s, 16 kHz. A held-out
recording that matches
a training recording of its class (a copy in another package) is left out: see `same_recording`. Seeded.
"""

from __future__ import annotations

import argparse
import json
import zlib
from pathlib import Path

import numpy as np
import soundfile

from glasses.encoders.mel import log_mel
from glasses.types import SAMPLE_RATE_HZ, Float32Array
from models.recipes import sound_mix
from models.recipes.sound_classes import CLASSES
from models.recipes.sound_fetch import packages
from models.recipes.sound_recordings import Recording, recordings

PER_PACKAGE = 3  # held-out clips of one class from one package: more would be the same session again
REFERENCE = 3
SAME = 0.9


def same_recording(a: Float32Array, b: Float32Array) -> float:
    """The largest correlation of two log-mel spectrograms over all shifts; copies of one recording come out above 0.9.

    Each is made zero-mean over time in every band, so that two recordings of like timbre do not match.
    """
    short, long = sorted((np.asarray(log_mel(x[: len(x) // 320 * 320])) for x in (a, b)), key=lambda m: m.shape[1])
    short = short - short.mean(axis=1, keepdims=True)
    n, best = short.shape[1], 0.0
    if n < 20:
        return 0.0
    for start in range(0, long.shape[1] - n + 1):
        part = long[:, start : start + n]
        part = part - part.mean(axis=1, keepdims=True)
        best = max(best, float((short * part).sum() / (np.linalg.norm(short) * np.linalg.norm(part) + 1e-9)))
    return best


def write_clip(path: Path, pcm: Float32Array) -> None:
    """Ogg/Opus at about 24 kbit/s."""
    soundfile.write(path, pcm, SAMPLE_RATE_HZ, format="OGG", subtype="OPUS", compression_level=0.93)


def chosen(found: list[Recording], per_package: int) -> list[list[Recording]]:
    """Groups of recordings, one group a clip: `per_package` evenly spaced ones, or two strings of single events."""
    clips: list[list[Recording]] = []
    for rule in dict.fromkeys(r.rule for r in found):
        mine = [r for r in found if r.rule == rule]
        if rule.sequence:
            clips += [mine] * min(2, per_package)
        else:
            clips += [
                [mine[i]] for i in np.unique(np.linspace(0, len(mine) - 1, min(per_package, len(mine))).astype(int))
            ]
    return clips


def is_copy(clip: list[Recording], train: list[Recording]) -> bool:
    """Whether a held-out recording is a training recording in another package."""
    if clip[0].rule.sequence:
        return False
    for other in train:
        if (
            not other.rule.sequence
            and same_recording(clip[0].pcm[: 5 * SAMPLE_RATE_HZ], other.pcm[: 8 * SAMPLE_RATE_HZ]) > SAME
        ):
            print(f"left out: {clip[0].rule.package}{clip[0].name} is {other.rule.package}{other.name}")
            return True
    return False


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the shipped held-out sounds.")
    parser.add_argument("packages", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    found, licences, index = list(recordings(args.packages)), packages(), []
    for label, (_, accepted) in CLASSES.items():
        mine = [r for r in found if r.rule.label == label]
        train = [r for r in mine if r.rule.split == "train"]
        held_out = [
            c for c in chosen([r for r in mine if r.rule.split == "test"], PER_PACKAGE) if not is_copy(c, train)
        ]
        reference = chosen(train, 1)[:REFERENCE]
        rng = np.random.default_rng(zlib.crc32(label.encode()))
        for split, clips in (("held-out", held_out), ("reference", reference)):
            for i, clip in enumerate(clips):
                rule = clip[0].rule
                name = f"{label}-{'r' if split == 'reference' else ''}{i}.ogg"
                write_clip(args.out / name, sound_mix.plain_clip([r.pcm for r in clip], rng, sequence=rule.sequence))
                source = (
                    f"{rule.package}: {rule.pattern}, strung together" if rule.sequence else rule.package + clip[0].name
                )
                line = {"file": name, "label": label, "split": split, "accept": accepted, "source": source}
                index.append({**line, "licence": licences[rule.package].licence})
        print(label, len(held_out), len(reference), flush=True)
    (args.out / "index.jsonl").write_text("".join(json.dumps(line) + "\n" for line in index))


if __name__ == "__main__":
    main()
