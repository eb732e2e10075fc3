"""Encodes the picture that a turn is about: the view at once, things and text in it while the wearer speaks."""

from __future__ import annotations

import math
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from glasses.media.view_quality import why_unseen
from glasses.runtime.bundle import LoadedBundle
from glasses.types import Frame, Latents

AT_ONCE = "image"


@dataclass(frozen=True, slots=True)
class EncodedView:
    """A picture and its latents, some of which may still be made."""

    frame: Frame
    parts: tuple[Future[Latents], ...]  # in the order of a turn
    unseen: str = ""  # why nothing can be made out, as a sentence to the wearer

    def latents(self, wait_s: float = math.inf) -> tuple[Latents, ...]:
        """All latents of the picture, as far as there are any, in the order of `LoadedEncoders.encode_picture`.

        Waits so long for what is still being made, and goes without what is not made then: the next draft of the turn
        has it. Raises as the encoders do.
        """
        wait(self.parts, None if math.isinf(wait_s) else wait_s)
        made = [one.result() for one in self.parts if one.done()]
        return tuple(one for one in made if len(one.data))


class ViewEncoder:
    """A page of text takes a second or more, which neither the microphone nor the voice detector may wait for."""

    def __init__(self, loaded: LoadedBundle) -> None:
        self._loaded = loaded
        self._worker: ThreadPoolExecutor | None = None  # started by the first picture

    def encode(self, frame: Frame) -> EncodedView:
        """Raises as the image encoder does."""
        if self._worker is None:
            self._worker = ThreadPoolExecutor(1, "things and text in view")
        view = Future[Latents]()
        view.set_result(self._loaded.image_encoder.encode(frame.rgb, frame.t_ns))
        parts = [
            view if name == AT_ONCE else self._worker.submit(encoder.encode, frame.rgb, frame.t_ns)
            for name, encoder in self._loaded.picture_encoders.items()
        ]
        return EncodedView(frame, tuple(parts), why_unseen(frame.rgb))
