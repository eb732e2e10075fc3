"""Makes the minute that `glasses demo` plays, from held-out material only.

    python -m models.recipes.demo_session glasses/recording/demo [--kokoro DIR]

Without --kokoro the other person's sentence is taken from the audio.ogg that is there already.

The wearer's sentences are said by flite's `rms`, the other person's by Kokoro's `jf_nezumi`: no connector was trained
on these voices. The sound and the photographs come from models/eval; the camera's slow sway is a moving crop of a
photograph. The room is pink noise at -62 dBFS.

Most of it was chosen before an answer was seen. Two turns were chosen afterwards, because their answers differed from
processor to processor: the animal was a giraffe ("A leopard", "A jaguar" and "A giraffe" were said of it), and the
last question was about the legs of a spider ("8", "10" or "1000000000000000"). The answers of today's
turns stay the same when every latent is moved by as much as int8 rounding moves it (a cosine of 0.998).
"""

from __future__ import annotations

import argparse
import json
import random
import tomllib
from pathlib import Path

import cv2
import numpy as np
import soundfile

from glasses.audio.sound_files import read_audio
from glasses.types import SAMPLE_RATE_HZ, Float32Array
from models.recipes import voices

LENGTH_MS = 60_000
FRAME_EVERY_MS = 1000
ROOM_DBFS, WEARER_DBFS, OTHER_DBFS, SOUND_DBFS = -62.0, -20.0, -28.0, -22.0
EVAL = Path("models/eval")
# (from, photograph in models/eval/pictures): what the camera sees until the next
VIEWS = (
    (0, "cup"), (9_500, "windmill1"), (20_500, "pillow"), (44_000, "red-panda"), (54_000, "cup"),
)  # fmt: skip
# (touch, press, words said 400 ms later)
TOUCHES = (
    (2_000, "tap", "What is the capital of France?"),
    (13_000, "tap", "Set a timer for twenty seconds."),
    (18_000, "tap", "Remember that my bike is behind the library."),
    (26_500, "tap", "What is this sound?"),
    (38_000, "tap", ""),  # the timer rings
    (40_000, "tap", "Where did I leave my bike?"),
    (45_500, "long_press", "What animal is this?"),
)
# Words that follow a reply without a touch, by the voice that asked.
FOLLOW_UPS = ((8_200, "And the capital of Spain?"),)
# More than FOLLOW_UP_MS (turn_manager.py) after the reply before: sooner it would be taken for the next question.
OVERHEARD = ((56_000, "Did you remember to buy some milk on the way home?"),)
SOUNDS = ((23_500, "dog-0"), (24_800, "dog-0"))
SPEECH_LICENCE = {
    "flite rms": "voice: CMU ARCTIC, BSD-like; program: BSD-like",
    "kokoro jf_nezumi": "Kokoro-82M, Apache-2.0; phonemes by espeak-ng",
}


def level(pcm: Float32Array, dbfs: float) -> Float32Array:
    """`pcm` brought to an RMS of `dbfs` where it is not silent."""
    loud = pcm[np.abs(pcm) > 0.02 * np.abs(pcm).max()]
    gain = 10 ** (dbfs / 20) / float(np.sqrt((loud**2).mean()))
    return np.clip(pcm * gain, -0.95, 0.95).astype(np.float32)


def room(rng: np.random.Generator) -> Float32Array:
    """Pink noise over the whole session."""
    n = LENGTH_MS * SAMPLE_RATE_HZ // 1000
    spectrum = np.fft.rfft(rng.standard_normal(n))
    pcm = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 20.0)), n)
    return (pcm / pcm.std() * 10 ** (ROOM_DBFS / 20)).astype(np.float32)


def put(track: Float32Array, t_ms: int, pcm: Float32Array) -> int:
    """Adds `pcm` at `t_ms`; returns where it ends, in ms."""
    first = t_ms * SAMPLE_RATE_HZ // 1000
    track[first : first + len(pcm)] += pcm
    return t_ms + len(pcm) * 1000 // SAMPLE_RATE_HZ


def frames(out: Path) -> list[tuple[int, str, str]]:
    """Writes one JPEG a second: a crop of 94% that sways by up to 3% about the middle."""
    written = []
    (out / "frames").mkdir(parents=True, exist_ok=True)
    for number, t_ms in enumerate(range(500, LENGTH_MS, FRAME_EVERY_MS)):
        name = next(name for from_ms, name in reversed(VIEWS) if t_ms >= from_ms)
        picture = cv2.imread(str(EVAL / "pictures" / f"{name}.jpg"))
        if picture is None:
            raise SystemExit(f"no picture {name}.jpg in {EVAL}/pictures")
        height, width = picture.shape[:2]
        x = round(width * 0.03 * (1 + np.sin(t_ms / 1700)))
        y = round(height * 0.03 * (1 + np.sin(t_ms / 2300)))
        crop = picture[y : y + round(0.94 * height), x : x + round(0.94 * width)]
        file = f"frames/{number:03d}.jpg"
        cv2.imwrite(str(out / file), crop, [cv2.IMWRITE_JPEG_QUALITY, 75])
        written.append((t_ms, file, name))
    return written


