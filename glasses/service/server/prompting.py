"""Turns the parts of a message into inputs of the backbone."""

from __future__ import annotations

from collections.abc import Sequence

from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument, RuntimeException

from glasses.backbone.inputs import ModelInput
from glasses.errors import InputError, Reason
from glasses.runtime import prompt
from glasses.runtime.bundle import LoadedBundle
from glasses.runtime.prompt import PromptState
from glasses.service.protocol import messages
from glasses.service.protocol.messages import Rows, Sensed, Text, Tokens
from glasses.service.tokens.added_tokens import AddedTokens
from glasses.types import NS_PER_MS, Float32Array, Latents


def connect(
    loaded: LoadedBundle, added: AddedTokens, part: messages.Part, arrays: Sequence[Float32Array], turn: PromptState
) -> list[ModelInput]:
    """`part` as token ids and rows; notes in `turn` what it was.

    Raises InputError (an array that was not sent, an unknown token, a wrong width), ModelError(WRONG_SPACE).
    """
    if isinstance(part, Tokens) and part.is_frame:
        question = prompt.question_of(loaded, turn) if turn.modalities else []
        turn.begin()
        return [*question, *split(loaded, added, part.ids)]
    if (isinstance(part, Text) and not part.text) or (isinstance(part, Tokens) and not part.ids):
        return []
    if isinstance(part, Text):
        return [*turn.begin_text(), loaded.backbone.tokenize(part.text, special=False)]
    if isinstance(part, Tokens):
        return [*turn.begin_text(), *split(loaded, added, part.ids)]
    if part.array >= len(arrays):
        raise InputError(Reason.BAD_INPUT, f"array {part.array} is named but only {len(arrays)} were sent")
    data = arrays[part.array]
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


def _latents(loaded: LoadedBundle, part: Sensed, data: Float32Array) -> Latents:
    width = loaded.widths().get(part.space)
    if width is not None and data.shape[1] != width:
        raise InputError(Reason.BAD_INPUT, f"latents of {part.space} are {width} wide, not {data.shape[1]}")
    return Latents(0, part.duration_ms * NS_PER_MS, part.modality, data, part.space)
