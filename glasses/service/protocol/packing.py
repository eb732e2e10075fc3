"""Between Python values and the fields of messages, on the client's side. Knows no connection."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from glasses.errors import Reason
from glasses.service.protocol import messages
from glasses.service.protocol.events import TokenEvent
from glasses.service.protocol.messages import Part
from glasses.types import NS_PER_MS, Float32Array, Latents, Token

Given = str | Latents | Sequence[int] | Float32Array  # text, pre-connector latents, token ids, backbone latents


def pack(given: Sequence[Given], arrays: list[Float32Array]) -> list[Part]:
    """Parts of a message; their arrays are appended to `arrays`."""
    parts: list[Part] = []
    for item in given:
        if isinstance(item, str):
            parts.append(messages.Text(item))
        elif isinstance(item, Latents):
            parts.append(messages.Sensed(len(arrays), item.space, item.modality, item.duration_ns // NS_PER_MS))
            arrays.append(item.data)
        elif isinstance(item, np.ndarray) and item.ndim == 2:
            parts.append(messages.Rows(len(arrays)))
            arrays.append(item)
        else:
            parts.append(messages.Tokens([int(i) for i in item]))
    return parts


def piece_of(event: TokenEvent, latent: Float32Array | None) -> Token:
    """A piece of the wire as every stage knows it."""
    return Token(
        turn_id=event.generation,
        token_id=event.token,
        text=event.text,
        logprob=event.logprob,
        latent=None if latent is None else latent[0],
        last=event.end is not None,
        top=tuple(event.top),
    )


def reason_of(value: str) -> Reason:
    """A reason of the wire; one that only a newer service knows is INTERNAL."""
    try:
        return Reason(value)
    except ValueError:
        return Reason.INTERNAL
