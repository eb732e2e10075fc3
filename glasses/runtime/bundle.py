"""Opens the models of a bundle: encoders, connectors, backbone, classifier heads, voice."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from glasses.backbone.llama import LlamaBackbone
from glasses.backbone.prompt import SYSTEM
from glasses.connectors.pooled import PooledConnector
from glasses.connectors.soft_decoder import SoftDecoder, read_subwords
from glasses.connectors.soft_tokens import SoftTokenConnector
from glasses.connectors.speech import SpeechConnector
from glasses.connectors.text import TextConnector
from glasses.connectors.things import ThingsConnector
from glasses.connectors.token_mixture import TokenRowSource
from glasses.decoders.speech import Voice
from glasses.encoders.audio import AudioEncoder
from glasses.encoders.image import ImageEncoder
from glasses.encoders.sound import SoundEncoder
from glasses.encoders.text import TextEncoder
from glasses.errors import ModelError, Reason
from glasses.memory.latent_memory import LatentMemory
from glasses.memory.writer import MemoryWriter
from glasses.model_store import store
from glasses.model_store.onnx import give_back_memory
from glasses.runtime.bundle_choice import chosen_bundle
from glasses.runtime.modalities import MODALITIES, Encoder, memory_policies
from glasses.runtime.system_states import feed_system
from glasses.types import Float32Array, Latents, Modality, UInt8Array

log = logging.getLogger(__name__)

# llama.cpp spins where its threads wait for each other: with a thread a core, any other load makes it crawl.
SPARE_ONE = max(1, (os.cpu_count() or 2) - 1)


class Connector(Protocol):
    """What all connectors have in common: they turn latents of one space into rows of one backbone."""

    width: int
    space: str

    def apply(self, latents: Latents, companion: Latents | None = None) -> Float32Array:
        """Rows float32 (n, n_embd), n may be 0. `companion`: another encoder's latents of the same window.

        Raises ModelError(WRONG_SPACE).
        """
        ...


@dataclass(frozen=True, slots=True)
class LoadedEncoders:
    """The encoders of one bundle, or those that are needed: what sensors give as latents."""

    bundle: store.Bundle
    encoders: Mapping[Modality, Encoder]

    @property
    def audio_encoder(self) -> AudioEncoder:
        """The encoder of speech."""
        return cast(AudioEncoder, self.encoders["audio"])

    @property
    def sound_encoder(self) -> SoundEncoder:
        """The encoder of sounds other than speech."""
        return cast(SoundEncoder, self.encoders["sound"])

    @property
    def image_encoder(self) -> ImageEncoder:
        """The encoder of pictures."""
        return cast(ImageEncoder, self.encoders["image"])

    @property
    def text_encoder(self) -> TextEncoder | None:
        """The encoder of text in view; None: the bundle has none."""
        return cast("TextEncoder | None", self.encoders.get("text"))

    @property
    def picture_encoders(self) -> dict[Modality, Encoder]:
        """The encoders of pictures, in the order in which their latents stand in a turn.

        What stands last is nearest to the question and weighs most.
        """
        of_pictures = (name for name, one in MODALITIES.items() if one.encodes_pictures)
        return {name: self.encoders[name] for name in of_pictures if name in self.encoders}

    def encode_audio(self, pcm: Float32Array, t_ns: int = 0) -> tuple[Latents, ...]:
        """All latents of one window of float32 sound (N,) at 16 kHz: of the speech in it, then of the other sounds.

        Raises InputError as the encoders do.
        """
        of_sound = [name for name, one in MODALITIES.items() if one.encodes_sound and name in self.encoders]
        return tuple(self.encoders[name].encode(pcm, t_ns) for name in of_sound)

    def encode_picture(self, rgb: UInt8Array, t_ns: int = 0) -> tuple[Latents, ...]:
        """All latents of one picture uint8 (H, W, 3): of things with a place, of the view, and of the text there.

        Those of which there is nothing are left out.

        Raises InputError as the encoders do, ModelError where one is opened now and cannot be.
        """
        encoded = (one.encode(rgb, t_ns) for one in self.picture_encoders.values())
        return tuple(latents for latents in encoded if len(latents.data))


@dataclass(frozen=True, slots=True)
class LoadedBundle(LoadedEncoders):
    """The models of one bundle that turn sensor data into rows, and the backbone that reads them.

    `ambience` is the acoustic context of speech: rows that tell who speaks, how and where. `n_prefix` is the number of
    rows of the system prompt, to which the backbone is rolled back before every turn.
    """

    connectors: Mapping[Modality, Connector]
    ambience: PooledConnector | None
    backbone: LlamaBackbone
    n_prefix: int

    @property
    def speech_connector(self) -> SpeechConnector:
        """The connector of speech."""
        return cast(SpeechConnector, self.connectors["audio"])

    @property
    def text_connector(self) -> TextConnector | None:
        """The connector of text in view; None: the bundle has none."""
        return cast("TextConnector | None", self.connectors.get("text"))

    @property
    def things_connector(self) -> ThingsConnector | None:
        """The connector of things with a place; None: the bundle has none."""
        return cast("ThingsConnector | None", self.connectors.get("things"))

    def widths(self) -> dict[str, int]:
        """Every latent space that the connectors accept, with the width of its latents."""
        connectors = [*self.connectors.values(), *([self.ambience] if self.ambience else [])]
        return {one.space: one.width for one in connectors}

    def close(self) -> None:
        """Frees the backbone."""
        self.backbone.close()


def open_encoders(bundle_name: str, *, sounds: bool, pictures: bool) -> LoadedEncoders:
    """Opens the encoders of sounds, of pictures, or none. Raises ModelError: NOT_FOUND, CORRUPT."""
    bundle = store.load_bundle(bundle_name)
    wanted = {
        name
        for name, one in MODALITIES.items()
        if (one.encodes_sound and sounds) or (one.encodes_pictures and pictures)
    }
    opened = {name: _open_encoder(name, model, SPARE_ONE) for name, model in bundle.encoders.items() if name in wanted}
    return LoadedEncoders(bundle, opened)


def open_bundle(
    bundle_name: str = store.AUTO_BUNDLE, *, n_threads: int = SPARE_ONE, n_ctx: int = 2048, system: str = SYSTEM
) -> LoadedBundle:
    """Opens all models of a bundle and brings the backbone to the end of the system prompt `system`.

    "auto" is the bundle that fits this machine, of those that are pulled (`bundle_choice.chosen_bundle`).
    Raises ModelError: NOT_FOUND (not pulled), CORRUPT, UNSUPPORTED (a backbone whose chat format is not known),
    BAD_INPUT (a modality that there is no entry of), WRONG_SPACE (a connector of another encoder).
    """
    bundle_name = chosen_bundle(bundle_name)
    bundle = store.load_bundle(bundle_name)
    if unknown := [name for name in bundle.encoders if name not in MODALITIES]:
        where, known = f"models/bundles/{bundle_name}.toml: {unknown[0]}_encoder", ", ".join(MODALITIES)
        raise ModelError(Reason.BAD_INPUT, f"{where}: no modality {unknown[0]!r}; known: {known}")
    sha256 = store.load_manifest(bundle.backbone).files[0].sha256
    with ThreadPoolExecutor(1) as opening:  # the backbone belongs to this thread
        encoders = {
            name: opening.submit(_open_encoder, name, model, n_threads) for name, model in bundle.encoders.items()
        }
        path, template = store.path_of(bundle.backbone), bundle.chat_template
        backbone = LlamaBackbone(path, n_ctx=n_ctx, n_threads=n_threads, sha256=sha256, chat_template=template)
        feed_system(backbone, system, store.cache_dir() / "states")
        loaded = LoadedBundle(
            bundle=bundle,
            connectors={
                name: open_connector(model, backbone, sha256, n_threads) for name, model in bundle.connectors.items()
            },
            ambience=_open_ambience(bundle.audio_ambience, sha256, n_threads),
            encoders={name: encoder.result() for name, encoder in encoders.items()},
            backbone=backbone,
            n_prefix=backbone.n_past,
        )
    give_back_memory()
    try:
        _check_spaces(loaded)
    except ModelError:
        loaded.close()
        raise
    return loaded


def _open_encoder(modality: Modality, model: str, n_threads: int) -> Encoder:
    entry, paths = MODALITIES[modality], store.paths_of(store.load_manifest(model))
    return entry.open_encoder(*(paths[role] for role in entry.encoder_files), n_threads=n_threads)


def _check_spaces(loaded: LoadedBundle) -> None:
    """Raises ModelError(WRONG_SPACE) where a connector was trained for another encoder than the bundle's."""
    for name, encoder in loaded.encoders.items():
        if (reads := loaded.connectors[name].space) != encoder.space:
            raise ModelError(
                Reason.WRONG_SPACE,
                f"models/bundles/{loaded.bundle.name}.toml: {name}_connector reads latents of {reads}, "
                f"but {name}_encoder makes those of {encoder.space}: train a connector for this encoder",
            )


