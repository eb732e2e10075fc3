"""Arguments of any schema, written by the backbone as JSON under the schema's grammar.

The path for arguments that hold lists and objects. What is written fits the schema; whether it is what the wearer meant
depends on the backbone: one of 135M parameters seldom gets more than one text argument right.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from glasses.backbone import json_schema
from glasses.backbone.grammar import Grammar
from glasses.backbone.llama import LlamaBackbone
from glasses.errors import InputError
from glasses.tools.tool import Tool
from glasses.types import Float32Array

MAX_TOKENS = 160
_HEAD = 'I call the function {name}. {description}\nIts arguments as JSON, by the schema {schema}, in the words of "'


def write(backbone: LlamaBackbone, tool: Tool, rows: Float32Array) -> dict[str, Any]:
    """What the backbone makes of the turn's rows for `tool`; {} where the schema cannot be a grammar, does not fit the
    context, or the JSON is not whole after MAX_TOKENS. The cache is afterwards as it was. Raises ModelError(ABORTED).
    """
    try:
        grammar = Grammar(backbone.vocabulary, json_schema.gbnf(tool.schema, where=f"tool {tool.name}"))
    except InputError:
        return {}
    head = _HEAD.format(name=tool.name, description=tool.description, schema=json.dumps(tool.schema["properties"]))
    before, behind = (backbone.tokenize(text, special=False) for text in (head, '":\n'))
    if backbone.n_past + len(before) + len(rows) + len(behind) + MAX_TOKENS > backbone.n_ctx:
        return {}
    with backbone.aside():
        backbone.feed([before, rows, behind])
        text = _continued(backbone, grammar)
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _continued(backbone: LlamaBackbone, grammar: Grammar) -> str:
    """The likeliest tokens that the grammar allows, until it ends."""
    ids: list[int] = []
    while len(ids) < MAX_TOKENS:
        logits = backbone.logits()
        token = int(logits.argmax())
        if not grammar.allows(token):
            allowed = grammar.restrict(logits)
            if not np.isfinite(allowed).any():
                break
            token = int(allowed.argmax())
        if token in backbone.eos:
            break
        grammar.accept(token)
        ids.append(token)
        backbone.feed([[token]])
    return backbone.detokenize(ids)
