"""A picture that the wearer asked for: taken in full size, and saved with its time as its name."""

from __future__ import annotations

import logging
import os
from concurrent.futures import Future
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

from PIL import Image

from glasses.devices.camera_supervisor import CameraSupervisor
from glasses.devices.local import WornParts
from glasses.errors import InputError, Reason, SensorError
from glasses.types import UInt8Array

log = logging.getLogger(__name__)
WAIT_S = 12.0  # a photograph over the link takes up to ten seconds
_QUALITY = 92
_EXIF_TIME, _EXIF_MAKER = 0x0132, 0x0131  # DateTime, Software
_MOST_A_SECOND = 100


def take(camera: CameraSupervisor, parts: WornParts | None, wait_s: float = WAIT_S) -> UInt8Array:
    """The next picture, uint8 (H, W, 3), with the capture light on where the glasses have one of their own.

    Raises SensorError: NOT_FOUND where no camera is open, TIMEOUT where no picture comes.
    """
    picture = Future[UInt8Array]()

    def give(rgb: UInt8Array) -> None:
        if not picture.done():
            picture.set_result(rgb)

    with ExitStack() as stack:
        if parts and _light(parts, True):
            stack.callback(_light, parts, False)
        if not camera.photograph(give):
            raise SensorError(Reason.NOT_FOUND, "There is no camera open now.")
        try:
            return picture.result(wait_s)
        except TimeoutError as error:
            raise SensorError(Reason.TIMEOUT, "No picture came from the camera.") from error


def save(rgb: UInt8Array, folder: Path, now: datetime) -> Path:
    """Writes it as a JPEG that nobody else may read; never over another. Raises InputError(NO_SPACE)."""
    exif = Image.Exif()
    exif[_EXIF_TIME], exif[_EXIF_MAKER] = now.strftime("%Y:%m:%d %H:%M:%S"), "glasses"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(_new_file(folder, f"{now:%Y-%m-%d-%H-%M-%S}"), "xb", opener=_private) as file:
            Image.fromarray(rgb).save(file, "JPEG", quality=_QUALITY, exif=exif)
            return Path(str(file.name))
    except OSError as error:
        raise InputError(Reason.NO_SPACE, f"The picture could not be saved: {error.strerror or error}.") from error


def _new_file(folder: Path, stem: str) -> Path:
    paths = [folder / f"{stem}{f'-{n}' if n > 1 else ''}.jpg" for n in range(1, _MOST_A_SECOND)]
    return next((path for path in paths if not path.exists()), paths[-1])


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _light(parts: WornParts, on: bool) -> bool:
    """Whether there is such a light, and it was switched."""
    try:
        parts.capture_light(on)
    except SensorError as error:
        log.log(logging.DEBUG if error.reason is Reason.UNSUPPORTED else logging.WARNING, "capture light: %s", error)
        return False
    return True
