"""Makes the training clips of the ambience connector: recordings -> mixes -> encoder latents, one file a class and
package.

`python -m models.recipes.sound_clips AUDIO_ENCODER SOUND_ENCODER PACKAGES OUT` resumes: what has its file is not made
again. Speech is made of the voices of the packages and of synthetic ones, in three simulated tones (sound_tones).
Seeded by the names. The latents of the audio encoder serve the word connector, which has to keep silent on them.
"""

from __future__ import annotations

import argparse
import io
import random
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import soxr

from glasses.encoders.audio import AudioEncoder
from glasses.encoders.sound import SoundEncoder
from glasses.types import SAMPLE_RATE_HZ, Float32Array
from models.recipes import augment, sound_mix, voices
from models.recipes.sound_recordings import Recording, recordings
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
    command = [
        "espeak-ng",
        "--stdout",
        "-v",
        voice,
        "-s",
        str(rng.randint(130, 200)),
        "-p",
        str(rng.randint(30, 70)),
        text,
    ]
    pcm, rate_hz = soundfile.read(
        io.BytesIO(subprocess.run(command, capture_output=True, check=True).stdout), dtype="float32"
    )
    return soxr.resample(pcm, rate_hz, SAMPLE_RATE_HZ).astype(np.float32)


def save(path: Path, rows: list[Float32Array], sounds: list[Float32Array]) -> None:
    """Writes the audio encoder's latents as int8 rows with one scale each and the sound encoder's as float16; the file
    appears whole or not at all.
    """
    packed = [quantized(row) for row in rows]
    part = path.with_suffix(".part")
    with part.open("wb") as out:
        np.savez(
            out,
            rows=np.concatenate([p[0] for p in packed]),
            scales=np.concatenate([p[1] for p in packed]),
            lengths=np.array([len(row) for row in rows]),
            sounds=np.concatenate(sounds).astype(np.float16),
            sound_lengths=np.array([len(sound) for sound in sounds]),
        )
    part.rename(path)


def class_clips(found: list[Recording], others: list[Float32Array], count: int) -> list[Float32Array]:
    """`count` mixes of the recordings that one package has of one class."""
    rule = found[0].rule
    rng = np.random.default_rng(zlib.crc32(f"{rule.label} {rule.package}".encode()))
    pcm = [r.pcm for r in found]
    return [sound_mix.training_clip(pcm, others, rng, sequence=rule.sequence) for _ in range(count)]


def voice_clips(who: str, tone: str, texts: list[str], others: list[Float32Array]) -> list[Float32Array]:
    """One sentence each by synthetic voices in a tone."""
    rng, pick = np.random.default_rng(zlib.crc32((who + tone).encode())), random.Random(who + tone)
    clips = []
    for text in texts:
        pcm = in_tone(spoken(who, text, pick)[: 5 * SAMPLE_RATE_HZ], tone, rng)
        clips.append(sound_mix.training_clip([pcm], others, rng, sequence=False))
    return clips


def quiet_clips(kind: str, count: int) -> list[Float32Array]:
    """Nothing to name: near silence, or plain noise."""
    rng = np.random.default_rng(zlib.crc32(kind.encode()))
    clips = []
    for _ in range(count):
        pcm = augment.noise(int(rng.uniform(1, 4) * SAMPLE_RATE_HZ), rng)
        gain = rng.uniform(0.0001, 0.003) if kind == "nothing" else rng.uniform(0.02, 0.3)
        clips.append((pcm * gain).astype(np.float32))
    return clips


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the ambience connector's training latents.")
    parser.add_argument("audio_encoder", type=Path)
    parser.add_argument("sound_encoder", type=Path)
    parser.add_argument("packages", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--count", type=int, default=16, help="clips of each class from each package; three times as many of each voice"
    )
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    audio, sound = AudioEncoder(args.audio_encoder, n_threads=1), SoundEncoder(args.sound_encoder, n_threads=1)
    found = [r for r in recordings(args.packages) if r.rule.split == "train"]
    texts, _ = split(written(random.Random(0)), random.Random(0))
    others = [r.pcm[: 4 * SAMPLE_RATE_HZ] for r in found if r.rule.label == "speech"][:40]
    jobs: dict[str, Callable[[], list[Float32Array]]] = {}
    for rule in dict.fromkeys(r.rule for r in found):
        mine = [r for r in found if r.rule == rule]
        jobs[f"{rule.label}@{rule.package}"] = lambda m=mine: class_clips(m, others, args.count)
    n_voice = 3 * args.count
    for i, (who, tone) in enumerate((w, t) for w in VOICES for t in TONES):
        said = texts[i * n_voice : (i + 1) * n_voice]
        jobs[f"{who} {tone}@synthetic"] = lambda w=who, t=tone, s=said: voice_clips(w, t, s, others)
    for kind in ("nothing", "noise"):
        jobs[f"{kind}@synthetic"] = lambda k=kind: quiet_clips(k, n_voice)
    for name, make in jobs.items():
        path = args.out / f"{name}.npz"
        if not path.exists():
            clips = [pcm for pcm in make() if len(pcm) > SAMPLE_RATE_HZ // 5]
            save(path, [audio.encode(pcm).data for pcm in clips], [sound.encode(pcm).data for pcm in clips])
            print(name, len(clips), flush=True)


if __name__ == "__main__":
    main()
