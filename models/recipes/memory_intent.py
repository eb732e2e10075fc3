"""Trains the memory-intent heads, which tell "what was that sound?" or "forget everything" from any other question.

Sentences are spoken by synthetic voices and go through the bundle's own encoder and speech connector. The heads read
the rows that the backbone would read: no word is ever chosen. Debian: espeak-ng, flite.

    python -m models.recipes.memory_intent --questions questions.jsonl --bundle desk large --out models/artifacts

`questions.jsonl` holds other questions to an assistant, without memory intent, as {"text", "answer"} lines, as
models.recipes.speech_answers makes them; the answer may be absent. Several bundles hear each sentence once.
"""

from __future__ import annotations

import argparse
import json
import random
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from glasses.audio.sound_files import read_audio
from glasses.connectors.speech import SpeechConnector
from glasses.connectors.token_mixture import TokenRowSource
from glasses.encoders.audio import AudioEncoder
from glasses.events import MemoryIntent
from glasses.heads.linear import Head, fit
from glasses.heads.memory_intent import NAMES, MemoryIntentHead, features
from glasses.model_store import store
from glasses.runtime.bundle import open_bundle
from glasses.types import SAMPLE_RATE_HZ, Float32Array
from models.recipes import augment, voices

PHRASES = Path(__file__).with_suffix(".toml")
# Share of other speech that may be taken for an intent; it sets the threshold. A needless recall costs little.
FALSE: dict[MemoryIntent, float] = {"sound": 0.005, "picture": 0.005, "wipe": 0.002}
L2 = 0.01
Features = dict[str, Float32Array]  # by bundle


def spoken(text: str, rng: random.Random, noise_rng: np.random.Generator, *, held_out: bool) -> Float32Array:
    """One sentence as a microphone hears it: room, noise and level vary."""
    if held_out:
        pcm = voices.flite(text, rng, ("rms",))
    else:
        pcm = (voices.espeak if rng.random() < 0.4 else voices.flite)(text, rng)
    pcm = np.pad(
        augment.change_speed(pcm, rng.uniform(0.92, 1.08)), (int(rng.uniform(0.1, 0.3) * SAMPLE_RATE_HZ), 1500)
    )
    if rng.random() < 0.3:
        pcm = augment.room(pcm, noise_rng)[: len(pcm)]
    pcm = augment.add_at_snr(pcm, augment.noise(len(pcm), noise_rng), rng.uniform(12, 40))
    return (pcm * rng.uniform(0.2, 0.9) / max(1e-4, float(np.abs(pcm).max()))).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Listener:
    """Hears a sentence once for all bundles: encoder and speech decoder are the same, the rows are each backbone's."""

    encoder: AudioEncoder
    connectors: Mapping[str, SpeechConnector]
    backbones: Mapping[str, TokenRowSource]

    def heard(self, pcm: Float32Array) -> Features | None:
        """Features of the spoken words; None where the speech connector found none."""
        first = next(iter(self.connectors.values()))
        decoded = first.decode(self.encoder.encode(pcm))
        if not decoded:
            return None
        return {name: features(connector.rows(decoded)) for name, connector in self.connectors.items()}

    def typed(self, text: str) -> Features:
        """Features of a typed text's token rows. Rows of clearly spoken words are close to them."""
        return {
            name: features(np.asarray(backbone.token_rows(backbone.tokenize(" " + text, special=False))))
            for name, backbone in self.backbones.items()
        }


def examples(listener: Listener, which: str, others: list[str], times: int) -> Iterator[tuple[str, Features]]:
    """(intent, features) of every phrase of `which`, spoken `times` over, and of as many `others` ("" is no intent)."""
    phrases = tomllib.loads(PHRASES.read_text())
    rng, noise_rng = random.Random(which), np.random.default_rng(len(which))
    said = [(name if name in NAMES else "", text) for name in phrases for text in phrases[name][which]] * times
    said += [("", rng.choice(others)) for _ in said]
    for i, (wish, text) in enumerate(said):
        found = listener.heard(spoken(text, rng, noise_rng, held_out=which == "held_out"))
        if found is not None:
            yield wish, found
        if i % 50 == 49:
            print(f"{which}: {i + 1} of {len(said)}", flush=True)


def fit_head(name: MemoryIntent, pairs: list[tuple[str, Float32Array]], others: list[Float32Array], space: str) -> Head:
    """Fitted on `pairs` and half of `others`; the other half and the pairs without an intent set the threshold."""
    x = np.stack([found for _, found in pairs] + others[::2])
    head = fit(x, np.array([wish == name for wish, _ in pairs] + [False] * len(others[::2])), space, l2=L2)
    negatives = [found for wish, found in pairs if not wish] + others[1::2]
    scores = np.sort((np.stack(negatives) - head.mean) / head.scale @ head.weights + head.bias)
    return replace(head, bias=head.bias - max(0.0, float(scores[int((1 - FALSE[name]) * len(scores))])))


