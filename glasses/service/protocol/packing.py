"""Converts between Python values and the fields of messages, for the client."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from glasses.errors import Reason
from glasses.service.protocol import messages
from glasses.service.protocol.events import TokenEvent
from glasses.service.protocol.messages import Part
from glasses.types import NS_PER_MS, SAMPLE_RATE_HZ, Float32Array, Latents, Token


class Frame(tuple[int, ...]):
    """Token ids of the chat format, between two turns."""


# Text, latents of an encoder, token ids, rows (n, n_embd), or a sound (n,): float32, 16 kHz, mono.
Input = str | Latents | Sequence[int] | Float32Array


def pack(inputs: Sequence[Input], arrays: list[Float32Array]) -> list[Part]:
    """`inputs` as parts of a message; their arrays are appended to `arrays`."""
    parts: list[Part] = []
    for item in inputs:
        if isinstance(item, str):
            parts.append(messages.Text(item))
        elif isinstance(item, Latents):
            parts.append(messages.Sensed(len(arrays), item.space, item.modality, item.duration_ns // NS_PER_MS))
            arrays.append(item.data)
        elif isinstance(item, np.ndarray) and item.ndim == 2:
            parts.append(messages.Rows(len(arrays)))
            arrays.append(item)
        elif isinstance(item, np.ndarray) and item.dtype == np.float32:
            parts.append(messages.Sound(len(arrays), len(item)))
            arrays.append(np.pad(item, (0, -len(item) % SAMPLE_RATE_HZ)).reshape(-1, SAMPLE_RATE_HZ))
        elif isinstance(item, Frame):
            parts.append(messages.Tokens(list(item), is_frame=True))
        else:
            parts.append(messages.Tokens([int(i) for i in item]))
    return parts


def token_of(event: TokenEvent, latent: Float32Array | None) -> Token:
    """The token of an event, with its hidden state (1, n_embd) if it came with one."""
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
    """The Reason of a Failed event; INTERNAL for one that only a newer service has."""
    try:
        return Reason(value)
    except ValueError:
        return Reason.INTERNAL
