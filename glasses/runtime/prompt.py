"""Turns the inputs of a turn into what the backbone is fed: rows of latents and token ids, in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from glasses.backbone.inputs import ModelInput
from glasses.backbone.llama import LlamaBackbone
from glasses.errors import InputError, Reason
from glasses.runtime.bundle import LoadedBundle
from glasses.runtime.modalities import entry_of, question_about
from glasses.types import Float32Array, Latents, Modality


@dataclass(frozen=True, slots=True, eq=False)
class ConnectedInput:
    """Latents of a turn together with the rows (n, n_embd) that their connector has made of them already.

    Connecting speech takes as long as encoding it, so whoever has the rows should not have it done again.
    """

    latents: Latents
    rows: Float32Array


@dataclass(slots=True)
class PromptState:
    """What the inputs of a turn have been so far: it decides where the next one stands and whether a question is added.

    `has_question`: spoken or typed words came. `is_typed`: typed words came. `modalities`: of the latents that came.
    `companion` and `n_spoken`: latents of the input before this one, where they were speech, and how many rows were
    made of it. `task_prefix_rows` and `ambient_rows` are used if a typed request follows spoken words: rows that stand
    before the request, and rows of what else was heard beside the words. `said_rows`: those of all spoken words.
    """

    has_question: bool = False
    is_typed: bool = False
    modalities: frozenset[Modality] = frozenset()
    companion: Latents | None = None
    n_spoken: int = 0
    task_prefix_rows: Float32Array | None = None
    ambient_rows: tuple[Float32Array, ...] = ()
    said_rows: tuple[Float32Array, ...] = ()

    def begin(self) -> None:
        """Another turn begins: nothing has come yet."""
        self.__init__()

    def begin_text(self) -> list[Float32Array]:
        """Notes that text comes next; returns the rows to put before it."""
        prefix = [] if self.task_prefix_rows is None else [self.task_prefix_rows]
        before = [*prefix, *self.ambient_rows]
        self.task_prefix_rows, self.ambient_rows = None, ()
        self.has_question = self.is_typed = True
        return before


def connect(loaded: LoadedBundle, given: Latents | ConnectedInput, state: PromptState) -> Float32Array:
    """One input of a turn as rows float32 (n, n_embd), n may be 0; notes in `state` what it was.

    Each window of sound yields two inputs: latents of the speech in it, then of the other sounds. If the wearer spoke,
    the speech is the request and the rows of the other sounds are dropped; if the request was typed, both are kept as
    its subject. Raises ModelError(WRONG_SPACE), InputError(BAD_INPUT) for a modality that is not known, or not to this
    bundle.
    """
    latents = given.latents if isinstance(given, ConnectedInput) else given
    entry = entry_of(latents.modality)
    if latents.modality not in loaded.connectors:
        known = ", ".join(loaded.connectors)
        raise InputError(Reason.BAD_INPUT, f"this bundle has no modality {latents.modality!r}; it has: {known}")
    companion, n_spoken = state.companion, state.n_spoken
    state.companion, state.n_spoken = None, 0
    state.modalities |= {latents.modality}
    if isinstance(given, ConnectedInput):
        rows = given.rows
    else:
        of_same_window = companion if entry.placement == "companion" else None
        rows = loaded.connectors[latents.modality].apply(latents, of_same_window)
    if entry.placement == "request":
        return _request(loaded, latents, rows, state)
    if entry.placement == "companion" and n_spoken and not state.is_typed:
        state.ambient_rows = (*state.ambient_rows, rows)
        return rows[:0]
    return rows


def _request(loaded: LoadedBundle, latents: Latents, rows: Float32Array, state: PromptState) -> Float32Array:
    """The rows of speech with those around them; `rows` is empty where nobody spoke."""
    state.companion, state.n_spoken = latents, len(rows)
    state.has_question = state.has_question or len(rows) > 0
    state.said_rows = (*state.said_rows, rows)
    parts = [loaded.ambience.apply_beside_words(latents), rows] if loaded.ambience else [rows]
    if len(rows) and state.is_typed:
        parts.append(loaded.speech_connector.task_prefix_rows)
    elif len(rows):
        state.task_prefix_rows = loaded.speech_connector.task_prefix_rows
    return np.concatenate(parts)


def prompt_of(
    loaded: LoadedBundle,
    inputs: Sequence[Latents | ConnectedInput | str],
    *,
    on_question: Callable[[str], None] = lambda question: None,
) -> list[ModelInput]:
    """Everything after the system prompt: what the user says (see `request_of`), and the suffix."""
    return [*request_of(loaded, inputs, on_question=on_question), suffix_of(loaded.backbone)]


def request_of(
    loaded: LoadedBundle,
    inputs: Sequence[Latents | ConnectedInput | str],
    *,
    on_question: Callable[[str], None] = lambda question: None,
) -> list[ModelInput]:
    """What the user says in a turn: its inputs in order, and a question where none was put: `on_question` is told.

    Of a picture goes in what the words ask about, as `_left_out` says.
    """
    view, words = view_and_words(loaded, inputs, on_question=on_question)
    return [*view, *words]


def view_and_words(
    loaded: LoadedBundle,
    inputs: Sequence[Latents | ConnectedInput | str],
    *,
    on_question: Callable[[str], None] = lambda question: None,
) -> tuple[list[ModelInput], list[ModelInput]]:
    """The parts of `request_of`, up to its last picture and after that.

    Whatever looks for words in a turn's rows was never shown pictures: it gets those after.
    """
    out: list[ModelInput] = []
    seen, typed = dict[int, Modality](), list[list[int]]()
    state = PromptState()
    for one in inputs:
        if isinstance(one, str):
            typed.append(loaded.backbone.tokenize(one, special=False))
            out += [*state.begin_text(), typed[-1]]
            continue
        if entry_of(_modality(one)).encodes_pictures:
            seen[len(out)] = _modality(one)
        out.append(connect(loaded, one, state))
    if not state.has_question:
        on_question(question_about(state.modalities))
    left_out = set[Modality]()
    if len({*seen.values()}) > 1:
        said = [*state.said_rows, *(loaded.backbone.token_rows(ids) for ids in typed)]
        left_out = _left_out(loaded, state.modalities, np.concatenate(said) if said else None)
    last = max(seen, default=-1)
    view = [part for i, part in enumerate(out[: last + 1]) if seen.get(i) not in left_out]
    return view, [*out[last + 1 :], *question_of(loaded, state)]


def _left_out(loaded: LoadedBundle, given: frozenset[Modality], said: Float32Array | None) -> set[Modality]:
    """What of a picture is beside the point of the request, whose rows are `said`.

    Where it asks for something written, all but the text: beside rows that show an animal a small backbone answers with
    the animal (of 35 questions about signs, pocket answers 4 rightly with those rows and 20 without). Where it asks
    for things and their places, the view, for the same reason; else the things.
    """
    asks = said is not None
    if asks and "text" in given and loaded.text_connector and loaded.text_connector.is_about_text(said):
        return {"image", "things"}
    if asks and "things" in given and loaded.things_connector and loaded.things_connector.is_about_things(said):
        return {"image"}
    return {"things"}


def prepare_questions(loaded: LoadedBundle) -> None:
    """Fits now what tells questions about a picture apart: some 50 ms, which the first of them would wait for."""
    about_neither = loaded.backbone.token_rows(loaded.backbone.tokenize("What is this?", special=False))
    _left_out(loaded, frozenset(loaded.connectors), about_neither)


def _modality(given: Latents | ConnectedInput) -> Modality:
    return given.latents.modality if isinstance(given, ConnectedInput) else given.modality


def rows_of(backbone: LlamaBackbone, parts: Sequence[ModelInput]) -> Float32Array:
    """What is fed as one array of rows float32 (n, n_embd), tokens as their embeddings."""
    rows = [part if isinstance(part, np.ndarray) else backbone.token_rows(part) for part in parts]
    return np.concatenate(rows) if rows else np.zeros((0, backbone.n_embd), np.float32)


def ending(loaded: LoadedBundle, state: PromptState) -> list[ModelInput]:
    """What stands between a turn's inputs and its answer: a question where none was put, and the suffix."""
    return [*question_of(loaded, state), suffix_of(loaded.backbone)]


def suffix_of(backbone: LlamaBackbone) -> list[int]:
    """The tokens that end the user's turn and begin the answer: the last thing in the cache before an answer."""
    return backbone.tokenize(backbone.prompt_format.suffix)


def question_of(loaded: LoadedBundle, state: PromptState) -> list[ModelInput]:
    """The question about a turn's pictures and sounds, where none was put; else nothing."""
    return [] if state.has_question else [loaded.backbone.tokenize(question_about(state.modalities))]
