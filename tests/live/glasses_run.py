"""Runs `glasses run --json` as a process, in a virtual room or with glasses over a link, and reads its events."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from glasses.evaluation.bench.virtual_room import Room

PATIENCE_S = 90.0  # of a test for one event, on a machine that also does other things


class GlassesRun:
    """A running `glasses run --json`; `events` holds the JSON lines it has printed so far."""

    def __init__(
        self, room: Room | None, *options: str, under: Sequence[str] = (), env: Mapping[str, str] | None = None
    ) -> None:
        """`under`: a command that starts it, such as strace. `env`: added to its environment."""
        self._process = subprocess.Popen(
            [*under, sys.executable, "-m", "glasses", "run", "--json", *options],
            env={**os.environ, **(room.env if room else {}), **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.events: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.wait_for("ready")

    @property
    def pid(self) -> int:
        """The process id of `under` where that is given, else of `glasses run`."""
        return self._process.pid

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.events.append(json.loads(line))

    def wait_for(self, what: str, *, after: int = 0, **fields: Any) -> dict[str, Any]:
        """Returns the first event of this kind with these fields from index `after` on; fails the test without one."""
        until_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < until_s:
            for event in self.events[after:]:
                if event["what"] == what and fields.items() <= event.items():
                    return event
            assert self._process.poll() is None, f"glasses run ended with {self._process.poll()}"
            time.sleep(0.02)
        raise AssertionError(f"no {what!r} in {PATIENCE_S} s; there were {[event['what'] for event in self.events]}")

    def comes_back(self, *, after: int) -> bool:
        """Waits until the sound devices lost since event `after` are back. False: the process ended instead."""
        until_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < until_s and self._process.poll() is None:
            if any(event.get("state") == "reconnected" and not event["why"] for event in self.events[after:]):
                return True
            time.sleep(0.02)
        assert self._process.poll() is not None, f"the devices are not back after {PATIENCE_S} s"
        return False

    def stop(self) -> int:
        """Sends SIGTERM and returns the exit code."""
        self._process.terminate()
        code = self._process.wait(PATIENCE_S)
        self._end()
        return code

    def _end(self) -> None:
        self._reader.join(5)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._end()


def lines_of(folder: Path, kind: str) -> list[dict[str, str]]:
    """The index entries of one set of the held-out speech."""
    items = [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]
    return [item for item in items if item["set"] == kind]
