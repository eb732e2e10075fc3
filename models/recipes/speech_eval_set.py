"""Makes the held-out speech set shipped in models/eval/speech. Knows the same sources as the training, other
sentences and voices.

Synthetic: sentences that hash to the test side, said by voices never trained on (flite rms; Kokoro jm_kumo and
jf_nezumi). Human: the English prompts of Debian's asterisk-core-sounds-en-wav (Allison Smith, CC-BY-SA-3.0, 8 kHz)
and Tux Paint's spoken captions; no human recording is trained on. Questions: written for this set, said by the
held-out voices.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
from pathlib import Path

import numpy as np
import soundfile
import soxr

from glasses.types import SAMPLE_RATE_HZ, Float32Array
from models.recipes import voices
from models.recipes.speech_text import normalise, split, written

ASTERISK = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
ASTERISK_TEXT = Path("/usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz")
TUXPAINT = Path("/usr/share/tuxpaint/stamps")
QUESTIONS = """What is the capital of France?|How many days are in a week?|What color is the sky on a clear day?|
Who wrote Romeo and Juliet?|What is the largest ocean in the world?|How many legs does a spider have?|
What do bees make?|What is the opposite of hot?|Which planet is closest to the sun?|What language do people speak in
Brazil?| What do cows drink?|How many months are in a year?|What is ice made of?|Where do penguins live?|
What is the tallest animal on land?|What season comes after winter?|Who was the first president of the United States?|
What is the capital of Japan?|What do you use an umbrella for?|How many hours are there in a day?|
What is the freezing point of water?|Which animal barks?|What color are ripe bananas?|What is the fastest land animal?|
What do plants need to grow?|What is the name of our galaxy?|How do birds fly?|Why is the sea salty?|
What is bread made from?|Who painted the Mona Lisa?|What is the biggest country in the world?|What is a baby dog
called?| What is the capital of Italy?|What instrument has black and white keys?|How many wheels does a bicycle have?|
What do we call frozen rain?|Which organ pumps blood through the body?|What is the main language of Germany?|
What do caterpillars turn into?|What is the hottest planet?|Where does coffee come from?|What is the longest river in
Africa?| What is a group of wolves called?|What gas do we breathe to stay alive?|What is the capital of Spain?|
How many letters are in the English alphabet?|What do you call a house made of snow?|What fruit is used to make wine?|
Tell me a fun fact about elephants.|Give me a synonym for happy.|What should I cook for dinner?|
How can I sleep better at night?|What is the best way to learn a language?|Tell me a short joke.|
What is a good name for a cat?|Why do leaves change color in autumn?|How do I make tea?|What is gravity?|
What is the meaning of the word brave?|Name three kinds of trees."""


def asterisk(rng: random.Random, count: int) -> list[tuple[Path, str]]:
    """Returns (recording, words) of prompts of 3 to 14 plain words."""
    found = []
    for line in gzip.decompress(ASTERISK_TEXT.read_bytes()).decode(errors="replace").splitlines():
        name, _, text = line.partition(":")
        spoken = normalise(" ".join(re.sub(r"[.]", " ", text.strip()).split()))
        path = ASTERISK / f"{name}.wav"
        if spoken and len(spoken.split()) >= 3 and path.exists() and not re.search(r"[\[\]<0-9]", text):
            found.append((path, spoken))
    return rng.sample(found, min(count, len(found)))


def tuxpaint(rng: random.Random, count: int) -> list[tuple[Path, str]]:
    """Returns (recording, words) of English captions of at least two words."""
    found = []
    for path in sorted(TUXPAINT.rglob("*_desc.ogg")):
        text = path.with_name(path.name.replace("_desc.ogg", ".txt"))
        spoken = normalise(text.read_text(errors="replace").split("\n")[0]) if text.exists() else None
        if spoken and len(spoken.split()) >= 2:
            found.append((path, spoken))
    return rng.sample(found, min(count, len(found)))


def load(path: Path) -> Float32Array:
    pcm, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    return soxr.resample(pcm.mean(axis=1), rate_hz, SAMPLE_RATE_HZ).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the held-out speech set.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--kokoro", type=Path, required=True)
    args = parser.parse_args()
    rng = random.Random(1)
    _, test = split(written(random.Random(0)), random.Random(0))
    files = [args.kokoro / name for name in ("kokoro.onnx", "voices_ja.npz", "vocab.json")]
    speakers = {name: voices.Kokoro(*files, names=(name,)) for name in voices.KOKORO_TEST}
    speakers["rms"] = lambda text, r: voices.flite(text, r, ("rms",))
    items: list[tuple[str, str, str, Float32Array]] = []
    sentences = rng.sample([s for s in test if 4 <= len(s.split()) <= 12], 90)
    questions = [" ".join(q.split()) for q in QUESTIONS.split("|")]
    for kind, texts in (("synthetic", sentences), ("question", questions)):
        for i, text in enumerate(texts):
            name = list(speakers)[i % len(speakers)]
            items.append((kind, text, name, speakers[name](text, rng)))
    for path, text in asterisk(rng, 90):
        items.append(("human", text, "asterisk Allison Smith CC-BY-SA-3.0", load(path)))
    for path, text in tuxpaint(rng, 30):
        items.append(("human-caption", text, "tuxpaint-stamps", load(path)))
    args.out.mkdir(parents=True, exist_ok=True)
    with (args.out / "index.jsonl").open("w") as index:
        for i, (kind, text, source, pcm) in enumerate(items):
            name = f"{kind}-{i:03d}.ogg"
            padded = np.pad(pcm / max(1.0, float(np.abs(pcm).max()) / 0.95), (1600, 3200))
            soundfile.write(args.out / name, padded, SAMPLE_RATE_HZ, format="OGG", subtype="OPUS")
            print(json.dumps({"file": name, "set": kind, "text": text, "source": source}), file=index)
    print(f"{len(items)} clips in {args.out}")


if __name__ == "__main__":
    main()
