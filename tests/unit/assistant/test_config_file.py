"""The configuration from files and the command line: which value wins, what is refused, and with which message."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import pytest

from glasses.assistant.config import AssistantConfig
from glasses.assistant.config_file import BUILT_IN, COMMAND_LINE, items, load_config, paths
from glasses.commands import run_options
from glasses.errors import InputError, Reason


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An environment whose configuration files lie in tmp_path."""
    for folder in ("system", "other", "user/glasses"):
        (tmp_path / folder).mkdir(parents=True)
    return {
        "GLASSES_CONFIG_DIRS": f"{tmp_path}/system:{tmp_path}/other",
        "XDG_CONFIG_HOME": f"{tmp_path}/user",
        "HOME": str(tmp_path),
    }


def write(environ: dict[str, str], system: str = "", user: str = "", other: str = "") -> list[Path]:
    """Writes the files; the paths of those that exist, the most important last."""
    for path, text in zip(paths(environ), (other, system, user), strict=True):
        if text:
            path.write_text(text)
    return [path for path in paths(environ) if path.exists()]


def options(*given: str) -> dict[str, Any]:
    return run_options.given(run_options.add_options(argparse.ArgumentParser()).parse_args(given))


def test_load_config_without_files_is_built_in(environ: dict[str, str]) -> None:
    loaded = load_config(environ=environ)
    assert loaded.config == AssistantConfig()
    assert set(loaded.sources.values()) == {BUILT_IN}
    assert set(loaded.sources) == {key for key, _ in items(loaded.config)}


def test_load_config_paths_follow_the_base_directory_specification(environ: dict[str, str], tmp_path: Path) -> None:
    assert paths(environ) == [
        tmp_path / "other/glasses.toml",
        tmp_path / "system/glasses.toml",
        tmp_path / "user/glasses/config.toml",
    ]
    assert paths({"HOME": "/home/a"}) == [Path("/etc/glasses.toml"), Path("/home/a/.config/glasses/config.toml")]


def test_load_config_later_files_and_the_command_line_win(environ: dict[str, str]) -> None:
    other, system, user = write(
        environ,
        other='bundle = "desk"\nmuted = true\n',
        system='muted = false\nactivation = "request"\nboard = "zero2w"\n[memory]\nminutes = 10\n',
        user='activation = "speech"\n[camera]\nsource = 0\n[hud]\nclear_after_s = 3\n',
    )
    loaded = load_config(options("--memory-minutes", "5", "--no-voice"), environ={**environ, "GLASSES_BOARD": "pi5"})
    config, sources = loaded.config, loaded.sources
    assert (config.bundle, sources["bundle"]) == ("desk", str(other))
    assert (config.muted, sources["muted"]) == (False, str(system))
    assert (config.activation, sources["activation"]) == ("speech", str(user))
    assert (config.board, sources["board"]) == ("zero2w", str(system))
    assert (config.memory.minutes, sources["memory.minutes"]) == (5.0, COMMAND_LINE)
    assert (config.audio.voice, sources["audio.voice"]) == (False, COMMAND_LINE)
    assert (config.camera.source, config.hud.clear_after_s) == ("0", 3.0)
    assert load_config(environ={"GLASSES_BOARD": "pi5", "HOME": "/"}).sources["board"] == "$GLASSES_BOARD"


def test_load_config_byte_order_mark_of_notepad_is_no_error(environ: dict[str, str]) -> None:
    path = paths(environ)[-1]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\xef\xbb\xbfmuted = true\r\n")
    assert load_config(environ=environ).config.muted


def test_load_config_paths_in_a_file_are_from_where_it_lies(environ: dict[str, str], tmp_path: Path) -> None:
    write(
        environ, system='[recording]\nfolder = "day"\nencrypt_to = "/etc/owner.pem"\n[offload]\nca_file = "~/ca.pem"\n'
    )
    config = load_config(environ=environ).config
    assert config.recording.folder == tmp_path / "system/day"
    assert config.recording.encrypt_to == Path("/etc/owner.pem")
    assert config.offload.ca_file == Path("~/ca.pem").expanduser()


