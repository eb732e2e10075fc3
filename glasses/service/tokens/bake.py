"""Writes added tokens into a copy of the backbone's GGUF, for runtimes without a table of added tokens.

    python -m glasses.service.tokens.bake BACKBONE.gguf TOKENS OUT.gguf      (needs the package gguf: extra `train`)

The file grows by a classifier table if the model used its embedding table for both, for the two differ now. New rows
are quantised like the table that they are added to; old rows do not change by a bit. The id of an added token in OUT is
its position, which is its id in the table unless tokens were removed.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader, GGUFValueType, GGUFWriter
from gguf.constants import TokenType
from gguf.quants import quantize
from numpy.typing import NDArray

from glasses.errors import ModelError, Reason
from glasses.service.tokens import added_tokens
from glasses.service.tokens.added_tokens import AddedTokens
from glasses.types import Float32Array

_EMBEDDING, _CLASSIFIER = "token_embd.weight", "output.weight"
_TOKENS, _TYPES, _SCORES = "tokenizer.ggml.tokens", "tokenizer.ggml.token_type", "tokenizer.ggml.scores"


def bake(source: Path, added: AddedTokens, target: Path) -> None:
    """Writes `target`, whole or not at all. Raises ModelError(UNSUPPORTED) for a type that gguf cannot quantise."""
    reader = GGUFReader(source)
    architecture = reader.fields["general.architecture"].contents()
    part = target.with_name(target.name + ".part")
    writer = GGUFWriter(part, architecture)
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        kind, value = field.types[0], _extended(name, field.contents(), added, architecture)
        writer.add_key_value(name, value, kind, field.types[-1] if kind == GGUFValueType.ARRAY else None)
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    for name, tensor in tensors.items():
        data, kind = np.array(tensor.data), tensor.tensor_type
        if name in (_EMBEDDING, _CLASSIFIER):
            data = _joined(data, added.rows if name == _EMBEDDING else added.classifier, kind)
        writer.add_tensor(name, data, raw_dtype=kind)
    if _CLASSIFIER not in tensors:
        tensor = tensors[_EMBEDDING]
        data = _joined(np.array(tensor.data), added.classifier, tensor.tensor_type)
        writer.add_tensor(_CLASSIFIER, data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    part.replace(target)


def _extended(name: str, value: Any, added: AddedTokens, architecture: str) -> Any:
    """A metadata value; those with an entry a token are extended."""
    n = len(added.tokens)
    if name == _TOKENS:
        return [*value, *(token.name for token in added.tokens)]
    if name == _TYPES:
        return [*value, *[int(TokenType.USER_DEFINED)] * n]
    if name == _SCORES:
        return [*value, *[0.0] * n]
    return value + n if name == f"{architecture}.vocab_size" else value


def _joined(table: NDArray[Any], rows: Float32Array, kind: Any) -> NDArray[Any]:
    """The table with `rows`, quantised alike, behind it."""
    try:
        return np.concatenate([table, quantize(rows, kind)])
    except NotImplementedError as error:
        message = f"rows cannot be quantised to {kind.name}; use a backbone with a Q8_0 or F16 table"
        raise ModelError(Reason.UNSUPPORTED, message) from error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backbone", type=Path)
    parser.add_argument("tokens", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    with args.backbone.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    embedding = next(tensor for tensor in GGUFReader(args.backbone).tensors if tensor.name == _EMBEDDING)
    n_embd, n_vocab = (int(n) for n in embedding.shape)
    bake(args.backbone, added_tokens.load(args.tokens, sha256, n_vocab, n_embd), args.out)
    print(args.out)


if __name__ == "__main__":
    main()
