"""The tunable numbers of the listening half of the pipeline."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ListenerConfig:
    """When sound belongs to a turn, and when drafts of a turn are made. Times are in ms."""

    # Which sound and which picture belong to a turn.
    lead_ms: int = 200  # people begin to speak while they press: this much before the activation is speech of the turn
    before_ms: int = 4000  # of sound before a button press that may be what the turn is about
    talk_steps: int = 5  # 160 ms of speech without a break is talk, no sound; 2 of 120 held-out other sounds reach that
    after_talk_ms: int = 200  # still belong to the talk before
    frame_max_age_ms: int = 2000  # of the last picture before an activation, where none comes after it
    tail_ms: int = 96  # kept after speech: the last consonant is quieter than the voice detector hears
    min_sound_ms: int = 100  # a turn is filled up with silence to this: the microphone came back within it

    # When drafts are made.
    first_draft_ms: int = 500  # of speech before there is anything to prepare
    draft_every_ms: int = 300
    draft_cost_ratio: int = 3  # the next draft waits this many times what the last took: listening must keep up
    max_speculative_draft_ms: float = 100  # a draft that takes no longer is made already at the first quiet moment
    vad_lag_ms: int = 128  # the voice detector reports silence no later than this

    # What a draft waits for things and text in view: after a second without progress the listener is taken for hung.
    view_wait_ms: float = 500

    # Whether a turn that speech started is answered.
    addressed_probability: float = 0.5  # from here on the speech is taken to be addressed to the assistant