def open_connector(name: str, backbone: TokenRowSource, sha256: str, n_threads: int) -> Connector:
    """The connector with the manifest `name`; `sha256` is that of the backbone's file.

    Raises ModelError: NOT_FOUND, CORRUPT, WRONG_SPACE (an adapter trained for another backbone).
    """
    manifest = store.load_manifest(name)
    paths = store.paths_of(manifest)
    if manifest.kind == "speech":
        decoder = SoftDecoder(
            paths["decoder-begin"], paths["decoder-step"], paths["decoder-weights"], n_threads=n_threads
        )
        subwords = read_subwords(paths["subwords"])
        return SpeechConnector(paths.get("task-prefix"), decoder, subwords, backbone, sha256[:16])
    if manifest.kind == "soft-tokens":
        return SoftTokenConnector(
            paths["wording"],
            paths["network"],
            backbone,
            adapter_path=paths.get("adapter"),
            backbone_sha256=sha256,
            n_threads=n_threads,
        )
    if manifest.kind == "letters":
        return TextConnector(paths["wording"], backbone)
    if manifest.kind == "things":
        return ThingsConnector(paths["wording"], backbone)
    if manifest.kind == "pooled":
        return _open_pooled(paths["network"], sha256, n_threads)
    raise ModelError(Reason.BAD_INPUT, f"models/manifests/{name}.toml: role {manifest.role!r} is no connector's")


