"""Views with text in them: boards with a line or a sign, laid on the held-out photographs by a seed.

The truth is models/eval/text, and so are the fonts. The same views on every machine, but for the last digit of a blur.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from glasses.data import data_path
from glasses.errors import InputError, Reason
from glasses.evaluation.codes import filling
from glasses.evaluation.pictures import read_pictures
from glasses.evaluation.subset import spread
from glasses.types import UInt8Array

TEXT = data_path("models/eval/text")
HOW = ("plain", "perspective", "blur", "noise", "night", "curved", "small")
_FONTS = (
    "OpenSans-Regular.ttf",
    "Tinos-Italic.ttf",
    "Cousine-Bold.ttf",
    "OpenSans-CondBold.ttf",
    "Caladea-Bold.ttf",
    "ComicNeue-Bold.otf",
)
_LATIN_1_ONLY = frozenset(("ComicNeue-Bold.otf",))  # without some Turkish letters
_NO_GREEK = frozenset(("Caladea-Bold.ttf", "ComicNeue-Bold.otf"))
_WITH_TEXT = frozenset(("multimeter1.jpg",))  # of its own
_SIZE = 1280, 720
_BOARDS = ((250, 250, 245), (25, 60, 130), (240, 205, 60), (30, 30, 30), (180, 30, 35), (225, 225, 215))  # RGB
_JPEG = 70  # a webcam's


@dataclass(frozen=True, slots=True)
class TextView:
    """A view uint8 (H, W, 3), how the text in it is shown, in which language, and what it says."""

    how: str
    language: str
    text: str
    rgb: UInt8Array


@dataclass(frozen=True, slots=True)
class SignQuestion:
    """A question about a sign: `accept` and `wrong` are what its answer may hold, and must not."""

    sign: int
    kind: str
    question: str
    accept: tuple[str, ...]
    wrong: tuple[str, ...]


def line_views(*, limit: int | None = None, seed: int = 41, folder: Path = TEXT) -> Iterator[TextView]:
    """The lines of lines.tsv, or `limit` of them spread over the file, each in one of the ways of HOW.

    Raises InputError(NOT_FOUND) outside a full checkout.
    """
    lines = [line.split("\t") for line in _read(folder / "lines.tsv").splitlines()]
    photographs = _photographs()
    for i in spread(range(len(lines)), limit):
        language, text = lines[i]
        rng = np.random.default_rng((seed, i))
        how = HOW[i % len(HOW)]
        board = _board([text], folder / "fonts" / _font(language, i), rng, 12 if how == "small" else 44)
        rgb = _laid(photographs[(17 * i + 5) % len(photographs)], board, how, rng)
        yield TextView(how, language, text, rgb)


def sign_questions(folder: Path = TEXT) -> list[SignQuestion]:
    """All questions of signs.toml. Raises InputError(NOT_FOUND) outside a full checkout."""
    return [
        SignQuestion(i, kind, question, tuple(accept), tuple(wrong))
        for i, sign in enumerate(_signs(folder))
        for kind, question, accept, wrong in sign["questions"]
    ]


def sign_view(i: int, folder: Path = TEXT) -> UInt8Array:
    """The view uint8 (H, W, 3) of sign `i`. Raises as `sign_questions`."""
    rng, photographs = np.random.default_rng((43, i)), _photographs()
    board = _board(_signs(folder)[i]["lines"], folder / "fonts" / _font("en", i), rng, 40)
    how = HOW[i % 2]  # plain, perspective
    return _laid(photographs[(29 * i + 11) % len(photographs)], board, how, rng)


def _signs(folder: Path) -> list[dict[str, Any]]:
    return tomllib.loads(_read(folder / "signs.toml"))["sign"]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(Reason.NOT_FOUND, f"{path}: not here; run from a full checkout") from error


@cache
def _photographs() -> tuple[UInt8Array, ...]:
    return tuple(picture.rgb for picture in read_pictures() if picture.file not in _WITH_TEXT)


def _font(language: str, i: int) -> str:
    lacks = _NO_GREEK if language == "el" else _LATIN_1_ONLY if language == "tr" else frozenset[str]()
    fonts = [one for one in _FONTS if one not in lacks]
    return fonts[i % len(fonts)]


def _board(lines: list[str], font_file: Path, rng: np.random.Generator, height_px: int) -> UInt8Array:
    """A board uint8 (H, W, 3) with its lines centred; drawn larger than shown, so that it is made smaller, as by a
    lens. `height_px` is that of its capitals when it is shown at a third.
    """
    size = 3 * height_px * 10 // 7
    font = ImageFont.truetype(str(font_file), int(size * rng.uniform(1.0, 1.25)))
    colour = np.array(_BOARDS[int(rng.integers(len(_BOARDS)))])
    ink = (250, 250, 250) if colour.mean() < 130 else (20, 20, 25)
    boxes = [font.getbbox(line) for line in lines]
    pitch = int(size * 1.5)
    width = int(max(box[2] for box in boxes) + 1.4 * size)
    board = Image.new("RGB", (width, pitch * len(lines) + size), (int(colour[0]), int(colour[1]), int(colour[2])))
    draw = ImageDraw.Draw(board)
    for i, (line, box) in enumerate(zip(lines, boxes, strict=True)):
        draw.text(((width - box[2]) / 2, size * 0.5 + i * pitch), line, fill=ink, font=font)
    return np.asarray(board, np.uint8)


def _laid(photograph: UInt8Array, board: UInt8Array, how: str, rng: np.random.Generator) -> UInt8Array:
    rgb = filling(photograph)
    board = _curved(board) if how == "curved" else board
    height, width = board.shape[:2]
    shown = min(1 / 3, 0.85 * _SIZE[0] / width, 0.85 * _SIZE[1] / height)
    half = np.array([width, height]) * shown / 2
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
    turn = np.radians(rng.uniform(-4, 4))
    if how == "perspective":
        turn = np.radians(rng.uniform(-15, 15))
        side = [0, 3] if rng.random() < 0.5 else [1, 2]
        corners[side] *= [0.85, rng.uniform(0.55, 0.8)]
    corners = corners @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    room = np.maximum(np.array(_SIZE) / 2 - np.abs(corners).max(axis=0) - 10, 0)
    centre = np.array(_SIZE) / 2 + rng.uniform(-1, 1, 2) * room
    source = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    matrix = cv2.getPerspectiveTransform(source, (corners + centre).astype(np.float32))
    soft = cv2.GaussianBlur(board, (0, 0), 0.4 / shown)  # or the warp would alias
    laid = cv2.warpPerspective(soft, matrix, _SIZE, flags=cv2.INTER_LINEAR)
    mask = cv2.warpPerspective(np.full((height, width), 255, np.uint8), matrix, _SIZE)[..., None] / 255.0
    return _seen(rgb * (1 - mask) + laid * mask, how, rng)


def _curved(board: UInt8Array) -> UInt8Array:
    """As on a bottle: narrower towards its sides, and bent downwards in the middle."""
    height, width = board.shape[:2]
    bend = round(0.12 * width)
    x = np.linspace(-1, 1, width, dtype=np.float32)
    from_x = np.tile((np.arcsin(x * 0.9) / np.arcsin(0.9) + 1) / 2 * (width - 1), (height + bend, 1))
    from_y = np.arange(height + bend, dtype=np.float32)[:, None] - bend * np.sqrt(1 - (x * 0.9) ** 2)[None, :]
    edge = tuple(int(one) for one in board[0, 0])
    return np.asarray(
        cv2.remap(
            board,
            from_x.astype(np.float32),
            from_y.astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=edge,
        ),
        np.uint8,
    )


def _seen(view: np.ndarray, how: str, rng: np.random.Generator) -> UInt8Array:
    """What a camera makes of it: blur, little light, noise, JPEG."""
    deviation = 2.0
    if how == "blur":
        view = cv2.GaussianBlur(view, (0, 0), rng.uniform(1.5, 3.0))
        view = cv2.blur(view, (int(rng.integers(1, 10)), 1))
    elif how == "noise":
        deviation = 18.0
    elif how == "night":
        view, deviation = view / 7, 2.5
    rgb = np.clip(view + rng.normal(0, deviation, view.shape), 0, 255).astype(np.uint8)
    _, jpeg = cv2.imencode(".jpg", rgb[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, _JPEG))
    bgr = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
    assert bgr is not None
    return np.ascontiguousarray(bgr[..., ::-1], np.uint8)