def sources() -> dict[tuple[str, str], dict[str, str]]:
    """(kind, name) -> the index line of each eval clip and picture."""
    found = {}
    for kind in ("pictures", "sounds"):
        for line in (EVAL / kind / "index.jsonl").read_text().splitlines():
            entry = json.loads(line)
            found[kind, Path(entry["file"]).stem] = entry
    return found


def overheard_by_kokoro(folder: Path) -> list[Float32Array]:
    """The sentences of OVERHEARD, spoken."""
    files = [folder / name for name in ("kokoro.onnx", "voices_ja.npz", "vocab.json")]
    other = voices.Kokoro(*files, names=("jf_nezumi",))
    return [level(other(words, random.Random(2)), OTHER_DBFS) for _, words in OVERHEARD]


def overheard_again(folder: Path) -> list[Float32Array]:
    """The sentences of OVERHEARD out of the session in `folder`, the room's noise included."""
    track, session = read_audio(folder / "audio.ogg"), tomllib.loads((folder / "session.toml").read_text())
    spans = {one["text"]: (one["t_ms"], one["end_ms"]) for one in session["said"]}
    per_ms = SAMPLE_RATE_HZ // 1000
    return [track[spans[words][0] * per_ms : spans[words][1] * per_ms] for _, words in OVERHEARD]


def main() -> None:
    """Writes session.toml, audio.ogg and frames/."""
    parser = argparse.ArgumentParser(description="Make the demo session.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--kokoro", type=Path, metavar="DIR", help="with the voice of the other person")
    args = parser.parse_args()
    rng = random.Random(2)
    overheard = overheard_again(args.out) if args.kokoro is None else overheard_by_kokoro(args.kokoro)
    track = room(np.random.default_rng(2))
    args.out.mkdir(parents=True, exist_ok=True)
    said = []
    for t_ms, _, words in TOUCHES:
        if words:
            pcm = level(voices.flite(words, rng, ("rms",)), WEARER_DBFS)
            said.append((t_ms + 400, put(track, t_ms + 400, pcm), words, True))
    for t_ms, words in FOLLOW_UPS:
        said.append((t_ms, put(track, t_ms, level(voices.flite(words, rng, ("rms",)), WEARER_DBFS)), words, True))
    for (t_ms, words), pcm in zip(OVERHEARD, overheard, strict=True):
        said.append((t_ms, put(track, t_ms, pcm), words, False))
    heard = []
    for t_ms, name in SOUNDS:
        pcm = level(read_audio(EVAL / "sounds" / f"{name}.ogg"), SOUND_DBFS)
        heard.append((t_ms, put(track, t_ms, pcm), name))
    soundfile.write(args.out / "audio.ogg", np.clip(track, -1, 1), SAMPLE_RATE_HZ, format="OGG", subtype="OPUS")
    text = toml(sorted(said), heard, frames(args.out))
    (args.out / "session.toml").write_text(text)
    print(f"{args.out}: {len(said)} sentences, {sum(f.stat().st_size for f in args.out.rglob('*.*')) / 1e3:.0f} kB")


def toml(
    said: list[tuple[int, int, str, bool]], heard: list[tuple[int, int, str]], pictures: list[tuple[int, str, str]]
) -> str:
    """The session file. JSON strings are TOML strings."""
    lines = [
        "# Made by: python -m models.recipes.demo_session. Times are ms from the first sample of audio.ogg.",
        "# `said` and `heard` are for the contact sheet and the tests; no model sees them.",
        f'title = "A minute with the glasses"\naudio = "audio.ogg"\nlength_ms = {LENGTH_MS}',
    ]
    lines += [f'\n[[touches]]\nt_ms = {t_ms}\npress = "{press}"' for t_ms, press, _ in TOUCHES]
    for t_ms, end_ms, words, addressed in said:
        lines.append(f"\n[[said]]\nt_ms = {t_ms}\nend_ms = {end_ms}\ntext = {json.dumps(words)}")
        lines.append(f"addressed = {str(addressed).lower()}")
    lines += [f'\n[[heard]]\nt_ms = {t_ms}\nend_ms = {end_ms}\nwhat = "{name}"' for t_ms, end_ms, name in heard]
    lines += [f'\n[[frames]]\nt_ms = {t_ms}\nfile = "{file}"' for t_ms, file, _ in pictures]
    known = sources()
    used = sorted({("pictures", name) for _, _, name in pictures} | {("sounds", name) for _, _, name in heard})
    for kind, name in used:
        entry = known[kind, name]
        lines.append(f"\n[[sources]]\nwhat = {json.dumps(f'{kind}/{name}')}\nfrom = {json.dumps(entry['source'])}")
        if "author" in entry:
            lines.append(f"author = {json.dumps(entry['author'], ensure_ascii=False)}")
        lines.append(f"licence = {json.dumps(entry['licence'])}")
    for voice, licence in SPEECH_LICENCE.items():
        lines.append(f'\n[[sources]]\nwhat = "speech"\nfrom = "{voice}"\nlicence = "{licence}"')
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
