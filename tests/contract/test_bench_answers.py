"""`glasses bench compare` asks both sides; only the latent side gets pictures and sounds besides words."""

from __future__ import annotations

import pytest

from glasses.errors import ModelError
from glasses.evaluation import whisper_baseline
from glasses.evaluation.bench import answers
from glasses.evaluation.whisper_baseline import MODEL
from glasses.model_store import store


def test_said_tone_several_named_returns_the_first() -> None:
    assert answers.said_tone("The speaker is whispering, not shouting.") == "whispered"
    assert answers.said_tone("He shouts.") == "shouted"
    assert answers.said_tone("A normally spoken sentence.") == "calm"
    assert answers.said_tone("I can't help with that.") is None


def test_answers_pictures_and_sounds_reach_the_latent_side_alone() -> None:
    """Both sides are really asked; only the side that gets latents can name pictures and sounds."""
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
