"""The fixture of the tests of remote glasses."""

from tests.emulator.remote_world import world

__all__ = ["world"]
