"""Virtual rooms on PulseAudio, and the folder of clips to play in them (make test-live)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from glasses.evaluation.bench.virtual_room import Room

SPEECH = Path(__file__).parents[2] / "models/eval/speech"


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    """A room in which the microphone does not hear the speaker."""
    with Room(tmp_path / "room") as opened:
        yield opened


@pytest.fixture
def echoing_room(tmp_path: Path) -> Iterator[Room]:
    """A room in which the microphone hears the speaker at -6 dB."""
    with Room(tmp_path / "room", echo_db=-6) as opened:
        yield opened
