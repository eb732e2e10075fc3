"""Encodes the picture that a turn is about: the view at once, things and text in it while the wearer speaks."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from glasses.media.view_quality import why_unseen
from glasses.runtime.bundle import LoadedBundle
from glasses.types import Frame, Latents, UInt8Array


@dataclass(frozen=True, slots=True)
class EncodedView:
    """A picture and its latents; those of the things and of the text in it may still be made."""

    frame: Frame
    image: Latents
    things: Future[Latents] | None
    text: Future[Latents] | None
    unseen: str = ""  # why nothing can be made out, as a sentence to the wearer

    def latents(self, wait_s: float = math.inf) -> tuple[Latents, ...]:
        """All latents of the picture, as far as there are any, in the order of `LoadedEncoders.encode_picture`.

        Waits so long for what is still being made, and goes without what is not made then: the next draft of the turn
        has it. Raises as the encoders do.
        """
        wait([one for one in (self.things, self.text) if one], None if math.isinf(wait_s) else wait_s)
        things, text = (one.result() if one and one.done() else None for one in (self.things, self.text))
        return tuple(one for one in (things, self.image, text) if one is not None and len(one.data))


class ViewEncoder:
    """A page of text takes a second or more, which neither the microphone nor the voice detector may wait for."""

    def __init__(self, loaded: LoadedBundle) -> None:
        self._loaded = loaded
        self._worker: ThreadPoolExecutor | None = None  # started by the first picture

    def encode(self, frame: Frame) -> EncodedView:
        """Raises as the image encoder does."""
        loaded = self._loaded
        image = loaded.image_encoder.encode(frame.rgb, frame.t_ns)
        things = self._begun(loaded.thing_encoder.encode, frame) if loaded.thing_encoder else None
        text = self._begun(loaded.text_encoder.encode, frame) if loaded.text_encoder else None
        return EncodedView(frame, image, things, text, why_unseen(frame.rgb))

    def _begun(self, encode: Callable[[UInt8Array, int], Latents], frame: Frame) -> Future[Latents]:
        if self._worker is None:
            self._worker = ThreadPoolExecutor(1, "things and text in view")
        return self._worker.submit(encode, frame.rgb, frame.t_ns)
