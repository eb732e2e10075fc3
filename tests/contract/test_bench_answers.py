"""`glasses bench compare`: both sides are really asked, and only one of them has senses besides words."""

from __future__ import annotations

import pytest

from glasses.errors import ModelError
from glasses.evaluation import whisper_baseline
from glasses.evaluation.bench import answers
from glasses.evaluation.whisper_baseline import MODEL
from glasses.model_store import store


def test_a_tone_is_the_one_named_first() -> None:
    assert answers.said_tone("The speaker is whispering, not shouting.") == "whispered"
    assert answers.said_tone("He shouts.") == "shouted"
    assert answers.said_tone("A normally spoken sentence.") == "calm"
    assert answers.said_tone("I can't help with that.") is None


def test_a_picture_reaches_latents_alone() -> None:
    if not whisper_baseline.installed():
        pytest.skip("the extra `baseline` is not installed")
    try:
        store.path_of(MODEL)
    except ModelError as error:
        pytest.skip(str(error))
    figures = answers.run("pocket", 8)
    assert list(figures) == list(answers.KINDS)
    assert figures["spoken questions"]["baseline"] >= 0.5, "it does hear"
    assert figures["what is in view?"]["latents"] > figures["what is in view?"]["baseline"] == 0
    assert figures["what is this sound?"]["latents"] > figures["what is this sound?"]["baseline"]
    assert all(line.endswith("%") for line in answers.report(figures).splitlines()[1:])
