"""Gives one reader a million bad inputs, by the coverage of the code they reach where atheris is installed.

    python -m tests.fuzz.fuzz_readers --target recording --runs 1000000
    python -m tests.fuzz.fuzz_readers --list

The corpus lies in --corpus, outside the tree (default: $XDG_CACHE_HOME/glasses-fuzz), and is gone on with. There, under
NAME/findings, lies each fault that was found, once, with its input. The exit code is 1 where there is one. A crash of
native code, and an input that takes over 20 s, end the process: atheris leaves the input beside the findings.

Without atheris (pip install atheris; Python up to 3.13) seeds are changed at random.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import importlib.util
import itertools
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fuzz.mutator import mutated

INSTRUMENTED = ["glasses", "firmware_bridge", "quantize", "mcap", "gguf"]
PROGRESS_S = 10.0


class Run:
    """Counts what was tried, keeps what was found."""

    def __init__(self, name: str, folder: Path, runs: int) -> None:
        from tests.fuzz.target import tried  # noqa: PLC0415  # after the instrumentation
        from tests.fuzz.targets import TARGETS  # noqa: PLC0415

        self.name, self._target, self._tried = name, TARGETS[name], tried
        self.findings = folder / "findings"
        self.findings.mkdir(parents=True, exist_ok=True)
        self._total = folder / "runs.txt"
        self._before = int(self._total.read_text() or 0) if self._total.exists() else 0
        self._runs, self.n = runs, 0
        self._began_s = self._shown_s = time.monotonic()

    @property
    def seeds(self) -> list[bytes]:
        return self._target.seeds()

    @property
    def max_bytes(self) -> int:
        return self._target.max_bytes

    def one(self, data: bytes) -> None:
        """Tries an input."""
        finding = self._tried(self._target, data)
        self.n += 1
        if finding is not None:
            path = self.findings / hashlib.sha256(finding.signature.encode()).hexdigest()[:12]
            if not path.exists() or len(data) < path.stat().st_size:
                path.write_bytes(data)
                path.with_suffix(".txt").write_text(f"{finding.signature}\n{finding.report}")
                print(f"{self.name}: FOUND {finding.signature} ({len(data)} bytes): {path}", flush=True)
        if time.monotonic() - self._shown_s > PROGRESS_S or self.n >= self._runs:
            self._show()

    def _show(self) -> None:
        self._shown_s = time.monotonic()
        part = self._total.with_suffix(".part")  # native code may end the process at any moment
        part.write_text(str(self._before + self.n))
        part.replace(self._total)
        per_s = self.n / (self._shown_s - self._began_s)
        print(f"{self.name}: {self.n:,} of {self._runs:,} runs, {per_s:,.0f} a second", flush=True)


def default_folder() -> Path:
    """Where corpora are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "glasses-fuzz"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", help="the reader; --list names all")
    parser.add_argument("--list", action="store_true", help="print the names of all readers")
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--corpus", type=Path, default=default_folder())
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--random", action="store_true", help="without atheris, even if it is installed")
    args = parser.parse_args(argv)
    is_guided = not args.random and not args.list and importlib.util.find_spec("atheris") is not None
    start = _instrumented() if is_guided else None
    from tests.fuzz.targets import TARGETS  # noqa: PLC0415  # after the instrumentation

    if args.list or args.target not in TARGETS:
        print("\n".join(TARGETS))
        return 0 if args.list else 2
    folder = args.corpus / args.target
    folder.mkdir(parents=True, exist_ok=True)
    run = Run(args.target, folder, args.runs)
    if start is not None:
        start(run, folder, args.seed)  # does not return
    for data in itertools.islice(mutated(run.seeds, run.max_bytes, args.seed), args.runs):
        run.one(data)
    return int(any(run.findings.iterdir()))


def _instrumented() -> Callable[[Run, Path, int], None]:
    """Has what is imported from now on count its coverage; returns what starts the fuzzer."""
    atheris: Any = importlib.import_module("atheris")  # only long runs need it

    with atheris.instrument_imports(include=INSTRUMENTED):
        import tests.fuzz.targets  # noqa: F401, PLC0415

    def start(run: Run, folder: Path, seed: int) -> None:
        corpus = folder / "corpus"
        corpus.mkdir(exist_ok=True)
        for data in run.seeds:
            (corpus / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data[: run.max_bytes])
        options = [f"-runs={run._runs}", f"-seed={seed}", f"-max_len={run.max_bytes}", "-timeout=20"]
        options += ["-rss_limit_mb=0", f"-artifact_prefix={run.findings}/", "-verbosity=0"]
        atheris.Setup([sys.argv[0], *options, str(corpus)], run.one)
        atheris.Fuzz()

    return start


if __name__ == "__main__":
    sys.exit(main())
