"""The command lines on real machines: no home, full disks, odd terminals, typing errors that cost minutes, proxies."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from glasses.devices.portaudio import SoundDevice, fitting
from glasses.errors import GlassesError
from glasses.model_store import store
from glasses.recording.demo_session import SHIPPED
from glasses.system.process_file import ProcessFile
from tests.wild.case import Case
from tests.wild.world import PENGUIN, ROOT, command, in_process, refusal

DEAD = "127.0.0.1:1"  # where nobody listens
_ONE_LINE = r"^rc 2\n[^\n]+\n$"  # and nothing else


def _ran(*argv: str, **environment: str | None) -> Callable[[Path], str]:
    """`glasses` in an empty folder, as a process of its own; {folder} in a word is that folder."""

    def came(folder: Path) -> str:
        words = [word.replace("{folder}", str(folder)) for word in argv]
        variables: dict[str, Any] = {
            name: value and value.replace("{folder}", str(folder)) for name, value in environment.items()
        }
        return command("glasses", *words, folder=folder, **variables)

    return came


def _called(*argv: str, **environment: str) -> Callable[[Path], str]:
    """The same in this process."""

    def came(folder: Path) -> str:
        variables = {name: value.replace("{folder}", str(folder)) for name, value in environment.items()}
        with mock.patch.dict(os.environ, variables):
            return in_process(*(word.replace("{folder}", str(folder)) for word in argv))

    return came


# 5: a predictable file in a shared folder


def _runtime_file(put: Callable[[Path, Path], object], folder: Path) -> str:
    """A stranger puts something where the process file will be."""
    victim = folder / "victim"
    victim.write_text("precious")
    put(folder / "glasses-run.pid", victim)
    with mock.patch.dict(os.environ, {"RUNTIME_DIRECTORY": "", "XDG_RUNTIME_DIR": str(folder)}):
        try:
            with ProcessFile().published():
                came = "used"
        except GlassesError as error:
            came = refusal(error)
    return f"{came}; the victim holds {victim.read_text()!r}"


# 7: errors that are not ours


def _into_full(_folder: Path) -> str:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "glasses", "models", "list"],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    return f"rc {done.returncode}\n{done.stderr}"


def _without_home(*argv: str) -> Callable[[Path], str]:
    """As a user that the system's list does not have."""

    def came(folder: Path) -> str:
        (folder / "sitecustomize.py").write_text("import pwd\npwd.getpwuid = {}.__getitem__\n")
        unset = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "GLASSES_MODELS"))
        return command("glasses", *argv, folder=folder, PYTHONPATH=f"{folder}:{ROOT}", **unset)

    return came


def _broken_package(folder: Path) -> str:
    (folder / "psutil.py").write_text("raise ImportError('libsomething.so.3: cannot open shared object file')")
    return command("glasses", "ask", "hi", folder=folder, PYTHONPATH=f"{folder}:{ROOT}")


# 21: what is read is not written over


def _over(folder: Path, out: str, source: str = "a.mcap", *, picture: bool = False) -> str:
    """A command that is told to write over what it reads."""
    (folder / "a.mcap").write_bytes(b"precious")
    (folder / "hard.mcap").hardlink_to(folder / "a.mcap")
    (folder / "a.png").write_bytes(PENGUIN.read_bytes())
    (folder / "soft.png").symlink_to("a.png")
    if picture:
        came = in_process("ask", "--image", folder / "a.png", "hi", "--hud", folder / out)
    else:
        came = in_process("replay", folder / source, "--out", folder / out)
    kept = (folder / "a.mcap").read_bytes() == b"precious", (folder / "a.png").read_bytes() == PENGUIN.read_bytes()
    return f"{came}{'kept' if all(kept) else 'lost'}"


# 22: names


def _meant(name: str | None) -> Callable[[Path], str]:
    there = [SoundDevice(i, one, 48_000) for i, one in enumerate(("HDA Intel: 1", "USB 1 Audio", "USB 2", "default"))]
    return lambda _folder: ", ".join(device.name for device in fitting(there, name)) or "none"


