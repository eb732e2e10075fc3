"""Bytes of the same moment on the wire: latents as the service takes them, against Opus and JPEG.

The input is the shipped session: every addressed sentence, and the picture nearest to its end. Opus is at the
24 kbit/s at which speech is clean, JPEG at quality 85, both by the libraries the runtime has anyway.
"""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
import soundfile

from glasses.encoders.audio import AudioEncoder
from glasses.encoders.image import ImageEncoder
from glasses.evaluation.progress import Tick
from glasses.media.pictures import read_image
from glasses.model_store import store
from glasses.recording.demo_session import SHIPPED, Said, Session, load_session
from glasses.service.protocol import messages, wire
from glasses.types import NS_PER_MS, SAMPLE_RATE_HZ, Float32Array, Latents, UInt8Array

AROUND_MS = 200  # of sound before and after the words, as the gate keeps it
OPUS_KBIT_S, JPEG_QUALITY = 24, 85
ENCODER_PX = 224


def run(bundle_name: str, *, tick: Tick = lambda stage, done, total: None) -> dict[str, Any]:
    """Mean bytes of a spoken turn and of a picture, each way. Raises ModelError where the bundle was not pulled."""
    bundle, session = store.load_bundle(bundle_name), load_session(SHIPPED)
    audio = AudioEncoder(store.path_of(bundle.encoders["audio"]), n_threads=1)
    image = ImageEncoder(store.path_of(bundle.encoders["image"]), n_threads=1)
    said = [s for s in session.said if s.addressed]
    sounds = [_sound(session, s) for s in said]
    pictures = [_picture(session, s) for s in said]
    heard, seen = [], []
    for i, (pcm, rgb) in enumerate(zip(sounds, pictures, strict=True), 1):
        heard.append(audio.encode(pcm))
        seen.append(image.encode(rgb))
        tick("turns", i, len(said))
    return {
        "turns": len(said),
        "speech_s": float(np.mean([len(pcm) / SAMPLE_RATE_HZ for pcm in sounds])),
        "sound": {
            "PCM 16 bit": _mean([2 * len(pcm) for pcm in sounds]),
            "latents f16": _mean([_on_wire(x, "f16") for x in heard]),
            "latents i8": _mean([_on_wire(x, "i8") for x in heard]),
            f"Opus {OPUS_KBIT_S} kbit/s": _mean([_opus(pcm) for pcm in sounds]),
        },
        "picture": {
            f"JPEG {pictures[0].shape[1]} px": _mean([_jpeg(rgb) for rgb in pictures]),
            "latents f16": _mean([_on_wire(x, "f16") for x in seen]),
            "latents i8": _mean([_on_wire(x, "i8") for x in seen]),
            f"JPEG {ENCODER_PX} px": _mean(
                [_jpeg(np.asarray(cv2.resize(rgb, (ENCODER_PX, ENCODER_PX)), np.uint8)) for rgb in pictures]
            ),
        },
    }


def report(figures: dict[str, Any]) -> str:
    """The table."""
    lines = [f"{figures['turns']} turns, {figures['speech_s']:.1f} s of speech and one picture each, mean bytes"]
    for what in ("sound", "picture"):
        lines += [f"{what:>8}  {how:<16} {n:>9,.0f}" for how, n in figures[what].items()]
    return "\n".join(lines)


def _sound(session: Session, said: Said) -> Float32Array:
    first, after = ((ms * SAMPLE_RATE_HZ) // 1000 for ms in (max(0, said.t_ms - AROUND_MS), said.end_ms + AROUND_MS))
    return (session.pcm[first:after] / 32768).astype(np.float32)


def _picture(session: Session, said: Said) -> UInt8Array:
    _, path = min(session.frames, key=lambda frame: abs(frame[0] - said.end_ms))
    return read_image(path)


def _on_wire(latents: Latents, dtype: wire.Dtype) -> int:
    part = messages.Sensed(0, latents.space, latents.modality, latents.duration_ns // NS_PER_MS)
    return len(wire.encode(messages.Feed(1, "s" * 22, 1, [part]), [latents.data], dtype))


def _opus(pcm: Float32Array) -> int:
    out = io.BytesIO()
    level = 1 - (OPUS_KBIT_S - 6) / 250  # libsndfile maps 0..1 to 256..6 kbit/s a channel
    soundfile.write(out, pcm, SAMPLE_RATE_HZ, format="OGG", subtype="OPUS", compression_level=level)
    return out.tell()


def _jpeg(rgb: UInt8Array) -> int:
    done, data = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    assert done
    return len(data)


def _mean(values: list[int]) -> float:
    return float(np.mean(values))
