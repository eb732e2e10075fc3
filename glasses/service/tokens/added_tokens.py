"""Tokens that the backbone's file does not have: their rows, names and where they are kept. Pure numpy; no training.

An added token is an input row, fed as a latent, and a classifier row w, scored as w.h beside the logits. The backbone
and its logits stay bit for bit what they are.

How an answer begins is decided by a longer row where the engine has what it reads: the value vectors that the end of
the wearer's words and the end of the prompt left in the cache, of every layer. They cost no decoding. Calls then come
first in an answer or not at all; `classifier` is for end tokens, for engines without such values, and for `bake`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np

from glasses.errors import InputError, ModelError, Reason
from glasses.service.protocol import wire
from glasses.service.protocol.events import TokenInfo
from glasses.types import Float32Array, frozen

MAX_TOKENS = 256
NEVER = np.float32(-1e30)


class _File(msgspec.Struct, forbid_unknown_fields=True):
    """Header of the file: arrays are the input rows and the classifier rows, both (k, n_embd), and where they were
    trained the deep rows (k, n_values + 1).
    """

    backbone: str  # sha256
    next_id: int
    tokens: list[TokenInfo]


_decoder: wire.Decoder[_File] = wire.Decoder(_File)


@dataclass(frozen=True, slots=True)
class AddedTokens:
    """An unchanging table; every change makes another one, so a running generation keeps what it began with.

    `rows` and `classifier` are float32 (k, n_embd), k = len(tokens); `deep` is (k, n_values + 1), the last number of a
    row added to its score, or (k, 0) where it was not trained. An id is never given twice.
    """

    next_id: int
    tokens: tuple[TokenInfo, ...]
    rows: Float32Array
    classifier: Float32Array
    deep: Float32Array

    @staticmethod
    def empty(n_vocab: int, n_embd: int) -> AddedTokens:
        none = frozen(np.zeros((0, n_embd), np.float32))
        return AddedTokens(n_vocab, (), none, none, frozen(np.zeros((0, 0), np.float32)))

    def index(self, name: str) -> int:
        """Raises InputError(NOT_FOUND)."""
        for i, token in enumerate(self.tokens):
            if token.name == name:
                return i
        raise InputError(Reason.NOT_FOUND, f"no added token {name}; there are {[t.name for t in self.tokens]}")

    def index_of_id(self, token: int) -> int:
        """Raises InputError(NOT_FOUND)."""
        for i, added in enumerate(self.tokens):
            if added.id == token:
                return i
        raise InputError(Reason.NOT_FOUND, f"token {token} is neither the backbone's nor an added one")

    def add(self, infos: Sequence[TokenInfo], row: Float32Array) -> AddedTokens:
        """Adds tokens that start at input row (n_embd,); their classifier rows of zeros wait for training.

        Raises InputError: BAD_INPUT for a name that is taken, TOO_LARGE.
        """
        names = [token.name for token in (*self.tokens, *infos)]
        if len(set(names)) != len(names):
            raise InputError(
                Reason.BAD_INPUT, f"{[i.name for i in infos]}: a token of this name exists; remove it first"
            )
        if len(names) > MAX_TOKENS:
            raise InputError(Reason.TOO_LARGE, f"{MAX_TOKENS} tokens can be added; remove one first")
        given = [msgspec.structs.replace(info, id=self.next_id + i) for i, info in enumerate(infos)]
        return AddedTokens(
            self.next_id + len(given),
            (*self.tokens, *given),
            frozen(np.concatenate([self.rows, *[row[None]] * len(given)])),
            *(
                frozen(np.concatenate([table, np.zeros((len(given), table.shape[1]), np.float32)]))
                for table in (self.classifier, self.deep)
            ),
        )

    def remove(self, name: str) -> AddedTokens:
        """Without the token and the other one of its pair. Raises InputError(NOT_FOUND)."""
        token = self.tokens[self.index(name)]
        keep = [i for i, t in enumerate(self.tokens) if t.name not in (name, token.end, token.begin)]
        return replace(
            self,
            tokens=tuple(self.tokens[i] for i in keep),
            rows=frozen(self.rows[keep]),
            classifier=frozen(self.classifier[keep]),
            deep=frozen(self.deep[keep]),
        )

    def trained(self, rows: Float32Array, classifier: Float32Array, deep: Float32Array | None = None) -> AddedTokens:
        """With new rows for all tokens; every version goes up by one. `deep` is None where an engine has no values."""
        tokens = tuple(msgspec.structs.replace(token, version=token.version + 1) for token in self.tokens)
        deep = np.zeros((len(tokens), 0), np.float32) if deep is None else deep
        return AddedTokens(self.next_id, tokens, frozen(rows), frozen(classifier), frozen(deep))

    def scores(self, hidden: Float32Array, *, first: bool, opened: str | None) -> Float32Array:
        """Logits float32 (k,) of a hidden state (n_embd,), very low where a token may not come: a call is the `first`
        piece of an answer, a begin token stands outside a pair, and first where there are deep rows, an end token
        inside its own (`opened` is the begin token's name), and none comes before it was trained.
        """
        begins = first or not self.deep.shape[1]
        allowed = [t.version > 0 and _may_come(t, first, opened) and (begins or t.end is None) for t in self.tokens]
        return np.where(allowed, self.classifier @ hidden, NEVER).astype(np.float32)

    def first_scores(self, values: Float32Array, largest: float) -> Float32Array:
        """Logits float32 (k,) of the first piece from the prompt's `values` (n_values,). What scores over zero with its
        deep row comes over `largest`, the largest of the backbone's own logits, so that a greedy answer calls it.
        """
        may_come = np.array([t.version > 0 and t.begin is None for t in self.tokens], bool)
        scores = self.deep[:, :-1] @ values + self.deep[:, -1] + np.float32(largest)
        return np.where(may_come, scores, NEVER).astype(np.float32)

    def save(self, path: Path, backbone_sha256: str) -> None:
        """Appears whole or not at all."""
        header = _File(backbone_sha256, self.next_id, list(self.tokens))
        part = path.with_name(path.name + ".part")
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            deep = [self.deep] if self.deep.shape[1] else []
            file.write(wire.encode(header, [self.rows, self.classifier, *deep] if self.tokens else []))
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)


def _may_come(token: TokenInfo, first: bool, opened: str | None) -> bool:
    if token.begin is not None:
        return opened == token.begin
    return opened is None and (first or token.end is not None)


def load(path: Path, backbone_sha256: str, n_vocab: int, n_embd: int) -> AddedTokens:
    """What was saved for this backbone, or an empty table where there is no file.

    Raises ModelError: CORRUPT, BAD_INPUT where the file is of another backbone.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return AddedTokens.empty(n_vocab, n_embd)
    try:
        header, arrays = _decoder.decode(data)
    except InputError as error:
        raise ModelError(Reason.CORRUPT, f"{path}: not a table of added tokens ({error}); delete it") from error
    if header.backbone != backbone_sha256:
        raise ModelError(Reason.BAD_INPUT, f"{path}: the added tokens are of another backbone; keep one file for each")
    shape = (len(header.tokens), n_embd)
    if not header.tokens:
        return replace(AddedTokens.empty(n_vocab, n_embd), next_id=header.next_id)
    if len(arrays) == 2:
        arrays.append(np.zeros((len(header.tokens), 0), np.float32))
    shapes = [array.shape for array in arrays]
    if shapes[:2] != [shape, shape] or len(shapes) != 3 or shapes[2][0] != shape[0] or header.next_id < n_vocab:
        raise ModelError(Reason.CORRUPT, f"{path}: its rows are not {shape}; delete it")
    return AddedTokens(header.next_id, tuple(header.tokens), *map(frozen, arrays))
