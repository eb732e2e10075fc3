"""The one error family of the runtime.

Every error carries a `reason` a program can branch on and a message a person can act on: what was
wrong, where, what to do. The command line prints the message and exits with `exit_code`.
"""

from __future__ import annotations

import errno
from enum import StrEnum

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)  # of an OSError: a full disk, a used up quota


class Reason(StrEnum):
    """Why an operation failed, stable across releases."""

    BAD_INPUT = "bad_input"  # the caller's data or arguments
    TOO_LARGE = "too_large"  # over a cap that exists to protect memory or time
    NOT_FOUND = "not_found"  # absent, as opposed to broken
    CORRUPT = "corrupt"  # present, but not what it claims to be
    NO_NETWORK = "no_network"
    NO_SPACE = "no_space"
    NOT_INSTALLED = "not_installed"  # an optional package or system library is missing
    WRONG_SPACE = "wrong_space"  # latents of another encoder
    CONTEXT_FULL = "context_full"
    ABORTED = "aborted"
    REFUSED = "refused"  # not authenticated, or not allowed here
    BUSY = "busy"  # all sessions or places in the queue are taken; try again later
    TIMEOUT = "timeout"
    UNSUPPORTED = "unsupported"  # this backend cannot do it; its description says what it can
    REPLAYED = "replayed"  # a request that was done already, with other content or too long ago
    INTERNAL = "internal"  # a library failed in a way we have no name for


class GlassesError(Exception):
    """Base of every error this package raises on purpose."""

    exit_code = 2

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class InputError(GlassesError):
    """A file, text or option given by the user cannot be used."""


class SensorError(GlassesError):
    """A camera, microphone or other sensor failed."""


class LinkError(GlassesError):
    """The wire or radio to the glasses failed."""


class ModelError(GlassesError):
    """A model file, encoder, connector, backbone or voice failed."""


class RemoteError(GlassesError):
    """The remote latent service failed or refused."""
