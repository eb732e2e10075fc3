"""Where the rows of each modality stand in a prompt, with connectors and a backbone that only count rows."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from glasses.errors import InputError
from glasses.memory.policy import MemoryPolicy
from glasses.runtime import modalities
from glasses.runtime.modalities import MODALITIES, ModalityEntry, question_about
from glasses.runtime.prompt import ConnectedInput, PromptState, connect, prompt_of, view_and_words
from glasses.types import Float32Array, Latents

N_EMBD = 2
PREFIX_ROWS = np.full((3, N_EMBD), 7, np.float32)


class Connector:
    """One row a latent, filled with `value`; notes which companion it was given."""

    space, width = "s:0", N_EMBD
    task_prefix_rows = PREFIX_ROWS

    def __init__(self, value: float) -> None:
        self.value, self.companions = value, list[Latents | None]()

    def apply(self, latents: Latents, companion: Latents | None = None) -> Float32Array:
        self.companions.append(companion)
        return np.full((len(latents.data), N_EMBD), self.value, np.float32)


class Bundle:
    """What `connect` uses of a LoadedBundle."""

    def __init__(self) -> None:
        self.connectors = {"audio": Connector(1), "sound": Connector(2), "image": Connector(3), "radar": Connector(4)}
        self.ambience = None
        self.backbone = SimpleNamespace(
            tokenize=lambda text, *, special=True: [text], prompt_format=SimpleNamespace(suffix="END")
        )

    @property
    def speech_connector(self) -> Connector:
        return self.connectors["audio"]


def latents(modality: str, n: int = 1) -> Latents:
    return Latents(0, 0, modality, np.zeros((n, 4), np.float32), "s:0")


def shown(bundle: Any, *inputs: Latents | ConnectedInput | str) -> list[Any]:
    """The prompt with every run of rows as (value, n), texts as they are; empty rows left out."""
    fed = prompt_of(bundle, inputs)
    return [one[0] if isinstance(one, list) else (float(np.asarray(one)[0, 0]), len(one)) for one in fed if len(one)]


@pytest.fixture
def bundle() -> Any:
    return Bundle()


def test_prompt_spoken_words_drop_the_sound_beside_them(bundle: Any) -> None:
    assert shown(bundle, latents("audio", 2), latents("sound")) == [(1, 2), "END"]


def test_prompt_sound_without_words_gets_the_default_question(bundle: Any) -> None:
    assert shown(bundle, latents("audio", 0), latents("sound")) == [(2, 1), "What is this sound?", "END"]


def test_prompt_typed_request_keeps_words_and_sound_as_its_subject(bundle: Any) -> None:
    said = shown(bundle, latents("audio", 2), latents("sound"), "Who speaks?")
    assert said == [(1, 2), (7, 3), (2, 1), "Who speaks?", "END"]


def test_prompt_sound_connector_gets_the_speech_latents_of_its_window(bundle: Any) -> None:
    speech = latents("audio", 2)
    shown(bundle, speech, latents("sound"), latents("sound"), latents("image"), latents("sound"))
    assert bundle.connectors["sound"].companions == [speech, None, None]
    shown(bundle, speech, latents("image"))
    assert bundle.connectors["image"].companions == [None, None]


def test_prompt_picture_gives_the_question_before_sound_does(bundle: Any) -> None:
    said = shown(bundle, latents("sound"), latents("image"))
    assert said == [(2, 1), (3, 1), "What is in view?", "END"]


class TextConnector(Connector):
    """Takes words for a question about text where it is told so; notes their rows."""

    def __init__(self, *, is_about_text: bool) -> None:
        super().__init__(5)
        self.is_about, self.asked = is_about_text, list[Float32Array]()

    def is_about_text(self, rows: Float32Array) -> bool:
        self.asked.append(rows)
        return self.is_about


@pytest.mark.parametrize(("is_about_text", "n_image_rows"), [(True, 0), (False, 3)])
def test_prompt_question_about_text_leaves_the_rows_of_the_view_out(
    bundle: Any, is_about_text: bool, n_image_rows: int
) -> None:
    bundle.connectors["text"] = bundle.text_connector = TextConnector(is_about_text=is_about_text)
    bundle.backbone.token_rows = lambda ids: np.full((len(ids), N_EMBD), 8, np.float32)
    seen = [(3, 3)] if n_image_rows else []
    spoken = shown(bundle, latents("image", 3), latents("text", 2), latents("audio", 4), latents("sound"))
    assert spoken == [*seen, (5, 2), (1, 4), "END"]
    typed = shown(bundle, latents("image", 3), latents("text", 2), "How much is it?")
    assert typed == [*seen, (5, 2), "How much is it?", "END"]
    assert [float(rows.mean()) for rows in bundle.text_connector.asked] == [1, 8]


def test_prompt_view_with_text_and_no_question_is_asked_about_the_view(bundle: Any) -> None:
    bundle.connectors["text"] = bundle.text_connector = TextConnector(is_about_text=True)
    assert shown(bundle, latents("image"), latents("text")) == [(3, 1), (5, 1), "What is in view?", "END"]


def test_prompt_of_nothing_asks_about_sound(bundle: Any) -> None:
    assert shown(bundle) == ["What is this sound?", "END"]
    assert question_about(frozenset()) == "What is this sound?"


def test_prompt_connected_input_is_not_connected_again(bundle: Any) -> None:
    rows = np.full((5, N_EMBD), 9, np.float32)
    assert shown(bundle, ConnectedInput(latents("audio", 2), rows), latents("sound")) == [(9, 5), "END"]
    assert bundle.connectors["audio"].companions == []


def test_prompt_state_copy_is_not_changed_by_the_original(bundle: Any) -> None:
    """The service keeps copies to roll back to."""
    state = PromptState()
    copy = replace(state)
    connect(bundle, latents("image"), state)
    assert (state.modalities, copy.modalities) == ({"image"}, frozenset())


def test_prompt_unknown_modality_is_refused_with_those_that_are_known(bundle: Any) -> None:
    with pytest.raises(InputError, match=f"no modality 'smell'; known: {', '.join(MODALITIES)}"):
        connect(bundle, latents("smell"), PromptState())


def test_prompt_modality_not_in_the_bundle_is_refused_with_those_in_it(bundle: Any) -> None:
    del bundle.connectors["radar"], bundle.connectors["image"]
    with pytest.raises(InputError, match="this bundle has no modality 'image'; it has: audio, sound"):
        connect(bundle, latents("image"), PromptState())


def test_prompt_additional_modality_takes_one_registry_entry(bundle: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = ModalityEntry(lambda path, *, n_threads: None, False, "subject", MemoryPolicy(), "How far is it?")  # type: ignore[arg-type, return-value]
    monkeypatch.setattr(modalities, "MODALITIES", {"radar": entry, **MODALITIES})
    assert shown(bundle, latents("radar", 2)) == [(4, 2), "How far is it?", "END"]
    assert shown(bundle, latents("audio", 2), latents("sound"), latents("radar")) == [(1, 2), (4, 1), "END"]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("What is it?", [(3, 1), (6, 1), "What is it?", "END"]),
        ("Where is it?", [(5, 1), (6, 1), "Where is it?", "END"]),
        ("What does it say?", [(6, 1), "What does it say?", "END"]),
        (None, [(3, 1), (6, 1), "What is in view?", "END"]),
    ],
)
def test_prompt_of_a_picture_holds_what_is_asked_about(bundle: Any, asked: str | None, expected: list[Any]) -> None:
    bundle.connectors |= {"things": Connector(5), "text": Connector(6)}
    bundle.backbone.token_rows = lambda ids: np.full((1, N_EMBD), len(ids[0]), np.float32)
    bundle.text_connector = SimpleNamespace(is_about_text=lambda rows: rows[0, 0] == len("What does it say?"))
    bundle.things_connector = SimpleNamespace(is_about_things=lambda rows: rows[0, 0] == len("Where is it?"))
    given = [latents("things"), latents("image"), latents("text"), *([asked] if asked else [])]
    assert shown(bundle, *given) == expected


def test_words_of_a_turn_stand_apart_from_its_picture(bundle: Any) -> None:
    view, words = view_and_words(bundle, [latents("image", 2), latents("audio", 3), latents("sound")])
    assert [len(part) for part in view] == [2]
    assert [len(part) for part in words] == [3, 0]
    view, words = view_and_words(bundle, [latents("audio", 3), latents("sound")])
    assert (view, [len(part) for part in words]) == ([], [3, 0])
