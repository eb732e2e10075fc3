"""Sound as an answer: "meow like a cat" makes the sound. One added token a sound, trained through the Tokenizer API.

    python -m glasses.service.examples.sound_out --json                                  # trains, then measures
    python -m glasses.service.examples.sound_out --samples models/eval/sounds --ask "Bark like a dog." --out bark.wav
    python -m glasses.service.examples.sound_out --bank mine --add duck:quack=duck.wav --ask "Quack!"

The backbone does not change: an added token is a row that is scored beside its logits. With `--add` the wearer's own
recording becomes a new sound, or replaces one; the folder `--bank` keeps it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from glasses.audio.sound_files import read_audio, write_wav
from glasses.errors import InputError, Reason
from glasses.runtime.bundle import SPARE_ONE, open_bundle
from glasses.service.client import AddToken, Example, ListTokens, SyncClient, TokenInfo, WebSocket
from glasses.service.engines.llama import LlamaEngine
from glasses.service.examples import sound_wordings as say
from glasses.service.examples import telling
from glasses.service.server.in_process import InProcess
from glasses.service.server.service import Service
from glasses.system.kernel_socket import kernel_address
from glasses.types import SAMPLE_RATE_HZ, Float32Array

# sound: (verb, noun); the file is FOLDER/<sound>-0.ogg
SOUNDS = {
    "cat": ("meow", "cat"), "dog": ("bark", "dog"), "cow": ("moo", "cow"), "chicken": ("cluck", "chicken"),
    "bell": ("ring", "bell"), "car": ("honk", "car"), "bird": ("chirp", "bird"), "applause": ("clap", "crowd"),
}  # fmt: skip


@dataclass(slots=True)
class Bank:
    """The sounds, as (verb, noun), and their files; `folder` keeps those that the wearer added."""

    sounds: dict[str, tuple[str, str]]
    files: dict[str, Path] = field(default_factory=dict)
    folder: Path | None = None

    @classmethod
    def open(cls, samples: Path | None, folder: Path | None) -> Bank:
        """Opens the bank with SOUNDS and those added before."""
        bank = cls(dict(SOUNDS), {s: samples / f"{s}-0.ogg" for s in SOUNDS} if samples else {}, folder)
        if folder and (folder / "sounds.json").exists():
            added = json.loads((folder / "sounds.json").read_text())
            bank.sounds |= {sound: (verb, noun) for sound, (verb, noun) in added.items()}
            bank.files |= {sound: folder / f"{sound}.sound" for sound in added}
        return bank

    def add(self, sound: str, verb: str, recording: Path) -> None:
        """Adds a sound, or replaces its recording. Raises InputError if `recording` is not a sound file."""
        read_audio(recording)
        self.sounds[sound], self.files[sound] = (verb, sound), recording
        if self.folder:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.files[sound] = Path(shutil.copyfile(recording, self.folder / f"{sound}.sound"))
            kept = {s: self.sounds[s] for s, file in self.files.items() if file.parent == self.folder}
            part = self.folder / "sounds.json.part"
            part.write_text(json.dumps(kept))
            part.replace(self.folder / "sounds.json")


def wordings(templates: Sequence[str], sounds: dict[str, tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """(sound, text) of every template for every sound."""
    for sound, (verb, noun) in sounds.items():
        for template in templates:
            yield sound, template.format(verb=verb, Verb=verb.capitalize(), noun=noun, Noun=noun.capitalize())


def examples(sounds: dict[str, tuple[str, str]]) -> list[Example]:
    """The training examples of the tokens."""
    called = [Example(text, f"<{sound}>") for sound, text in wordings(say.ASKED, sounds)]
    halves = [dict(list(sounds.items())[i::2]) for i in (0, 1)]  # enough to learn that a wording is no request
    other = [Example(text) for i, w in enumerate(say.OTHER) for _, text in wordings([w], halves[i % 2])]
    return [*called, *other, *(Example(text) for text in say.PLAIN)]


def add_and_train(client: SyncClient, sounds: dict[str, tuple[str, str]]) -> float | None:
    """Adds a token a sound where it is missing and trains all; returns the share of training examples answered
    rightly.
    """
    known = {token.name for token in client.tokens(ListTokens(0)).tokens}
    for sound, (verb, noun) in sounds.items():
        if f"<{sound}>" not in known:
            client.tokens(AddToken(0, f"<{sound}>", f"{verb} like a {noun}", decoder="sound"))
    return client.train_tokens(examples(sounds)).accuracy


def called_by(client: SyncClient, tokens: Sequence[TokenInfo], text: str) -> str | None:
    """The added token that answers `text`, or None if the answer is words."""
    session = client.open()
    session.feed(text)
    first = next(session.generate(max_tokens=1))
    session.close()
    return next((token.name for token in tokens if token.id == first.token_id), None)


def play(client: SyncClient, bank: Bank, text: str, out: Path) -> str | None:
    """Asks `text` and writes the sound that is called into `out`; returns its name."""
    name = called_by(client, client.tokens(ListTokens(0)).tokens, text)
    sound = name and name.strip("<>")
    if sound in bank.files:
        write_wav(out, read_audio(bank.files[sound]), SAMPLE_RATE_HZ)
    return sound


def measure(client: SyncClient, sounds: dict[str, tuple[str, str]]) -> dict[str, float]:
    """Counts over wordings that were used neither for training nor for choosing anything."""
    tokens, out = client.tokens(ListTokens(0)).tokens, dict[str, float]()
    sets = {"fresh": (say.ASKED_FRESH, say.OTHER_FRESH, say.PLAIN_FRESH), "last": (say.ASKED_LAST, say.OTHER_LAST, ())}
    for name, (asked, other, plain) in sets.items():
        rows = telling.counted(f"asking, {name}", [*wordings(asked, sounds)])
        right = [called_by(client, tokens, text) == f"<{sound}>" for sound, text in rows]
        others = [*(text for _, text in wordings(other, sounds)), *plain]
        said = telling.counted(f"saying other things, {name}", others)
        false = [called_by(client, tokens, text) is not None for text in said]
        out |= {f"{name}_asked": len(right), f"{name}_right": sum(right)}
        out |= {f"{name}_others": len(others), f"{name}_falsely": sum(false)}
    return out


def states(client: SyncClient, texts: Sequence[str]) -> list[list[Float32Array]]:
    """The last hidden states along the answers, from which the backbone's logits follow."""
    out = []
    for text in texts:
        session = client.open()
        session.feed(text)
        out.append([p.latent for p in session.generate(max_tokens=6, latents=True) if p.latent is not None])
        session.close()
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", help="network address of a service (--ask: running glasses; else in process)")
    parser.add_argument("--no-kernel", action="store_true", help="load the models here, even where glasses run")
    parser.add_argument("--samples", type=Path, help="folder of <sound>-0.ogg")
    parser.add_argument("--bank", type=Path, metavar="FOLDER", help="keep added sounds here")
    parser.add_argument("--add", metavar="SOUND:VERB=FILE", help="this recording becomes a sound: duck:quack=duck.wav")
    parser.add_argument("--ask", metavar="TEXT", help="say this, and write what it sounds like into --out")
    parser.add_argument("--out", type=Path, default=Path("sound.wav"))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    _check(args)
    bank = Bank.open(args.samples, args.bank)
    if args.add:
        sound, _, rest = args.add.partition(":")
        verb, _, recording = rest.partition("=")
        bank.add(sound, verb, Path(recording))
    address = args.address or (kernel_address() if args.ask and not args.no_kernel else None)
    with SyncClient((lambda: WebSocket(address, open_timeout_s=20.0)) if address else _own_service) as client:
        before = [] if args.ask else states(client, say.PLAIN_FRESH[:20])
        with telling.step(f"learning what calls {len(bank.sounds)} sounds", "about a minute"):
            trained = add_and_train(client, bank.sounds)
        if args.ask:
            sound = play(client, bank, args.ask, args.out)
            print(f"{sound}: {args.out}" if sound in bank.files else _unheard(sound, args))
            return
        pairs = zip(before, states(client, say.PLAIN_FRESH[:20]), strict=True)
        same = sum(all(map(np.array_equal, a, b)) and len(a) == len(b) for a, b in pairs)
        figures = {"trained": trained, **measure(client, bank.sounds), "texts_unchanged": f"{same} of {len(before)}"}
        print(json.dumps(figures) if args.json else figures)


def _check(args: argparse.Namespace) -> None:
    """Raises InputError for what would fail after the minute of training."""
    if args.samples and not args.samples.is_dir():
        raise InputError(Reason.NOT_FOUND, f"--samples {args.samples}: no such folder")
    if args.ask and not os.access(args.out.absolute().parent, os.W_OK):
        raise InputError(Reason.NOT_FOUND, f"--out {args.out}: its folder cannot be written")
    if args.add:
        match = re.fullmatch(r"([^:=/]+):([^=]+)=(.+)", args.add)
        if not match:
            raise InputError(Reason.BAD_INPUT, f"--add {args.add}: must look like duck:quack=duck.wav")
        read_audio(Path(match[3]))


def _unheard(sound: str | None, args: argparse.Namespace) -> str:
    if sound is None:
        return "no sound: it would answer in words"
    where = f"{args.samples} has no {sound}-0.ogg" if args.samples else "--samples models/eval/sounds has recordings"
    return f"{sound} was called; nothing was written: {where}"


def _own_service() -> InProcess:
    return InProcess(Service(lambda: LlamaEngine(open_bundle(n_threads=SPARE_ONE)), backend="llama"), owns=True)


if __name__ == "__main__":
    telling.run(main)
