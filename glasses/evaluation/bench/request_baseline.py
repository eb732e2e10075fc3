"""What the backbone itself chooses: all tools in its system prompt, seven examples, a grammar for the answer."""

from __future__ import annotations

import json

import numpy as np

from glasses.backbone.grammar import Grammar
from glasses.runtime.bundle import LoadedBundle
from glasses.runtime.prompt import suffix_of
from glasses.tools.builtin import BUILTIN

NONE = "none"
_MOST_TOKENS = 12
# Of no held-out wording, and of tools that are easily taken for each other.
_EXAMPLES = (
    ("Set a timer for two minutes.", "set_timer"),
    ("What is the largest desert?", NONE),
    ("Get me up at six.", "set_alarm"),
    ("Remind me to lock the door at nine.", "set_reminder"),
    ("I like your voice.", NONE),
    ("Keep in mind that the gate is B4.", "remember"),
    ("What's nine plus twelve?", "calculate"),
)


class PromptedCalls:
    """Chooses by greedy decoding under the grammar. It belongs to the backbone's thread and uses its KV cache."""

    def __init__(self, loaded: LoadedBundle) -> None:
        """Raises ModelError as the backbone does."""
        self._loaded, backbone = loaded, loaded.backbone
        tools = "\n".join(f"{tool.name}: {tool.description}" for tool in BUILTIN)
        examples = "\n".join(f"{words} -> {name}" for words, name in _EXAMPLES)
        said = (
            "You choose the function that the user asks for. Answer with its name only, or with none for questions and "
            f"talk that need no function.\n{tools}\n{NONE}: Anything else.\nExamples:\n{examples}"
        )
        names = " | ".join(json.dumps(name) for name in (*(tool.name for tool in BUILTIN), NONE))
        self._gbnf = f"root ::= {names}"
        backbone.rollback(0)
        backbone.feed([backbone.tokenize(backbone.prompt_format.prefix(said))])
        self._n_prefix = backbone.n_past

    def choose(self, words: str) -> str | None:
        """The tool's name, or None."""
        backbone = self._loaded.backbone
        backbone.rollback(self._n_prefix)
        backbone.feed([backbone.tokenize(words, special=False), suffix_of(backbone)])
        grammar, tokens = Grammar(backbone.vocabulary, self._gbnf), list[int]()
        while len(tokens) < _MOST_TOKENS:
            token = int(np.argmax(grammar.restrict(backbone.logits())))
            if token in backbone.eos:
                break
            grammar.accept(token)
            tokens.append(token)
            backbone.feed([[token]])
        name = backbone.detokenize(tokens).strip()
        return None if name == NONE else name
