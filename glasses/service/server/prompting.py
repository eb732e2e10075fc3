"""Turns the parts of a message into inputs of the backbone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument, RuntimeException

from glasses.backbone.inputs import ModelInput
from glasses.errors import InputError, Reason
from glasses.runtime import prompt
from glasses.runtime.bundle import LoadedBundle
from glasses.runtime.given import why_empty, windows_of
from glasses.runtime.prompt import PromptState
from glasses.service.protocol import messages
from glasses.service.protocol.messages import Rows, Sensed, Sound, Text, Tokens
from glasses.service.tokens.added_tokens import AddedTokens
from glasses.types import NS_PER_MS, Float32Array, Latents


def connect(
    loaded: LoadedBundle, added: AddedTokens, part: messages.Part, arrays: Sequence[Float32Array], turn: PromptState
) -> list[ModelInput]:
    """`part` as token ids and rows; notes in `turn` what it was.

    Raises InputError (an array that was not sent, an unknown token, a wrong width), ModelError(WRONG_SPACE).
    """
    if isinstance(part, Sound):
        return [rows for inputs in _heard(loaded, part, arrays, turn) for rows in inputs]
    if isinstance(part, Tokens) and part.is_frame:
        question = prompt.question_of(loaded, turn) if turn.modalities else []
        turn.begin()
        return [*question, *split(loaded, added, part.ids)]
    if (isinstance(part, Text) and not part.text) or (isinstance(part, Tokens) and not part.ids):
        return []
    if isinstance(part, Text | Tokens):
        is_text = isinstance(part, Text)
        ids = [loaded.backbone.tokenize(part.text, special=False)] if is_text else split(loaded, added, part.ids)
        return [*turn.begin_text(), *ids]
    data = _array_of(part, arrays)
    if isinstance(part, Rows):
        turn.has_question = True
        return [data]
    try:
        return [prompt.connect(loaded, _latents(loaded, part, data), turn)]
    except (InvalidArgument, RuntimeException) as error:  # such as a picture of other than 49 latents
        raise InputError(Reason.BAD_INPUT, f"{data.shape} latents do not fit {part.space}: {error}") from error


def split(loaded: LoadedBundle, added: AddedTokens, ids: Sequence[int]) -> list[ModelInput]:
    """Token ids as runs of the backbone's own ids and the rows of added tokens between them."""
    out: list[ModelInput] = []
    own: list[int] = []
    for token in ids:
        if token < loaded.backbone.n_vocab:
            own.append(token)
            continue
        index = added.index_of_id(token)
        out.extend([own, added.rows[index : index + 1]] if own else [added.rows[index : index + 1]])
        own = []
    return [*out, own] if own else out


def connect_slices(
    loaded: LoadedBundle, added: AddedTokens, part: messages.Part, arrays: Sequence[Float32Array], turn: PromptState
) -> Iterator[list[ModelInput]]:
    """What `connect` gives, in slices of work: each window of a sound is one. Raises as `connect`."""
    if isinstance(part, Sound):
        yield from _heard(loaded, part, arrays, turn)
    else:
        yield connect(loaded, added, part, arrays, turn)


def _heard(
    loaded: LoadedBundle, part: Sound, arrays: Sequence[Float32Array], turn: PromptState
) -> Iterator[list[ModelInput]]:
    """What was heard in a sound, one window of the encoders after the other; nothing of one that is silent.

    Raises InputError: an array that was not sent, too few samples, or some that are no numbers; ModelError.
    """
    samples = _array_of(part, arrays).reshape(-1)[: part.n_samples]
    if len(samples) < part.n_samples or not np.isfinite(samples).all():
        raise InputError(Reason.BAD_INPUT, f"a sound of {part.n_samples} samples, but not all of them were sent")
    for window in [] if why_empty(samples) else windows_of(loaded, samples):
        yield [prompt.connect(loaded, one, turn) for one in loaded.encode_audio(window)]


def _array_of(part: Rows | Sensed | Sound, arrays: Sequence[Float32Array]) -> Float32Array:
    if part.array >= len(arrays):
        raise InputError(Reason.BAD_INPUT, f"array {part.array} is named but only {len(arrays)} were sent")
    return arrays[part.array]


def _latents(loaded: LoadedBundle, part: Sensed, data: Float32Array) -> Latents:
    width = loaded.widths().get(part.space)
    if width is not None and data.shape[1] != width:
        raise InputError(Reason.BAD_INPUT, f"latents of {part.space} are {width} wide, not {data.shape[1]}")
    return Latents(0, part.duration_ms * NS_PER_MS, part.modality, data, part.space)
