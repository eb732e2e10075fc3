"""Speech out: what is read aloud, the GPL part in a process of its own, and the waveform of a real voice."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from glasses.decoders.phonemes import MAX_CHARS, Phonemizer
from glasses.decoders.read_aloud import speakable
from glasses.decoders.speech import Voice
from glasses.errors import InputError, ModelError, Reason
from glasses.model_store import store

VOICE = "piper-en-us-joe-medium"
needs_extra = pytest.mark.skipif(
    importlib.util.find_spec("piper") is None, reason="the voice extra is not installed: pip install -e '.[voice]'"
)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("**Hello** `there`, _you_ ", "Hello there, you"),
        ("Dr. Smith is 3.5 km off.", "Dr Smith is 3.5 km off."),
        ("It is 23 °C 😀☀️!", "It is 23 degrees Celsius!"),
        ("# Tips", "Tips"),
        ("a\0b\n c", "a b c"),
        ("…", ""),
        ("😀 -- !", ""),
        ("", ""),
    ],
)
def test_speakable_text_keeps_what_is_meant_to_be_read(text: str, wanted: str) -> None:
    assert speakable(text).replace("\ufe0f", "") == wanted


def test_voice_without_the_extra_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "piper", None)  # what the import system takes for "no such package"
    with pytest.raises(ModelError, match=r"\[voice\]") as caught:
        Phonemizer("en-us")
    assert caught.value.reason is Reason.NOT_INSTALLED


GOOD_CONFIG = {
    "audio": {"sample_rate": 22050},
    "espeak": {"voice": "en-us"},
    "inference": {"noise_scale": 0.667, "length_scale": 1, "noise_w": 0.8},
    "phoneme_id_map": {"_": [0], "^": [1], "$": [2]},
}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "{",
        "\udcff",
        json.dumps(GOOD_CONFIG | {"phoneme_type": "pinyin"}),
        json.dumps(GOOD_CONFIG | {"phoneme_id_map": {"_": [0]}}),
        json.dumps(GOOD_CONFIG | {"phoneme_id_map": [1]}),
        json.dumps(GOOD_CONFIG | {"audio": {"sample_rate": 1}}),
    ],
)
def test_voice_bad_configuration_is_refused_by_name(tmp_path: Path, text: str) -> None:
    config = tmp_path / "bad.onnx.json"
    config.write_text(text, errors="surrogateescape")
    with pytest.raises(ModelError, match=r"bad\.onnx\.json") as caught:
        Voice(tmp_path / "bad.onnx", config)
    assert caught.value.reason is Reason.CORRUPT


@needs_extra
def test_voice_bad_file_is_refused_by_name_and_leaves_no_child(tmp_path: Path) -> None:
    config, onnx, before = tmp_path / "v.onnx.json", tmp_path / "v.onnx", psutil.Process().children()
    config.write_text(json.dumps(GOOD_CONFIG))
    with pytest.raises(ModelError, match=r"v\.onnx") as caught:
        Voice(onnx, config)
    assert caught.value.reason is Reason.NOT_FOUND
    onnx.write_bytes(b"not a network" * 100)
    with pytest.raises(ModelError, match=r"v\.onnx") as caught:
        Voice(onnx, config)
    assert caught.value.reason is Reason.CORRUPT
    assert psutil.Process().children() == before


@needs_extra
def test_phonemes_of_a_clause_are_as_expected() -> None:
    with Phonemizer("en-us") as phonemizer:
        assert phonemizer.phonemes("Hello there, how are you?") == (
            "h\u0259l\u02c8o\u028a \u00f0\u02c8\u025b\u0279, h\u02c8a\u028a \u0251\u02d0\u0279 ju\u02d0?"
        )
        assert phonemizer.phonemes("He is Dr Smith.").count(".") == 1
        for odd in ["日本 😀", "a\nb", "\u202eabc", "\ud800", "", "%s%n", "x" * MAX_CHARS]:
            assert isinstance(phonemizer.phonemes(odd), str)
        with pytest.raises(InputError):
            phonemizer.phonemes("x" * (MAX_CHARS + 1))


@needs_extra
def test_voice_child_that_died_fails_one_call_and_no_more() -> None:
    others = psutil.Process().children()
    with Phonemizer("en-us") as phonemizer:
        before = phonemizer.phonemes("hello")
        (child,) = [child for child in psutil.Process().children() if child not in others]
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        with pytest.raises(ModelError, match="ended") as caught:
            phonemizer.phonemes("hello")
        assert caught.value.reason is Reason.INTERNAL
        assert phonemizer.phonemes("hello") == before
    assert psutil.Process().children() == others


@pytest.fixture(scope="module")
def voice() -> Iterator[Voice]:
    onnx = store.path_of(VOICE, "en_US-joe-medium.onnx")
    with Voice(onnx, store.path_of(VOICE, "en_US-joe-medium.onnx.json")) as voice:
        yield voice


@needs_extra
@pytest.mark.models
def test_voice_waveform_is_sane_and_grows_with_the_text(voice: Voice) -> None:
    texts = [
        "Yes.",
        "It is a kettle on the stove.",
        "It is a kettle on the stove, and it has been whistling for a while.",
    ]
    sounds = [next(voice.speak([text])) for text in texts]
    seconds = [len(pcm) / voice.rate_hz for pcm in sounds]
    assert voice.rate_hz == 22050
    assert 0.2 < seconds[0] < seconds[1] / 2 < seconds[2] / 3 < 3
    for pcm in sounds:
        assert pcm.dtype == np.float32
        assert not pcm.flags.writeable
        assert 0.2 < np.abs(pcm).max() <= 0.951
        assert 0.01 < np.sqrt(np.mean(pcm**2)) < 0.4
        assert max(abs(pcm[0]), abs(pcm[-1])) < 0.01  # no click


@needs_extra
@pytest.mark.models
def test_voice_speaks_each_clause_before_it_asks_for_the_next(voice: Voice) -> None:
    asked = 0

    def clauses() -> Iterator[str]:
        nonlocal asked
        for clause in ["Yes,", "…", "it is. ", "Go"]:
            asked += 1
            yield clause

    sounds, seen = [], []
    for pcm in voice.speak(clauses()):
        sounds.append(pcm)
        seen.append(asked)
    assert seen == [1, 3, 4]  # the one with nothing to read yields nothing
    pauses_s = [np.flatnonzero(pcm)[0] / voice.rate_hz for pcm in sounds]
    assert pauses_s[0] < 0.05 < pauses_s[1] < 0.2 < pauses_s[2] < 0.4  # none, a comma's, a full stop's


@needs_extra
@pytest.mark.models
def test_voice_loads_no_gpl_code_here_and_close_ends_the_child() -> None:
    onnx = store.path_of(VOICE, "en_US-joe-medium.onnx")
    before = {child.pid for child in psutil.Process().children()}
    voice = Voice(onnx, store.path_of(VOICE, "en_US-joe-medium.onnx.json"))
    assert len(list(voice.speak(["Hello."]))) == 1
    assert "piper" not in sys.modules
    assert not any("espeak" in mapping.path for mapping in psutil.Process().memory_maps())
    (child,) = [child for child in psutil.Process().children() if child.pid not in before]
    voice.close()
    voice.close()
    assert not child.is_running()
