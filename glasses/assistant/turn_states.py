"""The states of a conversation, what moves it from one to another, and how long a state lasts at most."""

from __future__ import annotations

from enum import StrEnum

from glasses.events import TurnEvent

LONGEST_MS = 15_000  # the longest turn: whatever is going on, it is answered then
CONFIRM_MS = 450
REPLY_MS = 60_000  # the longest reply


class TurnState(StrEnum):
    """Where the conversation stands."""

    IDLE = "idle"
    LISTENING = "listening"  # a turn is open, and the user speaks or has not begun
    PAUSED = "paused"  # a turn is open, and the user has stopped speaking
    REPLYING = "replying"  # a reply is made or said
    BARGE_IN = "barge_in"  # a voice over the reply, not yet sure that it is an interruption


class Trigger(StrEnum):
    """What moves the state on."""

    ACTIVATED = "activated"  # by button, by the wake word, or by speech where speech is enough
    SPEECH = "speech"
    PAUSE = "pause"  # PAUSE_MS of silence
    DONE = "done"  # enough silence, or the turn's cap
    CONFIRMED = "confirmed"  # the voice over the reply goes on
    FADED = "faded"  # it does not
    REPLY_FINISHED = "reply_finished"
    ANNOUNCED = "announced"  # something is said that nobody asked for now
    DISMISSED = "dismissed"  # the turn is not addressed to the assistant
    DROPPED = "dropped"  # muted
    TIMED_OUT = "timed_out"


_S, _T, _E = TurnState, Trigger, TurnEvent
TRANSITIONS: dict[tuple[TurnState, Trigger], tuple[TurnState, TurnEvent | None]] = {
    (_S.IDLE, _T.ACTIVATED): (_S.LISTENING, _E.TURN_STARTED),
    (_S.IDLE, _T.ANNOUNCED): (_S.REPLYING, None),
    (_S.LISTENING, _T.PAUSE): (_S.PAUSED, _E.SILENCE_STARTED),
    (_S.LISTENING, _T.DONE): (_S.REPLYING, _E.TURN_COMPLETED),
    (_S.LISTENING, _T.DROPPED): (_S.IDLE, None),
    (_S.LISTENING, _T.DISMISSED): (_S.IDLE, None),
    (_S.LISTENING, _T.TIMED_OUT): (_S.IDLE, _E.TIMED_OUT),
    (_S.PAUSED, _T.SPEECH): (_S.LISTENING, _E.SPEECH_RESUMED),
    (_S.PAUSED, _T.DONE): (_S.REPLYING, _E.TURN_COMPLETED),
    (_S.PAUSED, _T.DROPPED): (_S.IDLE, None),
    (_S.PAUSED, _T.DISMISSED): (_S.IDLE, None),
    (_S.PAUSED, _T.TIMED_OUT): (_S.IDLE, _E.TIMED_OUT),
    (_S.REPLYING, _T.ACTIVATED): (_S.LISTENING, _E.INTERRUPTED),
    (_S.REPLYING, _T.SPEECH): (_S.BARGE_IN, _E.BARGE_IN_PENDING),
    (_S.REPLYING, _T.REPLY_FINISHED): (_S.IDLE, None),
    (_S.REPLYING, _T.DISMISSED): (_S.IDLE, None),
    (_S.REPLYING, _T.TIMED_OUT): (_S.IDLE, _E.TIMED_OUT),
    (_S.BARGE_IN, _T.ACTIVATED): (_S.LISTENING, _E.INTERRUPTED),
    (_S.BARGE_IN, _T.CONFIRMED): (_S.LISTENING, _E.INTERRUPTED),
    (_S.BARGE_IN, _T.FADED): (_S.REPLYING, _E.BARGE_IN_REJECTED),
    (_S.BARGE_IN, _T.REPLY_FINISHED): (_S.IDLE, None),
    (_S.BARGE_IN, _T.DISMISSED): (_S.IDLE, None),
    (_S.BARGE_IN, _T.TIMED_OUT): (_S.IDLE, _E.TIMED_OUT),
}
# How long a state lasts at most, and what ends it where the sound itself has stopped.
CAPS: dict[TurnState, tuple[int, Trigger]] = {
    TurnState.LISTENING: (LONGEST_MS, Trigger.TIMED_OUT),
    TurnState.PAUSED: (LONGEST_MS, Trigger.TIMED_OUT),
    TurnState.REPLYING: (REPLY_MS, Trigger.TIMED_OUT),
    TurnState.BARGE_IN: (CONFIRM_MS, Trigger.FADED),
}
