"""Says the wordings that choose a tool, and keeps how they are heard: soft sub-words, in shards.

    python -m models.recipes.tool_choice_speech heard

What is heard does not depend on the backbone, so the shards serve every bundle; `rows` makes a bundle's rows of them.
What was said once is not said again, so the command resumes, and may be ended at any time: the wordings of dev.txt come
first, and then, again and again, some of all tools. The voices are the bundle's, and those of Debian's espeak-ng
and flite that models.recipes.voices does not hold out.
"""

from __future__ import annotations

import argparse
import random
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from glasses.connectors.soft_decoder import SoftSubword, read_subwords
from glasses.connectors.speech import SubwordMixture
from glasses.evaluation.degrade import with_noise
from glasses.model_store import store
from glasses.runtime.bundle import LoadedBundle, open_bundle, open_voice
from glasses.types import SAMPLE_RATE_HZ, Float32Array
from glasses.wake_word_training.voices import ESPEAK_HELD_OUT, ESPEAK_VARIANTS, Say, of_bundle
from models.recipes import augment, voices
from models.recipes.tool_choice_wordings import NONE, Wording, development, wordings

PER_SHARD = 100
N_CANDIDATES = 8
MAX_S = 9.0
HEARD_BY = "pocket"  # all bundles hear alike; this one has ambience, too
_A_STRETCH = {NONE: 400, "unable": 110}  # wordings of a kind before the next ones come
_OF_A_TOOL = 24


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """A wording as it was heard; `decoded` is empty where no words were. `ambience` (n, n_embd of HEARD_BY)."""

    wording: Wording
    decoded: list[SoftSubword]
    ambience: Float32Array

    def rows(self, mixture: SubwordMixture, *, with_ambience: bool) -> Float32Array:
        """The rows (n, n_embd) that a backbone with this mixture is given."""
        spoken = mixture.rows(self.decoded)
        return np.concatenate([self.ambience, spoken]) if with_ambience else spoken


def subwords() -> list[str]:
    """The texts of the sub-words that are heard."""
    manifest = store.load_manifest(store.load_bundle(HEARD_BY).connectors["audio"])
    return read_subwords(store.paths_of(manifest)["subwords"])


def drawn() -> Iterator[Wording]:
    """The wordings of training in a fixed order, every stretch of it with wordings of each tool."""
    of_tool: dict[str, list[Wording]] = defaultdict(list)
    for one in wordings(10**6, seed=3):
        of_tool[one.tool].append(one)
    rng = random.Random(3)
    while any(of_tool.values()):
        stretch: list[Wording] = []
        for tool, left in of_tool.items():
            n = _A_STRETCH.get(tool, _OF_A_TOOL)
            stretch += left[:n]
            del left[:n]
        rng.shuffle(stretch)
        yield from stretch


def said(words: str, rng: random.Random, neural: Say, *, is_dev: bool) -> Float32Array:
    """A wording in a random voice, as a microphone hears it: every other one in noise, a few in a room."""
    draw = rng.random()
    if draw < 0.12:
        pcm = neural(words, rng)
    elif draw < 0.75:
        pcm = voices.flite(words, rng)
    else:
        rest = [one for one in ESPEAK_VARIANTS if one not in ESPEAK_HELD_OUT]
        pcm = voices.espeak(words, rng, ESPEAK_HELD_OUT if is_dev else rest)
    if not is_dev:
        pcm = augment.change_speed(pcm, rng.uniform(0.9, 1.1))
    pcm = np.pad(pcm, (round(rng.uniform(0.1, 0.3) * SAMPLE_RATE_HZ), 3200)).astype(np.float32)
    if not is_dev and rng.random() < 0.15:
        pcm = augment.room(pcm, np.random.default_rng(rng.getrandbits(32)))
    if rng.random() < 0.5:
        pcm = with_noise(pcm, 10.0 if is_dev else rng.uniform(6, 20), rng.getrandbits(32))
    return pcm


def hear(loaded: LoadedBundle, wording: Wording, neural: Say, *, is_dev: bool) -> Heard | None:
    """A wording as the bundle hears it; None where it takes too long to say."""
    rng = random.Random(zlib.crc32(wording.words.encode()))
    pcm = said(wording.words, rng, neural, is_dev=is_dev)
    if len(pcm) > MAX_S * SAMPLE_RATE_HZ:
        return None
    latents = loaded.audio_encoder.encode(pcm, 0)
    beside = loaded.ambience.apply_beside_words(latents) if loaded.ambience else np.zeros((0, 0), np.float32)
    return Heard(wording, loaded.speech_connector.decode(latents), beside)


def write_shard(path: Path, heard: Sequence[Heard]) -> None:
    """Writes what `read_shards` reads; nothing half-written stays."""
    all_ = [one for each in heard for one in each.decoded]
    subwords = np.zeros((len(all_), N_CANDIDATES), np.uint16)
    probabilities = np.zeros((len(all_), N_CANDIDATES), np.float16)
    for i, one in enumerate(all_):
        subwords[i, : len(one.subwords)], probabilities[i, : len(one.subwords)] = one.subwords, one.probabilities
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez_compressed(
            file, subwords=subwords, probabilities=probabilities, lengths=[len(one.decoded) for one in heard],
            ambience=np.stack([one.ambience for one in heard]).astype(np.float16),
            words=[one.wording.words for one in heard], tools=[one.wording.tool for one in heard],
        )  # fmt: skip
    part.replace(path)


def read_shards(folder: Path) -> Iterator[Heard]:
    """What was heard; the source of a wording is "dev" for those of dev.txt, else "train"."""
    for path in sorted(folder.glob("*-*.npz")):
        with np.load(path, allow_pickle=False) as file:
            parts = {name: file[name] for name in file.files}
        pairs = zip(parts["subwords"].astype(np.int64), parts["probabilities"].astype(np.float32), strict=True)
        decoded = (SoftSubword(ids[p > 0], p[p > 0]) for ids, p in pairs)
        rest = (parts[name] for name in ("words", "tools", "lengths", "ambience"))
        for words, tool, length, ambience in zip(*rest, strict=True):
            wording = Wording(str(words), str(tool), -1, path.name.partition("-")[0])
            yield Heard(wording, list(islice(decoded, int(length))), ambience.astype(np.float32))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--most", type=int, default=9000, help="training wordings")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    loaded = open_bundle(HEARD_BY, n_threads=1)
    neural = of_bundle(open_voice(HEARD_BY, n_threads=1))
    done = {(one.wording.source, one.wording.words) for one in read_shards(args.out)}
    for kind, texts in (("dev", development()), ("train", list(islice(drawn(), args.most)))):
        left = [one for one in texts if (kind, one.words) not in done]
        n_shards = len(list(args.out.glob(f"{kind}-*.npz")))
        for i in range(0, len(left), PER_SHARD):
            heard = [hear(loaded, one, neural, is_dev=kind == "dev") for one in left[i : i + PER_SHARD]]
            path = args.out / f"{kind}-{n_shards + i // PER_SHARD:03d}.npz"
            write_shard(path, [one for one in heard if one])
            print(f"{path.name}: {i} of {len(left)} {kind} wordings that were left", flush=True)
    loaded.close()


if __name__ == "__main__":
    main()
