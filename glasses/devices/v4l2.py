"""Lists the cameras of Linux and their picture formats through V4L2; opens no stream.

Constants and layouts are of the kernel's uapi/linux/videodev2.h.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_CAPABILITY = struct.Struct("=16s32s32sIII12x")  # struct v4l2_capability
_FORMAT = struct.Struct("=III32s4s16x")  # struct v4l2_fmtdesc
_QUERYCAP = 0x8000_0000 | _CAPABILITY.size << 16 | ord("V") << 8 | 0  # _IOR('V', 0, ...)
_ENUM_FMT = 0xC000_0000 | _FORMAT.size << 16 | ord("V") << 8 | 2  # _IOWR('V', 2, ...)
_CAPTURE, _CAPTURE_MPLANE, _DEVICE_CAPS = 0x1, 0x1000, 0x8000_0000
_BUFFER_CAPTURE, _BUFFER_CAPTURE_MPLANE = 1, 9
_MAX_FORMATS = 32


@dataclass(frozen=True, slots=True)
class VideoDevice:
    """One device that captures pictures; `formats` are V4L2's four letters. `problem` says why it cannot be used."""

    path: str
    name: str = ""
    formats: tuple[str, ...] = ()
    problem: str = ""


def cameras(dev: Path = Path("/dev")) -> list[VideoDevice]:
    """Every capture device, in order of number; nodes for metadata or output are left out."""
    paths = sorted(dev.glob("video[0-9]*"), key=lambda path: int(path.name[5:] or 0))
    return [found for path in paths if (found := _look(path)) is not None]


def _look(path: Path) -> VideoDevice | None:
    try:
        fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    except PermissionError:
        return VideoDevice(str(path), problem="no permission; add yourself to its group: sudo usermod -aG video $USER")
    except OSError as error:
        return VideoDevice(str(path), problem=error.strerror or str(error))
    try:
        name, capabilities = parse_capability(fcntl.ioctl(fd, _QUERYCAP, bytes(_CAPABILITY.size)))
        if not capabilities & (_CAPTURE | _CAPTURE_MPLANE):
            return None
        buffers = _BUFFER_CAPTURE if capabilities & _CAPTURE else _BUFFER_CAPTURE_MPLANE
        return VideoDevice(str(path), name, tuple(_formats(fd, buffers)))
    except OSError as error:
        return VideoDevice(str(path), problem=f"not a working video device ({error.strerror})")
    finally:
        os.close(fd)


def parse_capability(answer: bytes) -> tuple[str, int]:
    """The card's name and what this node can do, from a struct v4l2_capability."""
    _driver, card, _bus, _version, all_nodes, this_node = _CAPABILITY.unpack(answer)
    return card.split(b"\0")[0].decode(errors="replace"), this_node if all_nodes & _DEVICE_CAPS else all_nodes


def _formats(fd: int, buffers: int) -> Iterator[str]:
    for index in range(_MAX_FORMATS):
        try:
            answer = fcntl.ioctl(fd, _ENUM_FMT, _FORMAT.pack(index, buffers, 0, b"", b""))
        except OSError:  # EINVAL: there are no more
            return
        yield _FORMAT.unpack(answer)[4].decode("ascii", errors="replace").strip()
