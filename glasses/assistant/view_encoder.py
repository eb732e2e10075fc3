"""Encodes the picture that a turn is about: what is in view at once, the text in it while the wearer speaks."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from glasses.runtime.bundle import LoadedBundle
from glasses.types import Frame, Latents


@dataclass(frozen=True, slots=True)
class EncodedView:
    """A picture and its latents; those of the text in it may still be made."""

    frame: Frame
    image: Latents
    text: Future[Latents] | None

    def latents(self) -> tuple[Latents, ...]:
        """All latents of the picture, those of text last, where there is any. Waits for them; raises as the encoder."""
        text = self.text.result() if self.text else None
        return (self.image, text) if text is not None and len(text.data) else (self.image,)


class ViewEncoder:
    """A page of text takes a second or more, which neither the microphone nor the voice detector may wait for."""

    def __init__(self, loaded: LoadedBundle) -> None:
        self._loaded = loaded
        self._reading: ThreadPoolExecutor | None = None  # started by the first picture

    def encode(self, frame: Frame) -> EncodedView:
        """Raises as the image encoder does."""
        image, reader = self._loaded.image_encoder.encode(frame.rgb, frame.t_ns), self._loaded.text_encoder
        if reader is None:
            return EncodedView(frame, image, None)
        if self._reading is None:
            self._reading = ThreadPoolExecutor(1, "text in view")
        return EncodedView(frame, image, self._reading.submit(reader.encode, frame.rgb, frame.t_ns))
