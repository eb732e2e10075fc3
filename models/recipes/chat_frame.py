"""The chat format that the shipped connectors are trained in: ChatML, as the backbones of pocket and desk have it."""

from __future__ import annotations

from pathlib import Path

from gguf import GGUFReader

from glasses.backbone.prompt import SYSTEM
from glasses.backbone.prompt_format import CHATML, PromptFormat
from glasses.errors import ModelError, Reason

PREFIX, SUFFIX = CHATML.prefix(SYSTEM), CHATML.suffix
STOP = "<|im_end|>"  # ends a message


def check_frame(gguf: Path) -> None:
    """Raises ModelError(UNSUPPORTED) for a backbone with another chat format: the examples would be framed wrongly."""
    field = GGUFReader(gguf).fields.get("tokenizer.chat_template")
    own = PromptFormat.from_template(field.contents()) if field else None
    if own is None or (own.prefix(SYSTEM), own.suffix) != (PREFIX, SUFFIX):
        raise ModelError(Reason.UNSUPPORTED, f"{gguf}: its chat template is not ChatML, which the recipes write")
