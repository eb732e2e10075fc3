"""What other agents ask of the running glasses, and what they get: one JSON line each on the agents' socket."""

from __future__ import annotations

from typing import Literal

import msgspec

Act = Literal["look", "listen", "say", "show", "recall"]
ACTS: tuple[Act, ...] = ("look", "listen", "say", "show", "recall")
MAX_REQUEST_BYTES = 16 * 1024
MAX_ANSWER_BYTES = 4 << 20
MAX_TEXT = 600  # characters that an agent says or shows: 40 s of speech
MAX_LISTEN_S = 10.0


class AgentRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`act` for `agent`, a name to tell the wearer. `text`: to say or show, or what to recall; `seconds` to listen."""

    act: Act
    agent: str = ""
    text: str = ""
    seconds: float = 3.0


class AgentAnswer(msgspec.Struct, frozen=True):
    """`text`, or `data` of a media type; or an `error` in words and its `reason` (glasses.errors.Reason)."""

    text: str = ""
    data: bytes = b""  # base64 in JSON
    media_type: str = ""
    error: str = ""
    reason: str = ""