def read_set(listener: Listener, folder: Path) -> dict[str, list[Features]]:
    """Features of all held-out speech by set; none of it has a memory intent."""
    out: dict[str, list[Features]] = {}
    for item in map(json.loads, (folder / "index.jsonl").read_text().splitlines()):
        found = listener.heard(read_audio(folder / item["file"]))
        if found is not None:
            out.setdefault(item["set"], []).append(found)
    return out


def measure(
    heads: dict[MemoryIntent, Head], pairs: list[tuple[str, Float32Array]], sets: dict[str, list[Float32Array]]
) -> dict[str, str]:
    """Hits by wish on held-out wordings in a held-out voice, and false positives."""

    def wish(found: Float32Array) -> str:
        return MemoryIntentHead(heads, next(iter(heads.values())).space).of(found[None])

    results = [(meant, wish(found)) for meant, found in pairs]
    out = {}
    for name in NAMES:
        mine = [what for meant, what in results if meant == name]
        wrong = sum(what == name for meant, what in results if meant != name)
        out[name] = (
            f"{sum(what == name for what in mine)} of {len(mine)}, falsely {wrong} of {len(results) - len(mine)}"
        )
    for name, others in sets.items():
        falsely = {which: sum(wish(one) == which for one in others) for which in NAMES}
        out[f"falsely, {name}"] = f"{falsely} of {len(others)}"
    return out


def open_listener(bundles: list[str], stack: ExitStack) -> Listener:
    """Opens the bundles; they must have one audio encoder. The stack closes them."""
    loaded = {name: open_bundle(name, n_threads=1) for name in bundles}
    for one in loaded.values():
        stack.callback(one.close)
    first = loaded[bundles[0]]
    for one in loaded.values():
        if one.audio_encoder.space != first.audio_encoder.space:
            raise SystemExit(f"{one.bundle.name}: another audio encoder than {first.bundle.name}'s")
    return Listener(
        first.audio_encoder,
        {name: one.speech_connector for name, one in loaded.items()},
        {name: one.backbone for name, one in loaded.items()},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=Path, required=True)
    parser.add_argument("--bundle", nargs="+", default=["pocket"], help="for whose backbones (default: pocket)")
    parser.add_argument("--times", type=int, default=3, help="how often each phrase is spoken; 0: typed text alone")
    parser.add_argument("--eval", type=Path, default=Path("models/eval/speech"))
    parser.add_argument("--out", type=Path, required=True, help="folder of the heads, wishes-BUNDLE-NAME.npz")
    args = parser.parse_args()
    table = [json.loads(line) for line in args.questions.read_text().splitlines() if line.strip()]
    texts = [row["text"] for row in table]
    phrases = tomllib.loads(PHRASES.read_text())
    with ExitStack() as stack:
        listener = open_listener(args.bundle, stack)
        pairs = list(examples(listener, "train", [text for i, text in enumerate(texts) if i % 8], args.times))
        pairs += [(n if n in NAMES else "", listener.typed(text)) for n in phrases for text in phrases[n]["train"]]
        rest = [row[key] for i, row in enumerate(table) if i % 8 for key in ("text", "answer") if row.get(key)]
        others = [listener.typed(text) for text in rest]
        held = list(examples(listener, "held_out", texts[::8], 2))
        sets = read_set(listener, args.eval)
    for bundle in args.bundle:
        heads = _fit(bundle, pairs, others, args.out)
        mine = [(wish, found[bundle]) for wish, found in held]
        told = measure(heads, mine, {name: [one[bundle] for one in all_] for name, all_ in sets.items()})
        print(bundle, json.dumps(told, indent=1))


def _fit(bundle: str, pairs: list[tuple[str, Features]], others: list[Features], out: Path) -> dict[MemoryIntent, Head]:
    space = store.load_manifest(store.load_bundle(bundle).backbone).files[0].sha256[:16]
    x, negatives = [(wish, found[bundle]) for wish, found in pairs], [found[bundle] for found in others]
    heads: dict[MemoryIntent, Head] = {name: fit_head(name, x, negatives, space) for name in NAMES}
    for name, head in heads.items():
        head.save(out / f"wishes-{bundle}-{name}.npz")
    return heads


if __name__ == "__main__":
    main()
