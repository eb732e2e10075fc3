"""What cases share: the command lines as a user starts them, and the pocket bundle, opened once."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import subprocess
import sys
from pathlib import Path

from glasses.errors import GlassesError
from glasses.runtime.bundle import LoadedBundle, open_bundle

ROOT = Path(__file__).parents[2]
SPEECH = ROOT / "models" / "eval" / "speech"
PICTURES = ROOT / "models" / "eval" / "pictures"
FRANCE = SPEECH / "question-090.ogg"  # "What is the capital of France?"
PENGUIN = PICTURES / "penguin.jpg"


@functools.cache
def bundle() -> LoadedBundle:
    """The pocket bundle, one thread; open until the process ends."""
    return open_bundle(n_threads=1)


def command(
    program: str, *argv: str | Path, folder: Path | None = None, timeout_s: float = 120, **environment: str | None
) -> str:
    """`rc N`, then stdout and stderr, of `glasses` or `quantize` as a process of its own. None unsets a variable."""
    merged = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    done = subprocess.run(
        [sys.executable, "-m", program, *map(str, argv)],
        cwd=folder,
        env={name: value for name, value in merged.items() if value is not None},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="backslashreplace",
        timeout=timeout_s,
        check=False,
    )
    return f"rc {done.returncode}\n{done.stdout}{done.stderr}"


def in_process(*argv: str | Path) -> str:
    """The same of `glasses` in this process: quicker, where its start is not what a case is about."""
    from glasses.__main__ import main  # noqa: PLC0415  # what it imports is only needed here

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code: object = main([str(word) for word in argv])
        except SystemExit as ended:  # argparse
            code = ended.code
    return f"rc {code}\n{out.getvalue()}{err.getvalue()}"


def refusal(error: GlassesError) -> str:
    """How an error of ours reads where a user sees it."""
    return f"refused: {error}"
