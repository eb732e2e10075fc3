from __future__ import annotations

from glasses.tools.reading_pages import pages, paragraphs

PROSE = [
    "The library of the town was opened in",
    "eighteen ninety by the mayor and re-",
    "built after the war. It is free.",
]


def test_paragraphs_join_rows_of_one_sentence_and_divided_words() -> None:
    assert paragraphs(PROSE) == [
        "The library of the town was opened in eighteen ninety by the mayor and rebuilt after the war. It is free."
    ]


def test_paragraphs_leave_rows_of_a_sign_alone() -> None:
    assert paragraphs(["Line 42", "next bus 14:35", "Mon-", "Fri"]) == ["Line 42", "next bus 14:35", "Mon-", "Fri"]


def test_pages_of_nothing_are_none() -> None:
    assert pages([]) == []


def test_pages_hold_every_word_once_and_no_more_than_fits() -> None:
    rows = [f"Row number {i} of a long page is here. Another sentence in it." for i in range(30)] + [
        "x" * 500,
        "y" * 90,
    ]
    made = pages(rows, 200)
    assert all(len(one) <= 200 for one in made)
    assert "".join(made).replace("\n", "").replace(" ", "") == "".join(rows).replace(" ", "")
