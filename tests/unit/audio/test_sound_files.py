"""Sound files of every kind a user may give, good and bad, as real files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from glasses.audio import sound_files
from glasses.errors import InputError, Reason
from glasses.media import pictures
from glasses.types import SAMPLE_RATE_HZ, Float32Array


def tone(seconds: float = 1.0, rate_hz: int = SAMPLE_RATE_HZ, hz: float = 440.0, peak: float = 0.5) -> Float32Array:
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    return (peak * np.sin(2 * np.pi * hz * t)).astype(np.float32)


def strongest_hz(pcm: Float32Array) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(pcm * np.hanning(len(pcm))))) * SAMPLE_RATE_HZ / len(pcm))


@pytest.mark.parametrize(
    ("name", "subtype", "rate_hz"),
    [
        ("a.wav", "PCM_16", 16_000),
        ("a.wav", "FLOAT", 48_000),
        ("a.wav", "ULAW", 8_000),
        ("a.flac", "PCM_24", 96_000),
        ("a.ogg", "VORBIS", 22_050),
        ("a.opus", "OPUS", 48_000),
        ("a.mp3", "MPEG_LAYER_III", 44_100),
    ],
)
def test_read_audio_any_format_and_rate_becomes_16_khz_mono(
    tmp_path: Path, name: str, subtype: str, rate_hz: int
) -> None:
    stereo = np.stack([tone(2.0, rate_hz), tone(2.0, rate_hz)], axis=1)
    soundfile.write(tmp_path / name, stereo, rate_hz, subtype=subtype, format="OGG" if name == "a.opus" else None)
    pcm = sound_files.read_audio(tmp_path / name)
    assert (pcm.dtype, pcm.ndim) == (np.float32, 1)
    assert abs(len(pcm) - 2 * SAMPLE_RATE_HZ) <= 0.08 * SAMPLE_RATE_HZ  # lossy coders pad
    assert strongest_hz(pcm) == pytest.approx(440, abs=2)
    assert np.abs(pcm[4000:-4000]).max() == pytest.approx(0.5, abs=0.05)


def test_read_audio_alike_channels_are_averaged(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.stack([tone(peak=0.5), tone(peak=0.4)], axis=1), SAMPLE_RATE_HZ)
    assert np.abs(sound_files.read_audio(tmp_path / "a.wav")).max() == pytest.approx(0.45, abs=1e-3)


@pytest.mark.parametrize("factors", [(1, -1), (1, 0), (0, 1), (-0.5, 1), (1, -1, 1, -1), (0, 0, 1, 0, 0, 0)])
def test_read_audio_cancelling_or_dead_channels_leave_the_sound(tmp_path: Path, factors: tuple[float, ...]) -> None:
    soundfile.write(tmp_path / "a.wav", np.stack([tone() * factor for factor in factors], axis=1), SAMPLE_RATE_HZ)
    assert np.abs(sound_files.read_audio(tmp_path / "a.wav")).max() == pytest.approx(0.5, abs=0.01)


def test_read_audio_misleading_file_name_does_not_decide_the_format(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", tone(), SAMPLE_RATE_HZ)
    (tmp_path / "a.flac").rename(tmp_path / "really flac é.wav")
    assert len(sound_files.read_audio(tmp_path / "really flac é.wav")) == SAMPLE_RATE_HZ


def test_read_audio_streamed_wav_of_unknown_length_is_read_to_its_end(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(), SAMPLE_RATE_HZ, subtype="PCM_16")
    data = bytearray((tmp_path / "a.wav").read_bytes())
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"
    (tmp_path / "a.wav").write_bytes(data)
    assert len(sound_files.read_audio(tmp_path / "a.wav")) == SAMPLE_RATE_HZ


def test_read_audio_ten_minutes_are_accepted_and_more_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(600 * 8_000, np.int16), 8_000)
    assert len(sound_files.read_audio(tmp_path / "a.wav")) == 600 * SAMPLE_RATE_HZ
    soundfile.write(tmp_path / "a.wav", np.zeros(601 * 8_000, np.int16), 8_000)
    refused(lambda: sound_files.read_audio(tmp_path / "a.wav"), Reason.TOO_LARGE, "601 s", "600 s", "ffmpeg")


def test_is_silent_silence_is_recognised(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(SAMPLE_RATE_HZ, np.float32), SAMPLE_RATE_HZ)
    assert sound_files.is_silent(sound_files.read_audio(tmp_path / "a.wav"))
    rng = np.random.default_rng(0)
    assert sound_files.is_silent((rng.uniform(-1, 1, SAMPLE_RATE_HZ) / 32768).astype(np.float32))  # dither
    assert sound_files.is_silent(np.full(SAMPLE_RATE_HZ, 0.2, np.float32))  # a constant offset
    assert sound_files.is_silent(np.zeros(0, np.float32))
    assert sound_files.is_silent(np.zeros(5, np.float32))
    whisper = np.zeros(SAMPLE_RATE_HZ, np.float32)
    whisper[8000:9600] = tone(0.1, peak=0.002)
    assert not sound_files.is_silent(whisper)
    assert not sound_files.is_silent(tone(0.001))


def refused(call: object, reason: Reason, *words: str) -> None:
    assert callable(call)
    with pytest.raises(InputError) as caught:
        call()
    assert caught.value.reason is reason
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("read", [sound_files.read_audio, pictures.read_image])
def test_media_path_without_content_is_refused(tmp_path: Path, read: object) -> None:
    assert callable(read)
    refused(lambda: read(tmp_path / "gone"), Reason.NOT_FOUND, "gone", "check the name")
    refused(lambda: read(tmp_path), Reason.BAD_INPUT, "folder")
    (tmp_path / "empty").touch()
    refused(lambda: read(tmp_path / "empty"), Reason.BAD_INPUT, "0 bytes")
    os.mkfifo(tmp_path / "pipe")
    refused(lambda: read(tmp_path / "pipe"), Reason.BAD_INPUT, "pipe")
    (tmp_path / "text.wav").write_text("This is a text.\n" * 100)
    refused(lambda: read(tmp_path / "text.wav"), Reason.BAD_INPUT, "text.wav")
    (tmp_path / "noise.wav").write_bytes(bytes(range(0, 256, 5)) * 100)
    refused(lambda: read(tmp_path / "noise.wav"), Reason.BAD_INPUT, "noise.wav", "known format", "use ")


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.aiff", "a.au", "a.caf", "a.w64", "a.rf64"])
def test_read_audio_truncated_file_is_read_with_a_note(tmp_path: Path, name: str) -> None:
    noise = (0.1 * np.random.default_rng(3).standard_normal(10 * SAMPLE_RATE_HZ)).astype(np.float32)
    soundfile.write(tmp_path / name, noise, SAMPLE_RATE_HZ)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    notes: list[str] = []
    pcm = sound_files.read_audio(tmp_path / name, on_note=notes.append)
    assert 3 * SAMPLE_RATE_HZ < len(pcm) < 7 * SAMPLE_RATE_HZ
    assert [name in note and "cut short" in note for note in notes] == [True]


def test_read_audio_wav_header_alone_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(0, np.float32), SAMPLE_RATE_HZ)
    refused(lambda: sound_files.read_audio(tmp_path / "a.wav"), Reason.BAD_INPUT, "no samples")
    (tmp_path / "b.wav").write_bytes((tmp_path / "a.wav").read_bytes()[:30])
    refused(lambda: sound_files.read_audio(tmp_path / "b.wav"), Reason.CORRUPT, "b.wav")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_read_audio_samples_that_are_not_finite_are_refused(tmp_path: Path, bad: float) -> None:
    pcm = tone()
    pcm[777] = bad
    soundfile.write(tmp_path / "a.wav", pcm, SAMPLE_RATE_HZ, subtype="FLOAT")
    refused(lambda: sound_files.read_audio(tmp_path / "a.wav"), Reason.BAD_INPUT, "NaN")


def test_read_audio_raw_samples_and_absurd_rates_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(b"\x00\x01" * 1000)
    refused(lambda: sound_files.read_audio(tmp_path / "a.raw"), Reason.BAD_INPUT, "without a header")
    soundfile.write(tmp_path / "a.wav", tone(), 2_000_000_000)
    refused(lambda: sound_files.read_audio(tmp_path / "a.wav"), Reason.BAD_INPUT, "2000000000 Hz")


def test_write_wav_round_trip_keeps_samples_and_clips(tmp_path: Path) -> None:
    sound_files.write_wav(tmp_path / "out.wav", tone(peak=0.5), 22_050)
    pcm, rate_hz = soundfile.read(tmp_path / "out.wav", dtype="float32")
    assert rate_hz == 22_050
    np.testing.assert_allclose(pcm, tone(peak=0.5), atol=1 / 32768)
    sound_files.write_wav(tmp_path / "out.wav", tone(peak=3.0), SAMPLE_RATE_HZ)
    assert np.abs(soundfile.read(tmp_path / "out.wav")[0]).max() <= 1.0
    assert [p.name for p in tmp_path.iterdir()] == ["out.wav"]


def test_write_wav_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    refused(
        lambda: sound_files.write_wav(tmp_path / "no" / "out.wav", tone(), SAMPLE_RATE_HZ), Reason.NOT_FOUND, "out.wav"
    )
    (tmp_path / "out.wav.part").symlink_to("/dev/full")  # a real disk that is full
    refused(
        lambda: sound_files.write_wav(tmp_path / "out.wav", tone(), SAMPLE_RATE_HZ),
        Reason.NO_SPACE,
        "out.wav",
        "No space",
    )
    refused(
        lambda: sound_files.write_wav(tmp_path / "out.wav", tone() * np.nan, SAMPLE_RATE_HZ), Reason.BAD_INPUT, "finite"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
def test_read_audio_damaged_file_is_read_or_refused_as_input_error(tmp_path: Path, name: str) -> None:
    rng = np.random.default_rng(2)
    soundfile.write(tmp_path / name, tone(0.2), SAMPLE_RATE_HZ)
    good = (tmp_path / name).read_bytes()
    for _ in range(30):
        data = bytearray(good)
        for at in rng.integers(0, min(len(data), 300), 3):
            data[at] = rng.integers(256)
        try:
            pcm = sound_files.decode_audio(bytes(data), name)
        except InputError:
            continue
        assert np.isfinite(pcm).all()
