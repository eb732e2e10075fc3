"""The link's states, the reasons for its changes, its settings and its counters."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Where the link stands."""

    CLOSED = "closed"
    OPENING = "opening"
    GREETING = "greeting"
    KEYING = "keying"
    UP = "up"
    WAITING = "waiting"


class Why(StrEnum):
    """Why it went there."""

    ASKED = "asked"
    OPENED = "opened"  # the transport is there
    GREETED = "greeted"
    TRANSPORT = "transport"  # it could not be opened, or broke
    SILENT = "silent"  # the peer has not been heard for too long
    NO_ANSWER = "no_answer"  # to the greeting
    NO_KEY_ANSWER = "no_key_answer"  # greeted, but the key exchange got no answer: another key?
    PEER_ENDED = "peer_ended"
    WORN_OUT = "worn_out"  # the session's counters are used up
    WRONG_PROTOCOL = "wrong_protocol"
    KEY_NEEDED = "key_needed"  # the device speaks sealed only
    NOT_AUTHENTIC = "not_authentic"
    BAD_ADDRESS = "bad_address"  # what is there is no serial port, or there is no such host
    RETRY = "retry"


@dataclass(frozen=True, slots=True)
class Config:
    """`key` None: an open link. Queue limits are messages a channel holds, sent or not, before `send` says no."""

    key: bytes | None = None
    ping_us: int = 500_000
    silence_us: int = 2_500_000
    greeting_us: int = 2_000_000  # for greeting and key exchange together
    first_wait_us: int = 100_000
    longest_wait_us: int = 400_000
    queue_limits: tuple[int, int, int] = (256, 32, 256)


@dataclass(frozen=True, slots=True)
class Change:
    """A step of the state machine. `dropped`: promises that a restarted peer has made void; `detail` is for people."""

    state: State
    why: Why
    detail: str = ""
    dropped: int = 0


@dataclass(slots=True)
class Counters:
    """Since the link was made; bytes as on the wire."""

    bytes_out: int = 0
    bytes_in: int = 0
    messages_out: int = 0
    messages_in: int = 0
    repeated: int = 0  # data frames sent again
    duplicates: int = 0  # data frames that had come before
    bad_frames: int = 0  # damaged on the way
    forged: int = 0  # not sealed by the peer, replayed, or of another session
    malformed: int = 0  # intact, and yet not what the protocol allows
    sessions: int = 0
