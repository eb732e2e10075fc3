"""Sends bad input to a real server process: Schemathesis generates requests from the schema that it publishes.

    python -m tests.fuzz.fuzz_service --examples 1000          # as long as you like; `make fuzz-service`

Needs the extra `fuzz`. Every answer is checked against the schema, a status of 500 is a failure; at the end the
service has to be alive, to answer, and to be no larger than before by more than `MAX_GROWTH_BYTES`.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
import psutil

ROOT = Path(__file__).parents[2]
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
# What eight sessions of 1,024 rows and messages of 16 MB may take at once; a leak of one message a request is far over.
MAX_GROWTH_BYTES = 300 << 20


@dataclass(frozen=True, slots=True)
class Outcome:
    """`output` is Schemathesis's report, `growth_bytes` the largest resident memory above that before the run."""

    exit_code: int
    output: str
    growth_bytes: int
    answers_after: bool


@contextmanager
def running(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and its http:// address."""
    command = [sys.executable, "-m", "tests.fuzz.service_process", str(folder)]
    env = _environment()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=env) as process:
        try:
            assert process.stdout
            yield process, process.stdout.readline().strip().replace("ws://", "http://")
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def fuzz(folder: Path, *, examples: int, phases: str = "fuzzing") -> Outcome:
    """One run against a fresh process; the same requests every time."""
    with running(folder) as (process, url):
        watched, stop, largest = psutil.Process(process.pid), threading.Event(), [0]
        ask(url)  # what is loaded at the first turn is not growth
        before = watched.memory_info().rss

        def watch() -> None:
            while not stop.wait(0.1):
                largest[0] = max(largest[0], watched.memory_info().rss)

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            ran = subprocess.run(
                _command(url, examples, phases),
                cwd=ROOT,
                env=_environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
        finally:
            stop.set()
            thread.join()
        alive = process.poll() is None and ask(url)
        return Outcome(ran.returncode, ran.stdout, max(0, largest[0] - before), alive)


def ask(url: str) -> bool:
    """Whether a plain question is answered. Retries: the last requests may still hold sessions."""
    body = {"messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 4}
    for _ in range(60):
        answer = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60)
        if answer.status_code != 429:
            return answer.status_code == 200
        time.sleep(1)
    return False


def _command(url: str, examples: int, phases: str) -> list[str]:
    return [
        sys.executable, "-m", "schemathesis.cli", "run", f"{url}/v1/openapi.json", "--checks", CHECKS, "--mode", "all",
        "--phases", phases, "--max-examples", str(examples), "--workers", "2",
        "--generation-deterministic", "--request-timeout", "60", "--no-color",
        "--suppress-health-check", "all",
    ]  # fmt: skip


def _environment() -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, "SCHEMATHESIS_HOOKS": "tests.fuzz.service_hooks"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=500, help="an operation and kind of data (default: 500)")
    parser.add_argument("--json", action="store_true", help="the outcome as JSON, without Schemathesis's report")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = fuzz(Path(folder), examples=args.examples, phases="coverage,fuzzing")
    if args.json:
        print(json.dumps({k: v for k, v in asdict(outcome).items() if k != "output"}))
    else:
        print(outcome.output)
        print(f"grew by {outcome.growth_bytes / 1e6:.0f} MB at most; answers afterwards: {outcome.answers_after}")
    sys.exit(bool(outcome.exit_code) or not outcome.answers_after or outcome.growth_bytes > MAX_GROWTH_BYTES)


if __name__ == "__main__":
    main()
