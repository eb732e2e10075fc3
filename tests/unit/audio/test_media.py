"""Sound and picture files of every kind a user may give, good and bad, as real files."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image, ImageOps

from glasses.audio import media
from glasses.errors import InputError, Reason
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
    pcm = media.read_audio(tmp_path / name)
    assert (pcm.dtype, pcm.ndim) == (np.float32, 1)
    assert abs(len(pcm) - 2 * SAMPLE_RATE_HZ) <= 0.08 * SAMPLE_RATE_HZ  # lossy coders pad
    assert strongest_hz(pcm) == pytest.approx(440, abs=2)
    assert np.abs(pcm[4000:-4000]).max() == pytest.approx(0.5, abs=0.05)


def test_read_audio_several_channels_are_averaged(tmp_path: Path) -> None:
    left_right = np.stack([tone(), -tone()], axis=1)
    soundfile.write(tmp_path / "a.wav", left_right, SAMPLE_RATE_HZ, subtype="FLOAT")
    assert np.abs(media.read_audio(tmp_path / "a.wav")).max() < 1e-6


def test_read_audio_misleading_file_name_does_not_decide_the_format(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", tone(), SAMPLE_RATE_HZ)
    (tmp_path / "a.flac").rename(tmp_path / "really flac é.wav")
    assert len(media.read_audio(tmp_path / "really flac é.wav")) == SAMPLE_RATE_HZ


def test_read_audio_streamed_wav_of_unknown_length_is_read_to_its_end(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(), SAMPLE_RATE_HZ, subtype="PCM_16")
    data = bytearray((tmp_path / "a.wav").read_bytes())
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"
    (tmp_path / "a.wav").write_bytes(data)
    assert len(media.read_audio(tmp_path / "a.wav")) == SAMPLE_RATE_HZ


def test_read_audio_ten_minutes_are_accepted_and_more_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(600 * 8_000, np.int16), 8_000)
    assert len(media.read_audio(tmp_path / "a.wav")) == 600 * SAMPLE_RATE_HZ
    soundfile.write(tmp_path / "a.wav", np.zeros(601 * 8_000, np.int16), 8_000)
    refused(lambda: media.read_audio(tmp_path / "a.wav"), Reason.TOO_LARGE, "601 s", "600 s", "ffmpeg")


def test_is_silent_silence_is_recognised(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(SAMPLE_RATE_HZ, np.float32), SAMPLE_RATE_HZ)
    assert media.is_silent(media.read_audio(tmp_path / "a.wav"))
    rng = np.random.default_rng(0)
    assert media.is_silent((rng.uniform(-1, 1, SAMPLE_RATE_HZ) / 32768).astype(np.float32))  # dither
    assert media.is_silent(np.full(SAMPLE_RATE_HZ, 0.2, np.float32))  # a constant offset
    assert media.is_silent(np.zeros(0, np.float32))
    assert media.is_silent(np.zeros(5, np.float32))
    whisper = np.zeros(SAMPLE_RATE_HZ, np.float32)
    whisper[8000:9600] = tone(0.1, peak=0.002)
    assert not media.is_silent(whisper)
    assert not media.is_silent(tone(0.001))


def refused(call: object, reason: Reason, *words: str) -> None:
    assert callable(call)
    with pytest.raises(InputError) as caught:
        call()
    assert caught.value.reason is reason
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("read", [media.read_audio, media.read_image])
def test_media_path_without_content_is_refused(tmp_path: Path, read: object) -> None:
    assert callable(read)
    refused(lambda: read(tmp_path / "gone"), Reason.NOT_FOUND, "gone", "check the name")
    refused(lambda: read(tmp_path), Reason.BAD_INPUT, "folder")
    (tmp_path / "empty").touch()
    refused(lambda: read(tmp_path / "empty"), Reason.BAD_INPUT, "0 bytes")
    os.mkfifo(tmp_path / "pipe")
    refused(lambda: read(tmp_path / "pipe"), Reason.BAD_INPUT, "pipe")
    (tmp_path / "text.wav").write_text("This is a text.\n" * 100)
    refused(lambda: read(tmp_path / "text.wav"), Reason.BAD_INPUT, "text.wav", "known format", "use ")


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.aiff"])
def test_read_audio_truncated_file_is_refused(tmp_path: Path, name: str) -> None:
    soundfile.write(tmp_path / name, tone(3.0), SAMPLE_RATE_HZ)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    refused(lambda: media.read_audio(tmp_path / name), Reason.CORRUPT, name, "cut short")


def test_read_audio_wav_header_alone_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(0, np.float32), SAMPLE_RATE_HZ)
    refused(lambda: media.read_audio(tmp_path / "a.wav"), Reason.BAD_INPUT, "no samples")
    (tmp_path / "b.wav").write_bytes((tmp_path / "a.wav").read_bytes()[:30])
    refused(lambda: media.read_audio(tmp_path / "b.wav"), Reason.CORRUPT, "b.wav")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_read_audio_samples_that_are_not_finite_are_refused(tmp_path: Path, bad: float) -> None:
    pcm = tone()
    pcm[777] = bad
    soundfile.write(tmp_path / "a.wav", pcm, SAMPLE_RATE_HZ, subtype="FLOAT")
    refused(lambda: media.read_audio(tmp_path / "a.wav"), Reason.BAD_INPUT, "NaN")


def test_read_audio_raw_samples_and_absurd_rates_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(b"\x00" * 1000)
    refused(lambda: media.read_audio(tmp_path / "a.raw"), Reason.BAD_INPUT, "without a header")
    soundfile.write(tmp_path / "a.wav", tone(), 2_000_000_000)
    refused(lambda: media.read_audio(tmp_path / "a.wav"), Reason.BAD_INPUT, "2000000000 Hz")


def test_write_wav_round_trip_keeps_samples_and_clips(tmp_path: Path) -> None:
    media.write_wav(tmp_path / "out.wav", tone(peak=0.5), 22_050)
    pcm, rate_hz = soundfile.read(tmp_path / "out.wav", dtype="float32")
    assert rate_hz == 22_050
    np.testing.assert_allclose(pcm, tone(peak=0.5), atol=1 / 32768)
    media.write_wav(tmp_path / "out.wav", tone(peak=3.0), SAMPLE_RATE_HZ)
    assert np.abs(soundfile.read(tmp_path / "out.wav")[0]).max() <= 1.0
    assert [p.name for p in tmp_path.iterdir()] == ["out.wav"]


def test_write_wav_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    refused(lambda: media.write_wav(tmp_path / "no" / "out.wav", tone(), SAMPLE_RATE_HZ), Reason.NOT_FOUND, "out.wav")
    (tmp_path / "out.wav.part").symlink_to("/dev/full")  # a real disk that is full
    refused(
        lambda: media.write_wav(tmp_path / "out.wav", tone(), SAMPLE_RATE_HZ), Reason.NO_SPACE, "out.wav", "No space"
    )
    refused(lambda: media.write_wav(tmp_path / "out.wav", tone() * np.nan, SAMPLE_RATE_HZ), Reason.BAD_INPUT, "finite")
    assert list(tmp_path.iterdir()) == []


def picture(width: int = 64, height: int = 48) -> Image.Image:
    """Red above left, green above right, blue below left, white below right."""
    rgb = np.zeros((height, width, 3), np.uint8)
    rgb[: height // 2, : width // 2, 0] = 255
    rgb[: height // 2, width // 2 :, 1] = 255
    rgb[height // 2 :, : width // 2, 2] = 255
    rgb[height // 2 :, width // 2 :] = 255
    return Image.fromarray(rgb)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.bmp", "a.tiff", "a.gif", "a.ppm"])
def test_read_image_any_format_becomes_rgb(tmp_path: Path, name: str) -> None:
    picture().save(tmp_path / name, quality=95)  # formats without a quality ignore it
    rgb = media.read_image(tmp_path / name)
    assert rgb.dtype == np.uint8
    assert rgb.flags.c_contiguous
    assert rgb.shape == (48, 64, 3)
    for y, x, colour in ((8, 8, (255, 0, 0)), (8, 56, (0, 255, 0)), (40, 8, (0, 0, 255)), (40, 56, (255, 255, 255))):
        np.testing.assert_allclose(rgb[y, x].astype(int), colour, atol=12)


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "I;16", "LA", "RGBA"])
def test_read_image_any_pixel_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    name = "a.jpg" if mode == "CMYK" else "a.png"
    grey = picture().convert("L")
    wide = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257) if mode == "I;16" else picture().convert(mode)
    wide.save(tmp_path / name)
    rgb = media.read_image(tmp_path / name)
    assert rgb.shape == (48, 64, 3)
    np.testing.assert_allclose(rgb[40, 56].astype(int), 255, atol=12)


def test_read_image_transparency_is_laid_on_white(tmp_path: Path) -> None:
    rgba = picture().convert("RGBA")
    rgba.putalpha(Image.fromarray(np.repeat(np.array([[255, 128, 0]], np.uint8), [16, 16, 32], axis=1).repeat(48, 0)))
    rgba.save(tmp_path / "a.png")
    rgb = media.read_image(tmp_path / "a.png")
    assert rgb[8, 8].tolist() == [255, 0, 0]
    assert rgb[8, 24].tolist() == [255, 127, 127]
    assert rgb[8, 56].tolist() == [255, 255, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
def test_read_image_exif_orientation_is_applied(tmp_path: Path, name: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture().save(tmp_path / name, exif=exif, quality=95)
    with Image.open(tmp_path / name) as stored:
        upright = np.asarray(ImageOps.exif_transpose(stored).convert("RGB")).astype(int)
    rgb = media.read_image(tmp_path / name).astype(int)
    assert rgb.shape == upright.shape
    assert np.abs(rgb - upright).mean() < 2


def test_read_image_single_pixel_is_read(tmp_path: Path) -> None:
    picture(2, 2).crop((0, 0, 1, 1)).save(tmp_path / "a.png")
    assert media.read_image(tmp_path / "a.png").tolist() == [[[255, 0, 0]]]


def test_read_image_100_megapixel_jpeg_is_decoded_smaller(tmp_path: Path) -> None:
    Image.new("RGB", (10_000, 10_000), (10, 200, 30)).save(tmp_path / "a.jpg")
    rgb = media.read_image(tmp_path / "a.jpg")
    assert rgb.shape == (5_000, 5_000, 3)
    np.testing.assert_allclose(rgb[0, 0].astype(int), (10, 200, 30), atol=4)


def test_read_image_reduction_keeps_orientation_and_colours(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn 90 degrees clockwise
    picture(640, 480).save(tmp_path / "a.jpg", exif=exif, quality=95)
    rgb = media.read_image(tmp_path / "a.jpg", max_pixels=20_000)
    assert rgb.shape == (160, 120, 3)
    np.testing.assert_allclose(rgb[20, 20].astype(int), (0, 0, 255), atol=12)
    np.testing.assert_allclose(rgb[20, 100].astype(int), (255, 0, 0), atol=12)


def test_read_image_too_many_pixels_are_refused_before_decoding(tmp_path: Path) -> None:
    picture(640, 480).save(tmp_path / "a.png")
    refused(lambda: media.read_image(tmp_path / "a.png", max_pixels=1000), Reason.TOO_LARGE, "640 x 480", "1,000")
    picture(640, 480).save(tmp_path / "p.jpg", progressive=True)
    refused(lambda: media.read_image(tmp_path / "p.jpg", max_pixels=20_000), Reason.TOO_LARGE, "640 x 480")
    picture(640, 480).save(tmp_path / "a.jpg")
    refused(lambda: media.read_image(tmp_path / "a.jpg", max_pixels=1000), Reason.TOO_LARGE, "640 x 480")


@pytest.mark.parametrize("side", [20_000, 60_000, 2_000_000_000])
def test_read_image_header_that_claims_a_huge_size_is_refused(tmp_path: Path, side: int) -> None:
    body = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    header = struct.pack(">I", len(body)) + b"IHDR" + body + struct.pack(">I", zlib.crc32(b"IHDR" + body))
    data = zlib.compress(bytes(1000))
    idat = struct.pack(">I", len(data)) + b"IDAT" + data + struct.pack(">I", zlib.crc32(b"IDAT" + data))
    end = struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + idat + end)
    refused(lambda: media.read_image(tmp_path / "a.png"), Reason.TOO_LARGE, "a.png")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "p.jpg", "a.webp", "a.gif", "a.bmp", "a.tiff"])
@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9])
def test_read_image_truncated_file_is_refused(tmp_path: Path, name: str, kept: float) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (120, 160, 3), np.uint8)
    thumbnail = Image.Exif()
    thumbnail[0x010F] = "camera \xff\xd9".encode("latin-1")  # an end marker that is not the picture's
    extra = {"exif": thumbnail, "progressive": name[0] == "p"} if name.endswith("jpg") else {}
    Image.fromarray(noise).save(tmp_path / name, **extra)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * kept)])
    refused(lambda: media.read_image(tmp_path / name), Reason.CORRUPT, name)


def test_read_image_bytes_after_a_jpeg_are_ignored(tmp_path: Path) -> None:
    picture().save(tmp_path / "a.jpg")
    with (tmp_path / "a.jpg").open("ab") as out:
        out.write(b"\x00" * 100 + b"a film of the same moment, as phones append it")
    assert media.read_image(tmp_path / "a.jpg").shape == (48, 64, 3)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.jpg", "a.png", "a.webp", "a.gif", "a.tiff"])
def test_media_damaged_file_is_read_or_refused_as_input_error(tmp_path: Path, name: str) -> None:
    rng = np.random.default_rng(2)
    is_sound = name in ("a.wav", "a.flac", "a.ogg", "a.mp3")
    if is_sound:
        soundfile.write(tmp_path / name, tone(0.2), SAMPLE_RATE_HZ)
    else:
        picture().save(tmp_path / name)
    good = (tmp_path / name).read_bytes()
    for _ in range(30):
        data = bytearray(good)
        for at in rng.integers(0, min(len(data), 300), 3):
            data[at] = rng.integers(256)
        (tmp_path / name).write_bytes(data)
        try:
            result = media.read_audio(tmp_path / name) if is_sound else media.read_image(tmp_path / name)
        except InputError:
            continue
        assert np.isfinite(result).all()
