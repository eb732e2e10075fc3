"""Makes models/eval/tone: the same sentences by four voices never trained on, calm, whispered and shouted (simulated).

`python -m models.recipes.sound_tone_set OUT --kokoro DIR`. Since every voice says every sentence in every tone, the
words cannot
tell who speaks or how. Voices: flite rms, Kokoro jm_kumo and jf_nezumi, espeak-ng Gene. Ogg/Opus, 16 kHz, levels
alike. Seeded.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
from pathlib import Path

import numpy as np

from models.recipes import voices
from models.recipes.sound_eval_set import write_clip
from models.recipes.sound_tones import TONES, in_tone

SENTENCES = (
    "Come over here.",
    "Where did you put the keys?",
    "The door is open again.",
    "I will be back in a minute.",
    "Please look at this.",
    "That was not what I meant.",
)


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the shipped tone set.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--kokoro", type=Path, required=True, help="folder with kokoro.onnx, voices_ja.npz, vocab.json")
    args = parser.parse_args()
    files = [args.kokoro / name for name in ("kokoro.onnx", "voices_ja.npz", "vocab.json")]
    speakers: dict[str, voices.Voice] = {
        "flite-rms": lambda text, rng: voices.flite(text, rng, ("rms",)),
        "kokoro-jm_kumo": voices.Kokoro(*files, names=("jm_kumo",)),
        "kokoro-jf_nezumi": voices.Kokoro(*files, names=("jf_nezumi",)),
        "espeak-Gene": lambda text, _: voices.from_wav(
            subprocess.run(["espeak-ng", "--stdout", "-v", "en-us+Gene", text], capture_output=True, check=True).stdout
        ),
    }
    args.out.mkdir(parents=True, exist_ok=True)
    lines, rng, pick = [], np.random.default_rng(0), random.Random(0)
    for speaker, say in speakers.items():
        for i, text in enumerate(SENTENCES):
            calm = say(text, pick)
            for tone in TONES:
                name = f"{speaker}-{i}-{tone}.ogg"
                write_clip(args.out / name, in_tone(calm, tone, rng))
                lines.append({"file": name, "speaker": speaker, "tone": tone, "text": text})
    (args.out / "index.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    print(len(lines))


if __name__ == "__main__":
    main()
