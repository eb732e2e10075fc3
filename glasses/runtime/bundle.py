"""Builds the parts of one bundle. The only file that constructs encoders, connectors, the backbone and the voice."""

from __future__ import annotations

import hashlib
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from glasses.backbone.llama import LlamaBackbone
from glasses.backbone.prompt import SYSTEM
from glasses.connectors.pooled import PooledConnector
from glasses.connectors.soft_decoder import SoftDecoder, read_pieces
from glasses.connectors.soft_tokens import SoftTokenConnector, TokenRowSource
from glasses.connectors.speech import SpeechConnector
from glasses.decoders.speech import Voice
from glasses.encoders.audio import AudioEncoder
from glasses.encoders.image import ImageEncoder
from glasses.encoders.sound import SoundEncoder
from glasses.errors import ModelError, Reason
from glasses.events import MemoryIntent
from glasses.heads.addressee import AddresseeHead
from glasses.heads.end_of_turn import EndOfTurnHead
from glasses.heads.linear import Head
from glasses.heads.linear import load as load_head
from glasses.heads.memory_intent import NAMES, MemoryIntentHead
from glasses.heads.wake_word import WakeWordDetector
from glasses.heads.wake_word import load as load_wake
from glasses.model_store import store
from glasses.model_store.onnx import give_back_memory
from glasses.types import Float32Array, Latents

log = logging.getLogger(__name__)

# llama.cpp spins where its threads wait for each other: with a thread a core, any other load makes it crawl.
SPARE_ONE = max(1, (os.cpu_count() or 2) - 1)


@dataclass(frozen=True, slots=True)
class LoadedBundle:
    """Everything between a sensor and a piece of an answer, for one bundle."""

    bundle: store.Bundle
    audio_encoder: AudioEncoder
    sound_encoder: SoundEncoder
    image_encoder: ImageEncoder
    words: SpeechConnector
    ambience: PooledConnector | None
    sound: PooledConnector | SoftTokenConnector
    image: PooledConnector | SoftTokenConnector
    backbone: LlamaBackbone
    n_prefix: int  # rows of the system prompt, to which every turn rolls back

    def hear(self, pcm: Float32Array, t_ns: int = 0) -> tuple[Latents, Latents]:
        """What a Turn carries of one window of sound: latents of what is said, then of what is heard besides.

        Raises InputError as the encoders do.
        """
        return self.audio_encoder.encode(pcm, t_ns), self.sound_encoder.encode(pcm, t_ns)

    def close(self) -> None:
        """Frees the backbone."""
        self.backbone.close()


def open_bundle(
    bundle_name: str = store.DEFAULT_BUNDLE, *, n_threads: int = SPARE_ONE, n_ctx: int = 2048
) -> LoadedBundle:
    """Opens all models of a bundle and brings the backbone to the end of the system prompt.

    Raises ModelError: NOT_FOUND (not pulled), CORRUPT, UNSUPPORTED (a backbone whose chat format is not known).
    """
    bundle = store.load_bundle(bundle_name)
    sha256 = store.load_manifest(bundle.backbone).files[0].sha256
    with ThreadPoolExecutor(1) as beside:  # the backbone belongs to this thread
        audio = beside.submit(AudioEncoder, store.path_of(bundle.audio_encoder), n_threads=n_threads)
        sound = beside.submit(SoundEncoder, store.path_of(bundle.sound_encoder), n_threads=n_threads)
        image = beside.submit(ImageEncoder, store.path_of(bundle.image_encoder), n_threads=n_threads)
        path, template = store.path_of(bundle.backbone), bundle.chat_template
        backbone = LlamaBackbone(path, n_ctx=n_ctx, n_threads=n_threads, sha256=sha256, chat_template=template)
        _feed_prefix(backbone, store.cache_dir() / "states")
        parts = LoadedBundle(
            bundle=bundle,
            words=open_speech_connector(bundle.audio_words, backbone, n_threads),
            ambience=_ambience(bundle.audio_ambience, n_threads),
            sound=open_connector(bundle.sound_connector, backbone, sha256, n_threads),
            image=open_connector(bundle.image_connector, backbone, sha256, n_threads),
            audio_encoder=audio.result(),
            sound_encoder=sound.result(),
            image_encoder=image.result(),
            backbone=backbone,
            n_prefix=backbone.n_past,
        )
    give_back_memory()
    return parts


def open_speech_connector(name: str, backbone: LlamaBackbone, n_threads: int) -> SpeechConnector:
    """The word connector `name`. Raises ModelError: NOT_FOUND, CORRUPT, WRONG_SPACE (of another backbone)."""
    files = store.load_manifest(name).files
    around, begin, step, weights, vocabulary = (store.path_of(name, file.name) for file in files)
    listener = SoftDecoder(begin, step, weights, n_threads=n_threads)
    return SpeechConnector(around, listener, read_pieces(vocabulary), backbone, backbone.sha256[:16])


