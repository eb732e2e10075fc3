"""The model's tokenizer: text to token ids and back. Any thread may call it."""

from __future__ import annotations

import codecs
import ctypes
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glasses.backbone.native import Native, c
from glasses.backbone.prompt_format import PromptFormat
from glasses.errors import InputError, ModelError, Reason
from glasses.types import frozen

MAX_TEXT_BYTES = 1 << 18  # some 60,000 tokens, far over any context; tokenizing them takes a second at worst
_PIECE_BYTES = 256  # SmolLM2's longest token has 81 bytes; a longer one takes a second call


class Vocabulary:
    """The tokenizer inside an open model."""

    def __init__(self, native: Native) -> None:
        self._native = native
        self.n_vocab = native.n_vocab
        # A GGUF may have no tokenizer; asking llama.cpp for text then fails an assertion that ends the process.
        self._has_text = c.llama_vocab_type(native.vocab) != c.LLAMA_VOCAB_TYPE_NONE

    @property
    def handle(self) -> int:
        """llama.cpp's pointer to the vocabulary. Raises RuntimeError once the backbone is closed."""
        return self._vocab

    @property
    def _vocab(self) -> int:
        if not self._native.is_open:
            raise RuntimeError("the backbone is closed")
        return self._native.vocab

    @cached_property
    def eos(self) -> frozenset[int]:
        """All tokens that end a generation (`<|im_end|>`, `<|endoftext|>`, ...)."""
        vocab = self._vocab
        return frozenset(i for i in range(self.n_vocab) if c.llama_vocab_is_eog(vocab, i))

    @cached_property
    def is_control(self) -> NDArray[np.bool_]:
        """For each token whether it is a control token that does not end a generation (n_vocab,)."""
        vocab = self._vocab
        ids = range(self.n_vocab)
        found = (bool(c.llama_vocab_is_control(vocab, i)) and i not in self.eos for i in ids)
        return frozen(np.fromiter(found, np.bool_, self.n_vocab))

    def prompt_format(self, path: Path, template: str | None = None) -> PromptFormat:
        """The chat format of this model: its GGUF's own template, or `template` instead.

        Raises ModelError(UNSUPPORTED), which names `path`, if there is none or it cannot be used.
        """
        template = template or self._native.chat_template()
        if template is None:
            raise ModelError(
                Reason.UNSUPPORTED,
                f"{path}: it has no chat template, so how to prompt this model is unknown: use an instruct model whose "
                "GGUF has one (tokenizer.chat_template), or set chat_template in the bundle's TOML",
            )
        vocab = self._vocab
        bos, eos = (self._text_of(token) for token in (c.llama_vocab_bos(vocab), c.llama_vocab_eos(vocab)))
        try:
            return PromptFormat.from_template(template, bos=bos, eos=eos, add_bos=c.llama_vocab_get_add_bos(vocab))
        except ModelError as error:
            raise ModelError(error.reason, f"{path}: {error}") from error

    def _text_of(self, token: int) -> str:
        """A token as its vocabulary writes it, control tokens included; empty for the null token -1."""
        return c.llama_vocab_get_text(self._vocab, token).decode("utf-8", "replace") if token >= 0 else ""

    def tokenize(self, text: str, *, special: bool = True) -> list[int]:
        """Token ids of `text`; nothing is added. With `special`, control tokens in the text (`<|im_start|>`) are read
        as such; without, as plain text, which is right for text that comes from outside.

        Raises InputError(TOO_LARGE) over `MAX_TEXT_BYTES`, InputError(BAD_INPUT) for text that is not Unicode,
        ModelError(BAD_INPUT) for a model without a tokenizer.
        """
        if not self._has_text:
            raise ModelError(Reason.BAD_INPUT, "this model has no tokenizer: feed it token ids or latents")
        try:
            data = text.encode()
        except UnicodeEncodeError as error:
            raise InputError(Reason.BAD_INPUT, f"text holds a lone surrogate at character {error.start}") from error
        if len(data) > MAX_TEXT_BYTES:
            raise InputError(Reason.TOO_LARGE, f"text of {len(data)} bytes; at most {MAX_TEXT_BYTES} are read")
        # A token is at least one byte long, so this many is always enough.
        ids = (c.llama_token * max(1, len(data)))()
        n = c.llama_tokenize(self._vocab, data, len(data), ids, len(ids), False, special)
        if n < 0:
            raise ModelError(Reason.INTERNAL, f"llama.cpp wants {-n} tokens for {len(data)} bytes of text")
        return ids[:n]

    def token_bytes(self, token: int, *, special: bool = False) -> bytes:
        """UTF-8 bytes of one token, maybe part of a character; control tokens are empty unless `special`."""
        if not 0 <= token < self.n_vocab:
            raise ModelError(Reason.BAD_INPUT, f"token {token} is not in 0..{self.n_vocab - 1}")
        if not self._has_text:
            return b""
        buffer = ctypes.create_string_buffer(_PIECE_BYTES)
        n = c.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, special)
        if n < 0:
            buffer = ctypes.create_string_buffer(-n)
            n = c.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, special)
        return buffer.raw[:n]

    def detokenize(self, ids: Sequence[int], *, special: bool = False) -> str:
        """Text of `ids`; bytes that are no UTF-8 are left out."""
        return TextPieces().add(b"".join(self.token_bytes(i, special=special) for i in ids))


class TextPieces:
    """The text of an answer, piece by piece, from the bytes of its tokens. A piece never ends within a character: the
    bytes of one wait for those that complete it. What is no UTF-8, and what is incomplete at the end, is left out.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("ignore")

    def add(self, data: bytes) -> str:
        """The text that `data` completes."""
        return self._decoder.decode(data)
