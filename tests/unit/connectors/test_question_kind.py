"""Questions are told apart by the mean of their rows."""

from __future__ import annotations

import json

import pytest

from glasses.backbone.llama import LlamaBackbone
from glasses.connectors.question_kind import QuestionKind
from glasses.model_store import store

pytestmark = pytest.mark.models


def test_question_kind_tells_unseen_nouns_apart(backbone: LlamaBackbone) -> None:
    held = json.loads(store.path_of("things-connector").read_text())
    kind = QuestionKind(held["about_things"], held["about_others"], backbone)

    def is_asked(text: str) -> bool:
        return kind.is_asked(backbone.token_rows(backbone.tokenize(text, special=False)))

    for noun, plural in (("lantern", "lanterns"), ("hedgehog", "hedgehogs"), ("violin", "violins")):
        assert is_asked(f"Is there a {noun}?")
        assert is_asked(f"Where is the {noun}?")
        assert is_asked(f"How many {plural} are there?")
        assert not is_asked(f"What color is the {noun}?")
        assert not is_asked(f"What kind of {noun} is it?")


def test_question_kind_of_no_rows_is_not_asked(backbone: LlamaBackbone) -> None:
    assert not QuestionKind(["Where is it?"], ["What is it?"], backbone).is_asked(backbone.token_rows([]))
