"""`glasses ask` as a user sees it: bad input gets one clear line, good input gets an answer of the model."""

from __future__ import annotations

import json
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glasses.__main__ import main
from glasses.commands import ask
from glasses.errors import InputError
from glasses.runtime.bundle import LoadedBundle
from glasses.service.server.token_file import read_token
from glasses.types import Latents, Token, Turn

SPEECH = Path(__file__).parents[3] / "models" / "eval" / "speech"
PICTURES = Path(__file__).parents[3] / "models" / "eval" / "pictures"


@pytest.fixture(autouse=True)
def no_running_glasses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Those of whoever runs the tests would answer."""
    for name in ("RUNTIME_DIRECTORY", "STATE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def _wav(path: Path, pcm: np.ndarray, rate_hz: int = 16_000) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(pcm.astype(np.int16).tobytes())
    return path


def _refused(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    assert main(["ask", *args]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.strip().splitlines()) == 1
    return printed.err


def test_ask_without_a_question_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "nothing to answer" in _refused(capsys)


@pytest.mark.parametrize("option", ["--audio", "--image"])
@pytest.mark.parametrize("content", [b"", b"this is a letter, not a recording\n" * 20])
def test_ask_file_that_is_not_what_its_name_says_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, option: str, content: bytes
) -> None:
    path = tmp_path / ("letter.wav" if option == "--audio" else "letter.png")
    path.write_bytes(content)
    assert path.name in _refused(capsys, option, str(path))


def test_ask_absent_file_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "absent.wav" in _refused(capsys, "--audio", str(tmp_path / "absent.wav"))


def test_ask_unknown_board_or_bundle_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "toaster" in _refused(capsys, "hello", "--hud", str(tmp_path / "a.png"), "--board", "toaster")
    assert "nosuch" in _refused(capsys, "hello", "--bundle", "nosuch")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["hi", "--top-k", "999999"], "--top-k 999999"),
        (["hi", "--max-tokens", "0"], "--max-tokens 0"),
        (["hi", "--speak", "/nonexistent/x.wav"], "/nonexistent"),
        (["hi", "--hud", "/nonexistent/x.png"], "/nonexistent"),
        (["--image", "http://x/y.png"], "addresses are not fetched"),
    ],
)
def test_ask_impossible_option_is_refused_before_a_model_is_loaded(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, args: list[str], said: str
) -> None:
    monkeypatch.setattr(ask, "open_bundle", lambda bundle: pytest.fail("a model was loaded"))
    assert said in _refused(capsys, *args)


def test_ask_picture_of_a_hundred_megapixels_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    Image.new("1", (10_000, 10_001)).save(path)
    assert "huge.png" in _refused(capsys, "--image", str(path))


@pytest.mark.models
def test_ask_typed_parts_keep_their_place_and_long_answers_fill_pages(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[Latents | str, ...]] = []

    def answer(loaded: LoadedBundle, turn: Turn, *_: object, **__: object) -> Iterator[Token]:
        given.append(turn.inputs)
        yield Token(1, 0, "a word or two " * 40, 0.0, None, True)

    monkeypatch.setattr(ask, "answer", answer)
    picture, hud = str(PICTURES / "penguin.jpg"), tmp_path / "hud.png"
    args = ["--text", "This was", "--image", picture, "--text", "and this", "--image", picture, "What changed?"]
    assert main(["ask", *args, "--hud", str(hud), "--board", "even-g1"]) == 0
    (turn_parts,) = given
    assert [part if isinstance(part, str) else part.modality for part in turn_parts] == [
        *("This was", "image", "and this", "image", "What changed?")
    ]
    assert sorted(path.name for path in tmp_path.iterdir())[:2] == ["hud-2.png", "hud.png"]


@pytest.mark.models
def test_ask_typed_question_is_answered_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", "What is the opposite of hot?", "--json", "--top-k", "3", "--max-tokens", "12"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert "cold" in report["answer"].lower()
    assert report["memory_mb"] > 0
    assert {"encode", "connect", "prefill", "first piece"} <= report["times_ms"].keys()
    first = report["pieces"][0]
    assert first["top"][0] == [first["token"], pytest.approx(first["logprob"], abs=1e-3)]


@pytest.mark.models
def test_ask_sound_and_picture_reach_the_backbone(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    hud = tmp_path / "hud.png"
    given = ["--image", str(PICTURES / "penguin.jpg"), "--audio", str(SPEECH / "question-090.ogg")]
    assert main(["ask", *given, "--hud", str(hud), "--max-tokens", "8"]) == 0
    assert capsys.readouterr().out.strip()
    assert hud.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("option", "name", "words"),
    [
        ("--speak", "x.txt", ".wav"),
        ("--hud", "x.foo", ".png"),
        ("--hud", "x", ".png"),
        ("--speak", "nosuch/x.wav", "No such file"),
        ("--hud", "nosuch/x.png", "No such file"),
        ("--hud", f"{'x' * 300}.png", "too long"),
        ("--hud", "folder.png", "a folder"),
    ],
)
def test_ask_output_that_cannot_be_written_is_refused_first(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, option: str, name: str, words: str
) -> None:
    (tmp_path / "folder.png").mkdir()
    assert words in _refused(capsys, "hello", option, str(tmp_path / name), "--bundle", "nosuch")
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]


@pytest.mark.models
def test_ask_too_long_a_text_is_refused_in_plain_words(capsys: pytest.CaptureFixture[str]) -> None:
    error = _refused(capsys, "a word of it " * 3000)
    assert "give a shorter text" in error
    assert "roll" not in error


@pytest.mark.models
def test_ask_offload_notes_stand_on_lines_of_their_own(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    url = f"unix:{tmp_path}/nobody"
    assert main(["ask", "What is the opposite of hot?", "--offload", url, "--max-tokens", "4"]) == 0
    printed = capfd.readouterr()
    assert printed.out.endswith("\n")
    assert [line[:6] for line in printed.err.splitlines()] == ["note: "] * 2


def test_read_token_unreadable_file_is_refused_without_numbers(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read the token in .*: No such file or directory$"):
        read_token(tmp_path / "nosuch")


def test_read_token_byte_order_mark_and_line_end_are_no_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"\xef\xbb\xbfsecret\r\n")
    assert read_token(tmp_path / "token") == "secret"


@pytest.mark.models
def test_ask_silence_one_pixel_and_ten_minutes_are_handled(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    silent = _wav(tmp_path / "silent.wav", np.zeros(32_000))
    assert main(["ask", "--audio", str(silent), "--max-tokens", "4"]) == 0
    assert "silent" in capsys.readouterr().err
    rng = np.random.default_rng(0)
    long = _wav(tmp_path / "long.wav", 3000 * rng.standard_normal(600 * 8000), 8000)
    assert main(["ask", "--audio", str(long), "--max-tokens", "4"]) == 0
    assert "only its last 120 s" in capsys.readouterr().err
    pixel = tmp_path / "pixel.ppm"
    pixel.write_bytes(b"P6 1 1 255\n\xff\x00\x00")
    assert main(["ask", "--image", str(pixel), "--max-tokens", "4"]) == 0
