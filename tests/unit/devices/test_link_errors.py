"""Errors of firmware_bridge as errors of glasses."""

from __future__ import annotations

import pytest

from firmware_bridge import errors as bridge
from glasses.devices.link_errors import as_runtime_error
from glasses.errors import InputError, LinkError, Reason


@pytest.mark.parametrize("reason", list(bridge.Reason))
def test_as_runtime_error_every_reason_has_one(reason: bridge.Reason) -> None:
    error = as_runtime_error(bridge.LinkError(reason, "what to do"))
    assert str(error) == "what to do"
    assert isinstance(error, InputError) == (reason is bridge.Reason.BAD_INPUT)
    assert isinstance(error, InputError | LinkError)


def test_as_runtime_error_forged_messages_are_refused() -> None:
    assert as_runtime_error(bridge.LinkError(bridge.Reason.NOT_AUTHENTIC, "")).reason is Reason.REFUSED