@pytest.mark.parametrize(
    ("text", "reason", "says"),
    [
        ('activaton = "speech"', Reason.BAD_INPUT, "unknown key 'activaton': did you mean 'activation'?"),
        ("[memory]\nminute = 3", Reason.BAD_INPUT, "unknown key 'memory.minute': did you mean 'memory.minutes'?"),
        ("[weather]\nrain = 3", Reason.BAD_INPUT, "unknown key 'weather.rain'"),
        ('activation = "touch"', Reason.BAD_INPUT, "key 'activation': is now called 'button'"),
        ('activation = "shout"', Reason.BAD_INPUT, "must be one of button, wake-word, request, speech"),
        ("muted = 1", Reason.BAD_INPUT, "key 'muted': must be true or false, found 1"),
        ("[memory]\nminutes = 31", Reason.BAD_INPUT, "key 'memory.minutes': must be a number from 0 to 30, found 31"),
        ("[memory]\nminutes = nan", Reason.BAD_INPUT, "must be a number"),
        ("[memory]\nminutes = true", Reason.BAD_INPUT, "must be a number"),
        ("memory = 3", Reason.BAD_INPUT, "unknown key 'memory'"),
        ('"a\\u001b[31m" = 3', Reason.BAD_INPUT, r"unknown key 'a\x1b[31m'"),
        ('[recording]\nfolder = "$HOME/rec"', Reason.BAD_INPUT, "must be a path without variables"),
        ('[dashboard]\nlisten = "everywhere"', Reason.BAD_INPUT, "must be HOST:PORT"),
        ('[dashboard]\nlisten = "::1:99999"', Reason.BAD_INPUT, "must be HOST:PORT"),
        ('[recording]\nmax_mb = "much"', Reason.BAD_INPUT, "must be a number from 1 to 1e+09"),
        ('link = ""', Reason.BAD_INPUT, "key 'link': must be a text"),
        ("muted =", Reason.CORRUPT, "not a TOML file"),
        ("#" * 70_000, Reason.TOO_LARGE, "over 65536 bytes"),
        ("bundle = " + "9" * 5000, Reason.CORRUPT, "not a TOML file"),
        ("bundle = " + "[" * 30_000, Reason.CORRUPT, "not a TOML file"),
        ("bundle = 0x" + "f" * 1000, Reason.BAD_INPUT, "..."),
        ("bundle = 0x" + "f" * 5000, Reason.BAD_INPUT, "found a number too long to show"),
        ('activation = ["speech"]', Reason.BAD_INPUT, "key 'activation': must be a text"),
        ('bundle = "pocket\\u0000"', Reason.BAD_INPUT, "key 'bundle': must be a text without control characters"),
        ('[recording]\nfolder = "~nobody-of-that-name/x"', Reason.BAD_INPUT, "key 'recording.folder': must be a path"),
        ('[dashboard]\nlisten = "here:\u00b2"', Reason.BAD_INPUT, "must be HOST:PORT"),
    ],
)
def test_load_config_wrong_file_is_refused_with_key_and_reason(
    environ: dict[str, str], text: str, reason: Reason, says: str
) -> None:
    (path,) = write(environ, user=text)
    with pytest.raises(InputError) as refused:
        load_config(environ=environ)
    assert refused.value.reason is reason
    assert str(path) in str(refused.value)
    assert says in str(refused.value)


@pytest.mark.parametrize(("target", "says"), [("/dev/zero", "over 65536"), ("/no/such/file", "cannot be read")])
def test_load_config_link_to_what_is_no_configuration_is_refused(
    environ: dict[str, str], target: str, says: str
) -> None:
    (path,) = write(environ, user="#")
    path.unlink()
    path.symlink_to(target)
    with pytest.raises(InputError, match=says):
        load_config(environ=environ)


def test_load_config_pipe_that_nobody_writes_to_is_not_waited_for(environ: dict[str, str]) -> None:
    (path,) = write(environ, user="#")
    path.unlink()
    os.mkfifo(path)
    assert load_config(environ=environ).config == AssistantConfig()


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_load_config_folder_that_is_closed_to_this_user_is_an_error(environ: dict[str, str]) -> None:
    (path,) = write(environ, user="#")
    path.parent.chmod(0)
    try:
        with pytest.raises(InputError, match="cannot be read"):
            load_config(environ=environ)
    finally:
        path.parent.chmod(0o700)


ONLY_IN_FILES = ("hud.clear_after_s", "apps.act", "personas", "mcp.servers", "mcp.allow", "documents.folders")


@pytest.mark.parametrize("key", [key for key, _ in items(AssistantConfig()) if key not in ONLY_IN_FILES])
def test_run_options_each_key_has_an_option(key: str) -> None:
    texts = {"activation": "speech", "recording.enabled": None, "dashboard.enabled": None}
    names = {
        **{"audio.microphone": "--mic", "audio.speaker": "--speaker", "audio.voice": "--no-voice"},
        **{
            "conversation.minutes": "--conversation-minutes",
            "camera.source": "--camera",
            "camera.pictures": "--pictures",
            "memory.minutes": "--memory-minutes",
            "memory.keep_replies": "--keep-replies",
        },
        **{"recording.enabled": "--record", "recording.folder": "--record", "recording.max_hours": "--record-hours"},
        **{
            "recording.max_mb": "--record-mb",
            "recording.encrypt_to": "--encrypt-to",
            "dashboard.enabled": "--dashboard",
        },
        **{"dashboard.listen": "--dashboard", "offload.url": "--offload", "offload.token_file": "--offload-token-file"},
        "offload.ca_file": "--offload-ca",
        "apps.enabled": "--no-apps",
    }
    alone = ("--no-voice", "--keep-replies", "--muted", "--record", "--dashboard", "--no-apps")
    name = names.get(key, f"--{key}")
    given = options(name) if name in alone else options(name, texts.get(key) or "7")
    assert key in given
    load_config(given, environ={"HOME": "/nowhere"})


def test_run_options_not_given_leave_the_configuration_alone() -> None:
    assert options() == {}
    assert options("--json", "--seconds", "3", "--inject", "too-hot") == {}
