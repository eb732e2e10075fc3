"""The shipped sounds and their table: both sides of the split, names, and what archives hold."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from glasses.audio.sound_files import read_audio
from glasses.evaluation.sounds import SOUNDS, read_index
from models.recipes.long_speech import quotations
from models.recipes.sound_archives import members
from models.recipes.sound_classes import CLASSES
from models.recipes.sound_fetch import TABLE, packages, unpack
from models.recipes.sound_recordings import decode, rules


def wav(pcm: np.ndarray, rate_hz: int = 16_000) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, pcm, rate_hz, format="WAV", subtype="PCM_16")
    return out.getvalue()


def test_sound_sets_no_package_gives_a_class_to_both_sides() -> None:
    sides = {}
    for rule in rules():
        assert sides.setdefault((rule.label, rule.package), rule.split) == rule.split
        assert rule.label in CLASSES
        assert rule.package in packages()


def test_sound_sets_table_with_a_package_on_both_sides_is_refused(tmp_path: Path) -> None:
    (table := tmp_path / "t.tsv").write_text("dog\ttrain\tp\ta\ndog\ttest\tp\tb\n")
    with pytest.raises(ValueError, match="both sides"):
        rules(table)


def test_sound_sets_every_class_has_a_clip_from_an_unseen_package() -> None:
    train = {(rule.label, rule.package) for rule in rules() if rule.split == "train"}
    labels = set()
    for line in (SOUNDS / "index.jsonl").read_text().splitlines():
        if '"held-out"' in line:
            label, package = line.split('"label": "')[1].split('"')[0], line.split('"source": "')[1].split("/")[0]
            assert (label, package.split(":")[0]) not in train
            labels.add(label)
    assert labels == set(CLASSES)


def test_sound_sets_shipped_clips_are_short_and_readable() -> None:
    for sound in read_index():
        pcm = read_audio(SOUNDS / sound.file)
        assert 0.1 < len(pcm) / 16_000 <= 5.1, sound.file
        assert np.abs(pcm).max() > 0.05, sound.file
        assert sound.accept == CLASSES[sound.label][1]


def test_sound_sets_name_belongs_to_one_class() -> None:
    names = [name for _, accepted in CLASSES.values() for name in accepted]
    assert len(names) == len(set(names))


def test_members_of_zip_and_openttd_archives_are_their_sounds(tmp_path: Path) -> None:
    sound = wav(np.sin(np.arange(1600) / 5).astype(np.float32))
    with zipfile.ZipFile(tmp_path / "a.pk3", "w") as archive:
        archive.writestr("sound/step.wav", sound)
        archive.writestr("readme.txt", "no sound")
    assert list(members(tmp_path / "a.pk3")) == [("sound/step.wav", sound)]
    name = b"Cow\0"
    body = bytes([len(name)]) + name + sound
    (tmp_path / "b.cat").write_bytes(struct.pack("<II", 8, len(body)) + body)
    assert list(members(tmp_path / "b.cat")) == [("00 Cow", sound)]


def test_decode_trims_silence_and_sets_the_peak() -> None:
    tone = 0.2 * np.sin(np.arange(8000) / 5).astype(np.float32)
    pcm = decode(wav(np.concatenate([np.zeros(4000, np.float32), tone, np.zeros(4000, np.float32)])))
    assert pcm is not None
    assert abs(len(pcm) - 8000) < 20
    assert np.abs(pcm).max() == pytest.approx(1)
    assert decode(wav(np.zeros(4000, np.float32))) is None


def test_sound_sets_long_packages_are_pinned_and_have_a_kind() -> None:
    long = packages(TABLE.with_name("long_packages.tsv"))
    assert {package.kind for package in long.values()} == {"people", "music", "text"}
    assert all(len(package.sha256) == 64 and package.licence for package in long.values())
    assert not long.keys() & packages().keys()  # what something was learned from is in the other table


def test_unpack_keeps_text_only_of_a_package_of_text(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.wav", "fortunes"):
        (tmp_path / "in" / name).write_text("something")
    with tarfile.open(tmp_path / "package.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "in", arcname="in")
    for kind, names in (("people", {"a.wav"}), ("text", {"a.wav", "fortunes"})):
        (folder := tmp_path / kind).mkdir()
        unpack(tmp_path / "package.tar.gz", folder, kind)
        assert {path.name for path in folder.rglob("*") if path.is_file()} == names


def test_quotations_are_sentences_each_once_and_no_drawings(tmp_path: Path) -> None:
    (folder := tmp_path / "fortunes").mkdir()
    quote = "Any sufficiently advanced technology is indistinguishable from magic, they say."
    drawing = "/|\\ " * 60
    told = [f"{quote}\n\t\t-- Arthur C. Clarke", quote, "Short.", drawing]
    (folder / "science").write_text("\n%\n".join(told) + "\n%\n")
    (folder / "science.dat").write_bytes(b"\0" * 20)
    assert quotations(tmp_path) == [quote]
