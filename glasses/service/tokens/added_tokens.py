"""The table of added tokens, which are not in the backbone's file: names, rows, and the file that keeps them.

An added token has an input row, fed as an embedding, and a classifier row w; its logit at a hidden state h is w.h. The
backbone and its own logits do not change by a bit.

Where the engine can read the KV cache, deep rows decide how an answer begins: linear classifiers on the value vectors,
in every layer, of the last row of the user's words and the last row of the prompt. This costs no decoding. A call then
comes first in an answer or not at all, and classifier rows serve for end tokens and for `bake` only.
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
    """Header of the file. Its arrays are the input rows and the classifier rows, both (k, n_embd), and the deep rows
    (k, n_values + 1) if they were trained.
    """

    backbone: str  # sha256
    next_id: int
    tokens: list[TokenInfo]


_decoder: wire.Decoder[_File] = wire.Decoder(_File)


@dataclass(frozen=True, slots=True)
class AddedTokens:
    """An immutable table: every change makes a new one, and a running generation keeps the one it began with.

    `rows` and `classifier` are float32 (k, n_embd), k = len(tokens). `deep` is (k, n_values + 1), with the bias last,
    or (k, 0) if it was not trained. An id is never given twice.
    """

    next_id: int
    tokens: tuple[TokenInfo, ...]
    rows: Float32Array
    classifier: Float32Array
    deep: Float32Array

    @staticmethod
    def empty(n_vocab: int, n_embd: int) -> AddedTokens:
        """A table without tokens; the first one will get the id n_vocab."""
        none = frozen(np.zeros((0, n_embd), np.float32))
        return AddedTokens(n_vocab, (), none, none, frozen(np.zeros((0, 0), np.float32)))

    def index(self, name: str) -> int:
        """The index of a token by name. Raises InputError(NOT_FOUND)."""
        for i, token in enumerate(self.tokens):
            if token.name == name:
                return i
        raise InputError(Reason.NOT_FOUND, f"no added token {name}; there are {[t.name for t in self.tokens]}")

    def index_of_id(self, token: int) -> int:
        """The index of a token by id. Raises InputError(NOT_FOUND)."""
        for i, added in enumerate(self.tokens):
            if added.id == token:
                return i
        raise InputError(Reason.NOT_FOUND, f"token {token} is neither the backbone's nor an added one")

    def add(self, infos: Sequence[TokenInfo], row: Float32Array) -> AddedTokens:
        """Adds tokens with the input row `row` (n_embd,); their classifier rows are zeros until they are trained.

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
        """Removes a token, and the other one of its pair. Raises InputError(NOT_FOUND)."""
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
        """Replaces the rows of all tokens and counts their versions up. `deep` is None for an engine without values."""
        tokens = tuple(msgspec.structs.replace(token, version=token.version + 1) for token in self.tokens)
        deep = np.zeros((len(tokens), 0), np.float32) if deep is None else deep
        return AddedTokens(self.next_id, tokens, frozen(rows), frozen(classifier), frozen(deep))

    def scores(self, hidden: Float32Array, *, first: bool, opened: str | None) -> Float32Array:
        """Logits float32 (k,) at a hidden state (n_embd,), NEVER for a token that may not come there.

        A call may come only as the `first` token of an answer; a begin token only outside a pair (and only first if
        there are deep rows); an end token only inside its own pair, whose begin token `opened` names. A token that was
        never trained may not come.
        """
        begins = first or not self.deep.shape[1]
        allowed = [t.version > 0 and _may_come(t, first, opened) and (begins or t.end is None) for t in self.tokens]
        return np.where(allowed, self.classifier @ hidden, NEVER).astype(np.float32)

    def first_scores(self, values: Float32Array, largest: float) -> Float32Array:
        """Logits float32 (k,) of an answer's first token, from the prompt's `values` (n_values,). A deep score above
        zero becomes a logit above `largest`, the largest of the backbone's own, so that a greedy answer calls the
        token.
        """
        may_come = np.array([t.version > 0 and t.begin is None for t in self.tokens], bool)
        scores = self.deep[:, :-1] @ values + self.deep[:, -1] + np.float32(largest)
        return np.where(may_come, scores, NEVER).astype(np.float32)

    def save(self, path: Path, backbone_sha256: str) -> None:
        """Writes the file; after a crash there is the old file or the new one."""
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
    """The table that was saved for this backbone, or an empty one if there is no file.

    Raises ModelError: CORRUPT, BAD_INPUT for the file of another backbone.
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