# 27: a listing writes


def _written(*commands: tuple[str, ...], filled: bool) -> Callable[[Path], str]:
    def came(folder: Path) -> str:
        home, run = folder / "home", folder / "run"
        run.mkdir()
        home.mkdir()
        if filled:
            for path in store.cache_dir().glob("[0-9a-f]*/*"):
                link = home / ".cache" / "glasses" / "models" / path.parent.name / path.name
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(path)
        before = sorted(home.rglob("*"))
        unset = dict.fromkeys(("GLASSES_MODELS", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"), "")
        with mock.patch.dict(os.environ, {"HOME": str(home), "XDG_RUNTIME_DIR": str(run), **unset}):
            said = [in_process(*words).partition("\n")[0] for words in commands]
        wrote = [str(path.relative_to(home)) for path in sorted(home.rglob("*")) if path not in before]
        return f"{', '.join(said)}; wrote {', '.join(wrote) or 'nothing'}"

    return came


def _without_runtime_folder(folder: Path) -> str:
    """A listing of devices where nothing set $XDG_RUNTIME_DIR, as under cron; libpulse is loaded once a process."""
    (folder / "home").mkdir()
    unset = dict.fromkeys(("XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"))
    said = command("glasses", "devices", HOME=str(folder / "home"), PULSE_RUNTIME_PATH=None, **unset)
    wrote = [path.name for path in sorted((folder / "home").rglob("*"))]
    return f"{said.partition(chr(10))[0]}; wrote {', '.join(wrote) or 'nothing'}"


_KEPT = r"^rc 2\n[^\n]* is what is read here[^\n]*\nkept$"
_SAY = "Repeat the words: caf\u00e9"
_SERVE = ("serve", "--tls-cert", "{folder}/c1", "--tls-key")
_VLLM = ("serve", "--listen", "127.0.0.1:0", "--backend", "vllm", "--vllm")
_TRAIN = ("wake-word", "train", "hey glasses")
CASES = [
    Case(
        5,
        "a link where the runtime file goes",
        r"^refused: .*link.*'precious'",
        lambda folder: _runtime_file(Path.symlink_to, folder),
        is_listed=True,
    ),
    Case(5, "a hard link", r"^refused: .*'precious'", lambda folder: _runtime_file(Path.hardlink_to, folder)),
    Case(5, "a pipe", r"^refused: .*'precious'", lambda folder: _runtime_file(lambda at, _: os.mkfifo(at), folder)),
    Case(6, "serve: no such TLS key", _ONE_LINE, _ran(*_SERVE, "none"), is_listed=True),
    Case(6, "serve: a token file that is not there", _ONE_LINE, _called("serve", "--token-file", "{folder}/none")),
    Case(
        6,
        "wake-word train: a cache that takes no file",
        r"^rc 2\n.*cannot be written",
        _called(*_TRAIN, GLASSES_MODELS="/proc/models"),
        is_listed=True,
    ),
    Case(
        6,
        "wake-word train: sounds that are not there",
        r"^rc 2\n.*--others .*no such folder",
        _called(*_TRAIN, "--others", "{folder}/none"),
    ),
    Case(
        6,
        "evaluate: the folder is a file",
        r"^rc 2\n.*--out .*cannot make",
        _called("evaluate", "--limit", "2", "--out", str(PENGUIN)),
    ),
    Case(
        6,
        "replay: no folder to write to",
        r"^rc 2\n[^\n]*--out .*cannot be written[^\n]*\n$",
        _called("replay", str(SHIPPED), "--fast", "--out", "{folder}/none/x.mcap"),
    ),
    Case(7, "no home: --version", r"^rc 0\nglasses ", _without_home("--version"), is_listed=True),
    Case(7, "no home: run --help", r"^rc 0\n.*--record", _without_home("run", "--help")),
    Case(7, "no home: models list", r"^rc 2\n[^\n]*no home folder: set HOME[^\n]*\n$", _without_home("models", "list")),
    Case(7, "models list > /dev/full", r"^rc 2\nglasses models: [^\n]*full[^\n]*\n$", _into_full, is_listed=True),
    Case(
        7,
        "a terminal that has ASCII only",
        r"^rc 0\n.*caf(e|\\u00e9)",
        _ran("ask", "--no-tools", _SAY, PYTHONIOENCODING="ascii"),
        is_listed=True,
    ),
    Case(7, "a broken package", r"^rc 2\n[^\n]*libsomething[^\n]*install[^\n]*\n$", _broken_package),
    Case(21, "replay: its own recording as --out", _KEPT, lambda folder: _over(folder, "a.mcap")),
    Case(21, "replay: a hard link of its recording as --out", _KEPT, lambda folder: _over(folder, "hard.mcap")),
    Case(21, "replay: a file within its recording as --out", _KEPT, lambda folder: _over(folder, "a.mcap", ".")),
    Case(21, "ask: the picture as --hud", _KEPT, lambda folder: _over(folder, "soft.png", picture=True)),
    Case(22, "a bare number is no part of a name", r"^USB 1 Audio$", _meant("1"), is_listed=True),
    Case(22, "a number that no device has", r"^none$", _meant("7")),
    Case(22, "a name given in full", r"^USB 2$", _meant("usb 2")),
    Case(22, "what else fits comes after", r"^USB 1 Audio, USB 2$", _meant("USB")),
    Case(22, "an empty name", r"^none$", _meant("")),
    Case(22, "a bundle nearly right", r"^rc 2\n.*did you mean pocket\?", _called("ask", "--bundle", "poket", "hi")),
    Case(
        26,
        "a SOCKS proxy and a server on this machine",
        rf"^rc 2\n[^\n]*{DEAD}: [^\n]*refused[^\n]*\n$",
        _ran(*_VLLM, f"http://{DEAD}", ALL_PROXY=f"socks5://{DEAD}"),
        is_listed=True,
    ),
    Case(
        26,
        "a SOCKS proxy and a server elsewhere",
        r"^rc 2\n[^\n]*NO_PROXY[^\n]*\n$",
        _ran(*_VLLM, "http://desk.example:1", ALL_PROXY=f"socks5://{DEAD}"),
    ),
    Case(
        26,
        "a proxy variable that is no address",
        r"^rc 2\n[^\n]*proxy URL[^\n]*\n$",
        _ran(*_VLLM, "http://desk.example:1", HTTP_PROXY="nonsense://1"),
    ),
    Case(
        27,
        "listings with an empty cache",
        r"wrote nothing$",
        _written(("models", "list"), ("check",), ("config", "show"), ("devices",), filled=False),
        is_listed=True,
    ),
    Case(
        27,
        "listings with a filled cache",
        r"^rc 0, rc [01]; wrote nothing$",
        _written(("models", "list"), ("check",), filled=True),
        is_listed=True,
    ),
    Case(27, "devices without XDG_RUNTIME_DIR", r"^rc 0; wrote nothing$", _without_runtime_folder),
    Case(
        27,
        "a relative XDG_CACHE_HOME does not count",
        r"^rc 0\n.*\"cache\": \"/",
        _called("models", "list", "--json", XDG_CACHE_HOME="here", GLASSES_MODELS=""),
    ),
    Case(
        28,
        "ask --image without a question says which it answers",
        r"What is in view\?.*",
        _ran("ask", "--image", str(PENGUIN)),
        is_listed=True,
    ),
    Case(
        28,
        "replay: where recordings are",
        r"^rc 2\n.*no recording at .*keeps them in /",
        _called("replay", "{folder}/recordings"),
        is_listed=True,
    ),
    Case(
        28,
        "serve: how a token is made",
        r"^rc 2\n.*openssl rand",
        _called("serve", "--listen", "0.0.0.0:8765"),
        is_listed=True,
    ),
    Case(
        28,
        "bench addressed: all that it needs, at once",
        r"^rc 2\n.*--sounds.*wake-word train",
        _called("bench", "addressed"),
        is_listed=True,
    ),
]