def _open_ambience(name: str | None, sha256: str, n_threads: int) -> PooledConnector | None:
    return None if name is None else _open_pooled(store.path_of(name), sha256, n_threads)


def _open_pooled(path: Path, sha256: str, n_threads: int) -> PooledConnector:
    """A connector whose rows are learned for one backbone; of another file it may still be the same, quantized anew."""
    connector = PooledConnector(path, n_threads=n_threads)
    if connector.backbone_sha256 not in ("", sha256):
        log.warning("%s: trained for another backbone than this bundle's: its rows may mean nothing here", path.name)
    return connector


def open_voice(
    bundle_name: str = store.AUTO_BUNDLE, *, name: str | None = None, n_threads: int = 2, warm: bool = True
) -> Voice:
    """Opens the voice of the manifest `name`, by default the bundle's.

    Raises ModelError: NOT_INSTALLED (extra `voice`), NOT_FOUND (not pulled), CORRUPT.

    Without `warm` its network is loaded when it is first needed, which takes about a second.
    """
    bundle_name = chosen_bundle(bundle_name)
    name = name or store.load_bundle(bundle_name).voice
    if name is None:
        raise ModelError(Reason.NOT_FOUND, f"the bundle {bundle_name} has no voice")
    paths = store.paths_of(store.load_manifest(name))
    voice = Voice(paths["network"], paths["config"], threads=n_threads, warm=warm)
    give_back_memory()
    return voice


def open_memory(loaded: LoadedBundle, memory: LatentMemory | None = None) -> MemoryWriter:
    """Starts recording what the sensors give into a latent memory, by the modalities' memory policies."""

    def encoder_of(records: str) -> Encoder:
        return next(loaded.encoders[name] for name, policy in memory_policies().items() if policy.records == records)

    memory = memory or LatentMemory(memory_policies())
    return MemoryWriter(encoder_of("sounds").encode, encoder_of("views").encode, memory)
