"""The one error of the wire to the glasses.

`glasses` turns it into its own family where it meets this package (glasses/devices/link_errors.py).
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why the link or a device failed, stable across releases."""

    BAD_INPUT = "bad_input"  # the caller's arguments
    TOO_LARGE = "too_large"  # over a cap that exists to protect memory or the peer
    NOT_FOUND = "not_found"  # no such port, peripheral or service
    NOT_AVAILABLE = "not_available"  # this machine has no radio, driver or library for it
    NOT_SUPPORTED = "not_supported"  # the device cannot do that
    CLOSED = "closed"  # the link is down, or went down while something waited for it
    TIMEOUT = "timeout"  # the peer did not answer in time
    REFUSED = "refused"  # the peer answered no
    BUSY = "busy"  # the same thing is already under way
    CORRUPT = "corrupt"  # the peer sent what its protocol does not allow
    WRONG_PROTOCOL = "wrong_protocol"  # the peer speaks another version
    NOT_AUTHENTIC = "not_authentic"  # wrong key, forged or replayed


class LinkError(Exception):
    """What was wrong, with which device, what to do; `reason` is for programs."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
