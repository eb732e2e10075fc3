"""Makes the training clips of the ambience connector: recordings -> mixes -> encoder latents, one file a class.

`python -m models.recipes.sound_clips ENCODER PACKAGES OUT` resumes: a class that has its file is not made again. Speech is made of the
voices of the packages and of synthetic ones, in three simulated tones (sound_tones). Seeded by the class's name.
"""

from __future__ import annotations

import argparse
import io
import random
import subprocess
import zlib
from pathlib import Path

import numpy as np
import soundfile
import soxr

from glasses.encoders.audio import AudioEncoder
from glasses.types import Float32Array
from models.recipes import augment, sound_mix, voices
from models.recipes.sound_classes import CLASSES
from models.recipes.sound_recordings import RATE_HZ, Recording, recordings
from models.recipes.sound_tones import TONES, in_tone
from models.recipes.speech_clips import quantized
from models.recipes.speech_text import split, written

MALE, FEMALE = ("m1", "m2", "m3", "m4", "m5", "m7", "Andy", "Lee"), ("f1", "f2", "f3", "f4", "f5", "Annie", "steph")
VOICES = {"man": {"espeak": MALE, "flite": ("kal16", "awb")}, "woman": {"espeak": FEMALE, "flite": ("slt",)}}


def spoken(who: str, text: str, rng: random.Random) -> Float32Array:
    """A sentence by a random synthetic voice of a man or a woman."""
    if rng.random() < 0.5:
        return voices.flite(text, rng, VOICES[who]["flite"])
    voice = f"{rng.choice(voices.ESPEAK_ACCENTS)}+{rng.choice(VOICES[who]['espeak'])}"
    command = ["espeak-ng", "--stdout", "-v", voice, "-s", str(rng.randint(130, 200)), "-p", str(rng.randint(30, 70)), text]
    pcm, rate_hz = soundfile.read(io.BytesIO(subprocess.run(command, capture_output=True, check=True).stdout), dtype="float32")
    return soxr.resample(pcm, rate_hz, RATE_HZ).astype(np.float32)


def save(path: Path, rows: list[Float32Array], names: list[str]) -> None:
    """Writes latents as int8 rows with one scale each; the file appears whole or not at all."""
    packed = [quantized(row) for row in rows]
    part = path.with_suffix(".part")
    with part.open("wb") as out:
        np.savez(
            out,
            rows=np.concatenate([p[0] for p in packed]),
            scales=np.concatenate([p[1] for p in packed]),
            lengths=np.array([len(row) for row in rows]),
            names=np.array(names),
        )
    part.rename(path)


def class_clips(
    label: str, found: list[Recording], others: list[Float32Array], count: int
) -> list[tuple[str, Float32Array]]:
    """`count` mixes of a class as (package, clip), its packages in equal shares."""
    rng = np.random.default_rng(zlib.crc32(label.encode()))
    rules = list(dict.fromkeys(r.rule for r in found))
    clips = []
    for i in range(count):
        rule = rules[i % len(rules)]
        pcm = [r.pcm for r in found if r.rule == rule]
        clips.append((rule.package, sound_mix.training_clip(pcm, others, rng, sequence=rule.sequence)))
    return clips


def voice_clips(who: str, tone: str, texts: list[str], others: list[Float32Array]) -> list[tuple[str, Float32Array]]:
    """One sentence each by synthetic voices in a tone, as (voice, clip)."""
    rng, pick = np.random.default_rng(zlib.crc32((who + tone).encode())), random.Random(who + tone)
    clips = []
    for text in texts:
        pcm = in_tone(spoken(who, text, pick)[: 5 * RATE_HZ], tone, rng)
        clips.append(("synthetic", sound_mix.training_clip([pcm], others, rng, sequence=False)))
    return clips


def quiet_clips(kind: str, count: int) -> list[tuple[str, Float32Array]]:
    """Nothing to name: near silence, or plain noise."""
    rng = np.random.default_rng(zlib.crc32(kind.encode()))
    clips = []
    for _ in range(count):
        pcm = augment.noise(int(rng.uniform(1, 4) * RATE_HZ), rng)
        gain = rng.uniform(0.0001, 0.003) if kind == "nothing" else rng.uniform(0.02, 0.3)
        clips.append(("synthetic", (pcm * gain).astype(np.float32)))
    return clips


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the ambience connector's training latents.")
    parser.add_argument("encoder", type=Path)
    parser.add_argument("packages", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=40, help="clips of each class")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    encoder = AudioEncoder(args.encoder, n_threads=1)
    found = [r for r in recordings(args.packages) if r.rule.split == "train"]
    texts, _ = split(written(random.Random(0)), random.Random(0))
    others = [r.pcm[: 4 * RATE_HZ] for r in found if r.rule.label == "speech"][:40]
    jobs = {label: lambda n=label: class_clips(n, [r for r in found if r.rule.label == n], others, args.count) for label in CLASSES}
    for i, (who, tone) in enumerate((w, t) for w in VOICES for t in TONES):
        said = texts[i * args.count : (i + 1) * args.count]
        jobs[f"{who} {tone}"] = lambda w=who, t=tone, s=said: voice_clips(w, t, s, others)
    for kind in ("nothing", "noise"):
        jobs[kind] = lambda k=kind: quiet_clips(k, args.count)
    for label, make in jobs.items():
        path = args.out / f"{label}.npz"
        if not path.exists():
            clips = [(name, pcm) for name, pcm in make() if len(pcm) > RATE_HZ // 5]
            save(path, [encoder.encode(pcm).data for _, pcm in clips], [name for name, _ in clips])
            print(label, len(clips), flush=True)


if __name__ == "__main__":
    main()
