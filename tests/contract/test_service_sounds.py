"""The sound example: the pocket backbone calls for a sound that the wearer recorded, and it is played."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from glasses.audio.sound_files import read_audio
from glasses.errors import InputError
from glasses.service.client.sync_client import SyncClient
from glasses.service.examples import sound_out

pytestmark = [pytest.mark.models, pytest.mark.slow]
RECORDINGS = Path(__file__).parents[2] / "models/eval/sounds"


def test_sound_bank_recording_added_and_trained_is_played_when_asked(tmp_path: Path) -> None:
    """One recording is enough for a new sound; another recording replaces it."""
    bank = sound_out.Bank({"dog": ("bark", "dog")}, {"dog": RECORDINGS / "dog-0.ogg"}, tmp_path / "bank")
    bank.add("sheep", "bleat", RECORDINGS / "sheep-0.ogg")
    out = tmp_path / "out.wav"
    with SyncClient(sound_out._own_service) as client:
        assert sound_out.add_and_train(client, bank.sounds) == 1.0
        assert sound_out.play(client, bank, "Bleat like a sheep.", out) == "sheep"
        assert np.abs(read_audio(out) - read_audio(RECORDINGS / "sheep-0.ogg")).max() < 1e-3  # 16-bit samples
        bank.add("dog", "bark", RECORDINGS / "dog-1.ogg")  # no, like this
        assert sound_out.play(client, bank, "Bark like a dog.", out) == "dog"
        assert np.abs(read_audio(out) - read_audio(RECORDINGS / "dog-1.ogg")).max() < 1e-3
        out.unlink()
        assert sound_out.play(client, bank, "What is the capital of France?", out) is None
        assert not out.exists()
    again = sound_out.Bank.open(None, tmp_path / "bank")
    assert again.sounds.items() >= {"sheep": ("bleat", "sheep"), "dog": ("bark", "dog")}.items()
    assert read_audio(again.files["dog"]).shape == read_audio(RECORDINGS / "dog-1.ogg").shape


def test_sound_bank_file_without_sound_is_not_added(tmp_path: Path) -> None:
    broken = tmp_path / "x.wav"
    broken.write_bytes(b"no sound at all")
    bank = sound_out.Bank.open(None, tmp_path / "bank")
    with pytest.raises(InputError):
        bank.add("sheep", "bleat", broken)
    assert not (tmp_path / "bank").exists()
