"""QR and bar codes on photographs: are they read, tilted, damaged, inverted, several at once?

The codes are made here, by a seed, and laid on the held-out photographs; so the truth is known. A picture counts where
every code in it was read letter by letter and nothing else was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from glasses.evaluation.pictures import PICTURES, read_pictures
from glasses.evaluation.subset import spread
from glasses.media.codes import read_codes
from glasses.types import UInt8Array

KINDS = ("plain", "tilted", "inverted", "damaged", "small", "dark", "several", "none")
EACH = 20  # pictures of each kind
_SIZE = 1280, 720  # width and height of a view, as a camera gives it
_TEXTS = (
    "https://example.org/menu",
    "WIFI:S:Cafe;T:WPA;P:espresso;;",
    "Gate B12, boarding 14:35",
    "tel:+493012345",
    "Straße 5, Łódź",
    "http://192.0.2.1/pay?to=me&amount=999",
    "A4-7781-XK",
    "BEGIN:VCARD\nFN:Ada Lovelace\nEND:VCARD",
)
# ISO/IEC 15420: the seven bars and spaces of a digit in set A; set B is A inverted and mirrored, C is A inverted.
_A = "0001101 0011001 0010011 0111101 0100011 0110001 0101111 0111011 0110111 0001011".split()
_SETS = "AAAAAA AABABB AABBAB AABBBA ABAABB ABBAAB ABBBAA ABABAB ABABBA ABBABA".split()  # by the first digit


@dataclass(frozen=True, slots=True)
class View:
    """A picture uint8 (H, W, 3) with codes in it, and what they hold."""

    kind: str
    truth: tuple[str, ...]
    rgb: UInt8Array


def qr_code(text: str, module: int = 8) -> UInt8Array:
    """A QR code with its quiet zone as uint8 (N, N), `module` pixels each dot; corrects a quarter of its area."""
    params = cv2.QRCodeEncoder.Params()
    params.correction_level = cv2.QRCODE_ENCODER_CORRECT_LEVEL_Q
    params.mode = cv2.QRCODE_ENCODER_MODE_BYTE
    dots = np.asarray(cv2.QRCodeEncoder.create(params).encode(text), np.uint8)
    dots = np.pad(dots, 2, constant_values=255)
    return np.repeat(np.repeat(dots, module, 0), module, 1)


def ean13(digits: str, module: int = 3) -> UInt8Array:
    """The bar code of thirteen digits as uint8 (H, W), `module` pixels the narrowest bar."""
    left = "".join(
        _A[int(one)] if kind == "A" else _inverse(_A[int(one)])[::-1]
        for one, kind in zip(digits[1:7], _SETS[int(digits[0])], strict=True)
    )
    right = "".join(_inverse(_A[int(one)]) for one in digits[7:])
    bars = f"101{left}01010{right}101"
    row = np.pad(np.array([0 if bar == "1" else 255 for bar in bars], np.uint8), 11, constant_values=255)
    code = np.repeat(np.tile(row, (24 * module, 1)), module, 1)
    return np.pad(code, ((4 * module, 4 * module), (0, 0)), constant_values=255)


def with_check_digit(digits: str) -> str:
    """Twelve digits with the thirteenth, which makes the weighted sum a multiple of ten."""
    return digits + str(-sum(int(one) * (3 if i % 2 else 1) for i, one in enumerate(digits)) % 10)


def views(each: int = EACH, *, limit: int | None = None, seed: int = 17, folder: Path = PICTURES) -> Iterator[View]:
    """`each` pictures of every one of KINDS, or `limit` of them spread over the set; always the same ones.

    Raises InputError(NOT_FOUND) without photographs.
    """
    photographs = [picture.rgb for picture in read_pictures(folder)]
    for kind, i in spread([(kind, i) for kind in KINDS for i in range(each)], limit):
        j = KINDS.index(kind)
        yield _view(kind, photographs[(i * 7 + j * 31) % len(photographs)], np.random.default_rng((seed, j, i)))


def run(tick: Callable[[], None] = lambda: None, *, limit: int | None = None) -> dict[str, object]:
    """`read`: the share of pictures with every code read and nothing else, by kind; `invented`: codes that are not
    there; `missed`: what was not read.
    """
    right = {kind: list[bool]() for kind in KINDS}
    invented, missed = 0, list[str]()
    for view in views(limit=limit):
        found = [code.text for code in read_codes(view.rgb)]
        right[view.kind].append(sorted(found) == sorted(view.truth))
        invented += sum(text not in view.truth for text in found)
        missed += [f"{view.kind}: {text}" for text in view.truth if text not in found]
        tick()
    every = [one for kind in right.values() for one in kind]
    return {
        "pictures": len(every),
        "read": {kind: float(np.mean(hits)) for kind, hits in right.items() if hits} | {"all": float(np.mean(every))},
        "invented": invented,
        "missed": missed,
    }


def _inverse(bars: str) -> str:
    return bars.translate(str.maketrans("01", "10"))


def _view(kind: str, photograph: UInt8Array, rng: np.random.Generator) -> View:
    rgb = filling(photograph)
    n = 0 if kind == "none" else int(rng.integers(2, 5)) if kind == "several" else 1
    truth = list[str]()
    for slot in range(n):
        code, text = _code(rng)
        if text in truth:
            continue
        truth.append(text)
        code = 255 - code if kind == "inverted" and _is_square(code) else code
        code = _damaged(code, rng) if kind == "damaged" else code
        _lay(rgb, code, kind, (slot, n), rng)
    if kind == "dark":
        rgb = np.clip(rgb * 0.18 + rng.normal(0, 3, rgb.shape), 0, 255).astype(np.uint8)
    noise = rng.normal(0, 2, rgb.shape)
    return View(kind, tuple(truth), np.clip(rgb + noise, 0, 255).astype(np.uint8))


def _code(rng: np.random.Generator) -> tuple[UInt8Array, str]:
    if rng.random() < 1 / 3:
        digits = with_check_digit("".join(str(one) for one in (rng.integers(1, 10), *rng.integers(0, 10, 11))))
        return ean13(digits), digits
    text = _TEXTS[int(rng.integers(len(_TEXTS)))]
    return qr_code(text), text


def _is_square(code: UInt8Array) -> bool:
    return code.shape[0] == code.shape[1]


def filling(photograph: UInt8Array) -> UInt8Array:
    """The middle of a photograph as large as a view."""
    width, height = _SIZE
    scale = max(width / photograph.shape[1], height / photograph.shape[0])
    large = cv2.resize(photograph, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    top, left = (large.shape[0] - height) // 2, (large.shape[1] - width) // 2
    return np.array(large[top : top + height, left : left + width], np.uint8)


def _damaged(code: UInt8Array, rng: np.random.Generator) -> UInt8Array:
    """A stain over some five hundredths of a QR code, off its finders; a scratch along a bar code; and worn print."""
    code = code.copy()
    height, width = code.shape
    if _is_square(code):
        side = round(width * 0.2)
        top, left = (int(rng.integers(round(height * 0.4), round(height * 0.65))) for _ in range(2))
        code[top : top + side, left : left + side] = int(rng.integers(0, 256))
    else:
        top = int(rng.integers(0, height // 2))
        code[top : top + height // 4] = int(rng.integers(0, 256))
    worn = rng.random((height // 4 + 1, width // 4 + 1)) < 0.02
    return np.where(np.repeat(np.repeat(worn, 4, 0), 4, 1)[:height, :width], 255, code).astype(np.uint8)


def _across(kind: str, n: int, *, is_square: bool) -> float:
    """How wide a code is in pixels, of `n` in the view."""
    share = 0.16 if kind == "small" else 0.4 if n < 2 else 0.5 / n * _SIZE[0] / _SIZE[1]
    nearer = 1.0 if is_square else 1.9  # more bars lie side by side than dots
    return share * _SIZE[1] * nearer


def _lay(rgb: UInt8Array, code: UInt8Array, kind: str, place: tuple[int, int], rng: np.random.Generator) -> None:
    """Puts the code into the picture, at `place[0]` of `place[1]` from left to right, as a sheet turned in space."""
    slot, n = place
    across = _across(kind, n, is_square=_is_square(code))
    tall = across * code.shape[0] / code.shape[1]
    centre = np.array([(slot + 0.5) * _SIZE[0] / n, _SIZE[1] / 2]) + rng.uniform(-0.06, 0.06, 2) * _SIZE[1]
    corners = np.array([[-across, -tall], [across, -tall], [across, tall], [-across, tall]]) / 2
    turn = np.radians(rng.uniform(-30, 30) if kind == "tilted" else rng.uniform(-4, 4))
    turned = corners @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    if kind == "tilted":  # the farther edge of a square is up to a quarter shorter; what is flat recedes less
        turned[:2] *= 1 - rng.uniform(0.05, 0.25) * tall / across
    target = (turned + centre).astype(np.float32)
    height, width = code.shape
    source = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    matrix = cv2.getPerspectiveTransform(source, target)
    laid = cv2.warpPerspective(code, matrix, _SIZE, flags=cv2.INTER_AREA)
    mask = cv2.warpPerspective(np.full_like(code, 255), matrix, _SIZE, flags=cv2.INTER_AREA)[..., None] / 255.0
    rgb[:] = np.clip(rgb * (1 - mask) + laid[..., None] * mask, 0, 255).astype(np.uint8)
