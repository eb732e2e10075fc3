"""Reads text in a picture: a detector finds its lines, a recognizer gives each as letters with their probabilities.

PP-OCRv6 (Apache-2.0): a DB detector and a CTC recognizer, as ONNX. Letters of the Latin and Greek alphabets, digits,
signs, and Chinese characters; none of Cyrillic, Arabic, Hebrew, Devanagari, Thai or Hangul.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

from glasses.encoders.image import check_picture
from glasses.encoders.text_boxes import boxes_in, flattened, is_upright
from glasses.encoders.text_letters import Alphabet, Script
from glasses.encoders.text_order import rows_in_order
from glasses.errors import ModelError, Reason
from glasses.media import letters as letter_latents
from glasses.model_store.onnx import open_session
from glasses.types import Float32Array, Latents, UInt8Array, frozen

LOOK_PX = 960  # longest side of the picture that the detector sees
MIN_LOOK_PX = 320  # a smaller picture is enlarged
CLOSER_PX = 1600  # where the print is small
SMALL_PX = 14.0  # height of a line that is small print for the detector
MIN_SURENESS = 0.6  # mean probability of the letters of a line; below it the line is not read
SINGLE_SURENESS = 0.95  # of a line of one letter: an edge or a ring in the view looks like one
HIGHEST_LINE, SHORTEST_LINE = 0.3, 2.0  # of the picture's height; of the line's own height
SURELY_TEXT = 0.75  # of a box by the detector: what cannot be read there is text all the same
TURNED_SURENESS = 0.8  # below it a line is tried upside down, too
MAX_STRIP_PX = 2400  # width of a line at the height of 48; longer ones are pressed together
_GRID = 32  # the detector's sides are multiples of it
_MIN_STRIP_PX = 320  # the recognizer was trained on strips of this width or more, filled up with grey
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)  # of the detector (PaddleOCR), in the order blue, green, red
_STD = np.array([0.229, 0.224, 0.225], np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class TextLine:
    """One line of text.

    `box` float32 (4, 2): its corners in pixels, x and y, clockwise from the first letter's top. `sureness`: mean
    probability of its letters. `letters` float32 (T, C): for each step along the line the probability of each of the
    recognizer's letters, of which the first is "none". `row`: lines with the same number stand beside each other.
    `script`: "latin", "greek" or "chinese" letters, or "unknown", where `text` means nothing.
    """

    text: str
    box: Float32Array
    sureness: float
    letters: Float32Array
    row: int = 0
    script: Script = "latin"


@dataclass(frozen=True, slots=True)
class TextView:
    """The text in a picture: the `lines` that could be read, how many more are surely text but could not be, and how
    many of those seem to be in an unknown script.
    """

    lines: tuple[TextLine, ...]
    n_unread: int = 0
    n_unknown: int = 0


class TextEncoder:
    """`read` gives the lines of a picture in reading order, `encode` their latents.

    The networks are opened when they are first needed.
    """

    space = letter_latents.SPACE

    def __init__(self, detector: Path, recognizer: Path, *, n_threads: int = 1) -> None:
        """Raises nothing: see `read`."""
        self._paths, self._n_threads = (detector, recognizer), n_threads
        self._lock = threading.Lock()
        self._networks: tuple[onnxruntime.InferenceSession, onnxruntime.InferenceSession] | None = None
        self._alphabet = Alphabet(())

    @property
    def alphabet(self) -> tuple[str, ...]:
        """The letter of each column of `TextLine.letters`; the first is "" (none). Raises as `read`."""
        self._opened()
        return self._alphabet.letters

    def read(self, rgb: UInt8Array) -> list[TextLine]:
        """The lines of a picture uint8 (H, W, 3), in reading order; none where there is no text, or none can be read.

        Raises InputError(BAD_INPUT | TOO_LARGE) on anything that is not a picture, ModelError(NOT_FOUND | CORRUPT).
        """
        return list(self.view(rgb).lines)

    def view(self, rgb: UInt8Array) -> TextView:
        """The lines of a picture as `read` gives them, and what could not be read. Raises as `read`."""
        check_picture(rgb)
        boxes, detected = self.find(rgb)
        read, n_unread, n_unknown = list[TextLine](), 0, 0
        for row, indices in enumerate(rows_in_order(boxes)):
            for i in indices:
                line = self._read_line(rgb, boxes[i], row)
                if _is_read(line):
                    read.append(line)
                elif detected[i] >= SURELY_TEXT and _is_line(boxes[i], rgb.shape[0]):
                    n_unread += 1
                    n_unknown += line.script == "unknown"
        return TextView(tuple(read), n_unread, n_unknown)

    def encode(self, rgb: UInt8Array, t_ns: int = 0) -> Latents:
        """The latents of what can be read in a picture, float32 (T, letters.WIDTH); T is 0 where there is no text.

        Raises as `read`.
        """
        return self.latents_of(self.read(rgb), rgb, t_ns)

    def latents_of(self, lines: Sequence[TextLine], rgb: UInt8Array, t_ns: int = 0) -> Latents:
        """The latents of lines that were read in a picture."""
        size = np.array(rgb.shape[1::-1], np.float32)
        scripts: set[Script] = {line.script for line in lines}
        points = {one: self._alphabet.code_points(one) for one in scripts}
        soft = [letter_latents.soft_line(one.letters, points[one.script], one.row, one.box / size) for one in lines]
        return Latents(t_ns, 0, "text", frozen(letter_latents.packed(soft)), self.space)

    def find(self, rgb: UInt8Array) -> tuple[Float32Array, Float32Array]:
        """The boxes (n, 4, 2) of lines of text in a picture, and how sure each is text (n,). Raises ModelError as
        `read`.
        """
        longest = max(rgb.shape[:2])
        found = self._find(rgb, min(LOOK_PX, max(longest, MIN_LOOK_PX)))
        boxes = found[0]
        if not len(boxes) or longest <= LOOK_PX:
            return found
        heights = np.linalg.norm(boxes[:, 3] - boxes[:, 0], axis=1)
        if float(np.median(heights)) * LOOK_PX / longest >= SMALL_PX:
            return found
        return self._find(rgb, min(CLOSER_PX, longest))

    def _find(self, rgb: UInt8Array, longest_px: int) -> tuple[Float32Array, Float32Array]:
        height, width = rgb.shape[:2]
        scale = longest_px / max(height, width)
        size = [max(round(side * scale / _GRID), 1) * _GRID for side in (width, height)]
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        bgr = cv2.resize(rgb, (size[0], size[1]), interpolation=how)[:, :, ::-1].astype(np.float32) / 255
        pixels = np.ascontiguousarray(((bgr - _MEAN) / _STD).transpose(2, 0, 1)[None])
        (found,) = self._opened()[0].run(None, {"x": pixels})
        return boxes_in(np.asarray(found, np.float32)[0, 0], (width / size[0], height / size[1]))

    def _read_line(self, rgb: UInt8Array, box: Float32Array, row: int) -> TextLine:
        if is_upright(box):  # read from top to bottom, as on the spine of a book
            box = np.roll(box, -3, axis=0)
        line = self._recognize(rgb, box, row)
        if line.sureness < TURNED_SURENESS:
            turned = self._recognize(rgb, np.roll(box, -2, axis=0), row)
            return turned if turned.sureness > line.sureness and len(turned.text) >= len(line.text) else line
        return line

    def _recognize(self, rgb: UInt8Array, box: Float32Array, row: int) -> TextLine:
        strip = flattened(rgb, box)
        if strip.shape[1] > MAX_STRIP_PX:
            strip = cv2.resize(strip, (MAX_STRIP_PX, strip.shape[0]), interpolation=cv2.INTER_AREA)
        pixels = np.zeros((1, 3, strip.shape[0], max(strip.shape[1], _MIN_STRIP_PX)), np.float32)
        pixels[0, :, :, : strip.shape[1]] = (strip[:, :, ::-1].astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)
        (letters,) = self._opened()[1].run(None, {"x": pixels})
        read = self._alphabet.read(np.asarray(letters, np.float32)[0])
        return TextLine(
            read.text, frozen(box.astype(np.float32)), read.sureness, frozen(read.letters), row, read.script
        )

    def _opened(self) -> tuple[onnxruntime.InferenceSession, onnxruntime.InferenceSession]:
        with self._lock:
            if self._networks is None:
                detector, recognizer = (
                    open_session(path, n_threads=self._n_threads, keep_arena=False) for path in self._paths
                )
                self._alphabet = _alphabet(recognizer, self._paths[1])
                self._networks = detector, recognizer
            return self._networks


def _is_read(line: TextLine) -> bool:
    n_letters = len(line.text.strip())
    surely = MIN_SURENESS if n_letters > 1 else SINGLE_SURENESS
    return n_letters > 0 and line.sureness >= surely and line.script != "unknown"


def _is_line(box: Float32Array, height_px: int) -> bool:
    """Whether a box (4, 2) has the shape of a line of text: what fills a view is sometimes taken for letters."""
    width, height = np.linalg.norm(box[1] - box[0]), np.linalg.norm(box[3] - box[0])
    return bool(height <= HIGHEST_LINE * height_px and width >= SHORTEST_LINE * height)


def _alphabet(recognizer: onnxruntime.InferenceSession, path: Path) -> Alphabet:
    """From the network's metadata: "none", the letters, one a line, and a space where there is room for it."""
    letters = recognizer.get_modelmeta().custom_metadata_map.get("character", "").split("\n")
    n_columns = recognizer.get_outputs()[0].shape[-1]
    alphabet = ("", *letters, " ")
    if len(alphabet) != n_columns:
        raise ModelError(Reason.CORRUPT, f"{path}: {len(letters)} letters for {n_columns} columns: no recognizer")
    return Alphabet(alphabet)
