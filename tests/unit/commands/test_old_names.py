"""Names of version 0.1 still work, are not in --help, and say what to type; every example in --help parses."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from glasses.__main__ import main
from glasses.commands import bench, config, evaluate, old_names, replay, run, wake_word

COMMANDS = (bench, config, evaluate, replay, run, wake_word)


def parser_of_all() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="glasses")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(subparsers)
    return parser


def parsers_below(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                yield from parsers_below(one)


def test_help_examples_of_every_command_parse() -> None:
    examples = {
        re.split(r"  +", line.strip())[0]
        for parser in parsers_below(parser_of_all())
        for line in (parser.epilog or "").splitlines()
        if line.startswith("  glasses ")
    }
    assert len(examples) > 20
    for example in sorted(examples):
        if "--help" not in example:
            parser_of_all().parse_args(shlex.split(example)[1:])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (["teach", "wake", "a", "--takes", "0"], "glasses wake-word train PHRASE"),
        (["bench", "live", "--turns", "0"], "glasses bench latency"),
        (["bench", "cascade", "--turns", "0"], "glasses bench latency --baseline"),
        (["bench", "bargein", "--turns", "0"], "glasses bench barge-in"),
        (["bench", "ownvoice", "--minutes", "0"], "glasses bench echo"),
        (["bench", "addressed", "--hours", "0"], "glasses bench false-wakes"),
        (["bench", "recall", "--clips", "0"], "glasses bench memory-recall"),
        (["bench", "answers", "--clips", "0"], "glasses bench compare"),
        (["replay", "/nowhere", "--key", "/nowhere"], "--decrypt-with"),
        (["replay", "/nowhere", "--address", "speech"], "--activation"),
        (["run", "--board", "none", "--address", "touch"], "--activation button|wake-word|request|speech"),
        (["run", "--board", "none", "--text"], "--no-voice"),
        (["run", "--board", "none", "--transcript"], "--keep-replies"),
        (["run", "--board", "none", "--remember", "5"], "--memory-minutes"),
        (["run", "--board", "none", "--no-memory"], "--memory-minutes 0"),
        (["run", "--board", "none", "--seal", "key.pem"], "--encrypt-to"),
    ],
)
def test_old_name_says_what_to_type_and_does_the_same(
    old: list[str], new: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GLASSES_MODELS", str(tmp_path))
    assert main(old) == 2  # each lacks something, which is told before anything is measured
    said = capsys.readouterr().err
    assert f"is called {new} now" in said.replace("`", "")
    assert "glasses" in said.splitlines()[-1]


def test_old_names_are_not_in_help() -> None:
    shown = "".join(
        parser.format_help() for parser in parsers_below(parser_of_all()) if "old name" not in str(parser.description)
    )
    for old in (
        "wake-word wake",
        "wake-word forget",
        "bargein",
        "ownvoice",
        "cascade",
        "addressed",
        "--key",
        "--address",
        "--inject",
    ):
        assert old not in shown


def test_mistyped_benchmark_is_shown_the_names_of_today(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["bench", "foo"])
    said = capsys.readouterr().err
    assert "'barge-in'" in said
    assert "bargein" not in said


def test_cascade_is_the_latency_benchmark_with_its_baseline() -> None:
    parser = parser_of_all()
    assert parser.parse_args(["bench", "cascade"]).baseline
    assert not parser.parse_args(["bench", "live", "--sounds", "a", "b"]).baseline
    assert parser.parse_args(["bench", "latency", "--baseline"]).baseline


def test_bench_options_are_refused_where_they_mean_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["bench", "memory", "--turns", "3"])
    assert "--turns" in capsys.readouterr().err


def test_old_option_keeps_the_default_of_the_new_one() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--new", action="store_true")
    old_names.add_option(parser, "--old", "--new", action="store_true")
    assert parser.parse_args([]).new is False
    assert parser.parse_args(["--old"]).new is True
