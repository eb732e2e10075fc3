"""Text from the bytes of tokens never ends within a character."""

from __future__ import annotations

import random

import pytest

from glasses.backbone.vocabulary import TextPieces

TEXT = "Zoë \U0001f469\u200d\U0001f467 漢字 ok \U0001f44d\U0001f3fd"


def pieces(*data: bytes) -> list[str]:
    text = TextPieces()
    return [text.add(one) for one in data]


def test_pieces_cut_anywhere_are_whole_characters_and_lose_none() -> None:
    made_up, data = random.Random(0), TEXT.encode()
    for _ in range(300):
        at = sorted(made_up.sample(range(len(data)), 8))
        cut = pieces(*(data[i:j] for i, j in zip([0, *at], [*at, len(data)], strict=True)))
        assert "".join(cut) == TEXT
        assert not any("\ufffd" in one for one in cut)


@pytest.mark.parametrize("n", range(len(TEXT.encode())))
def test_pieces_cut_off_leave_out_what_is_incomplete(n: int) -> None:
    assert TEXT.startswith(pieces(TEXT.encode()[:n])[0])


def test_pieces_leave_out_what_is_no_utf_8() -> None:
    assert "".join(pieces(b"a\xff", b"\xe6\xbc", b"b", b"\xed\xa0\x80c")) == "abc"