# A connector of one file was trained for this backbone. One of more says, in this backbone's own rows, what a network
# trained for another found: its first file tells how, the second is the network, a third what was learned for this one.
def open_connector(
    name: str, backbone: TokenRowSource, sha256: str, n_threads: int
) -> PooledConnector | SoftTokenConnector:
    """The picture or sound connector `name`; `sha256` is the backbone's.

    Raises ModelError: NOT_FOUND, CORRUPT, WRONG_SPACE (of another backbone).
    """
    paths = [store.path_of(name, file.name) for file in store.load_manifest(name).files]
    if len(paths) == 1:
        return PooledConnector(paths[0], n_threads=n_threads)
    learned = paths[2] if len(paths) > 2 else None
    return SoftTokenConnector(
        paths[0], paths[1], backbone, learned_path=learned, backbone_sha256=sha256, n_threads=n_threads
    )


def _ambience(name: str | None, n_threads: int) -> PooledConnector | None:
    return None if name is None else PooledConnector(store.path_of(name), n_threads=n_threads)


def open_voice(bundle_name: str = store.DEFAULT_BUNDLE, *, n_threads: int = 2, warm: bool = True) -> Voice:
    """Opens the bundle's voice. Raises ModelError: NOT_INSTALLED (extra `voice`), NOT_FOUND (not pulled), CORRUPT.

    Without `warm` its network is loaded when it is first needed, which takes about a second.
    """
    name = store.load_bundle(bundle_name).voice
    if name is None:
        raise ModelError(Reason.NOT_FOUND, f"the bundle {bundle_name} has no voice: its answers are text only")
    onnx, config = (store.path_of(name, file.name) for file in store.load_manifest(name).files)
    voice = Voice(onnx, config, threads=n_threads, warm=warm)
    give_back_memory()
    return voice


def open_end_of_turn(parts: LoadedBundle) -> EndOfTurnHead | None:
    """The bundle's end-of-turn head, None where it has none. Raises ModelError: NOT_FOUND, CORRUPT, WRONG_SPACE."""
    name = parts.bundle.turn_end
    return None if name is None else EndOfTurnHead(load_head(store.path_of(name)), parts.audio_encoder.space)


def open_addressee(parts: LoadedBundle) -> AddresseeHead | None:
    """The bundle's head for whether something is asked, None where it has none. Raises ModelError as open_turn_end."""
    name = parts.bundle.for_me
    return None if name is None else AddresseeHead(load_head(store.path_of(name)), parts.audio_encoder.space)


def open_memory_intent(parts: LoadedBundle) -> MemoryIntentHead | None:
    """The bundle's heads for what is asked of the memory, None where it has none. Raises ModelError: NOT_FOUND,
    CORRUPT, WRONG_SPACE.
    """
    name = parts.bundle.wishes
    if name is None:
        return None
    heads: dict[MemoryIntent, Head] = {wish: load_head(store.path_of(name, f"{name}-{wish}.npz")) for wish in NAMES}
    return MemoryIntentHead(heads, parts.backbone.sha256[:16])


def wake_word_path() -> Path:
    """Where `glasses teach wake` keeps the phrase."""
    return store.cache_dir() / "taught" / "wake.npz"


def open_wake_word(parts: LoadedBundle) -> WakeWordDetector:
    """The phrase that was taught. Raises ModelError: NOT_FOUND (none was), CORRUPT, WRONG_SPACE."""
    return WakeWordDetector(load_wake(wake_word_path()), parts.audio_encoder.encode, parts.audio_encoder.space)


def _feed_prefix(backbone: LlamaBackbone, folder: Path) -> None:
    """Restores the state after the system prompt, or computes and keeps it; the file is a cache and may be lost."""
    prefix = backbone.prompt_format.prefix(SYSTEM)
    tag = hashlib.sha256(prefix.encode()).hexdigest()[:16]
    path = folder / f"{backbone.sha256[:16]}-{tag}.state"
    try:
        backbone.load_state(path, tag=tag)
    except ModelError as error:
        if error.reason is not Reason.NOT_FOUND:
            log.warning("making the saved state of the system prompt anew: %s", error)
        backbone.feed([backbone.tokenize(prefix)])
        with suppress(OSError):  # save_state says it better
            folder.mkdir(parents=True, exist_ok=True)
        try:
            backbone.save_state(path, tag=tag)
        except ModelError as unsaved:  # a read-only or full disk costs start-up time, nothing else
            log.warning("the state of the system prompt is not kept: %s", unsaved)
