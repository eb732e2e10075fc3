"""Training pictures for the image connector: fetched from packages, cut out, composed, encoded.

Photographs of Debian packages and of two wheels, and the photographic stamps of Tux Paint and the 3D renders of
Fluent Emoji on photographic, plain or graded backgrounds. None of it is ever held out: the held-out photographs
(models/eval/pictures) are GCompris's, other authors.

    python -m models.recipes.image_pictures --work DIR [--encoder E.onnx]

leaves DIR/photos (which quantize/image_encoder.py calibrates on) and, given the encoder, DIR/features.npz.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from glasses.encoders.image import ImageEncoder
from models.recipes import image_names
from models.recipes.image_model import pooling

Rgb = NDArray[np.uint8]
DEBIAN = (  # bookworm, main; package, folder inside it
    ("darknet", "usr/share/darknet/data"),
    ("lomiri-wallpapers-16.04", "usr/share/backgrounds"),
    ("lomiri-wallpapers-20.04", "usr/share/backgrounds"),
    ("mate-backgrounds", "usr/share/backgrounds/mate/nature"),
    ("opencv-doc", "usr/share/doc/opencv-doc/examples"),
    ("plasma-workspace-wallpapers", "usr/share/wallpapers"),
)
WHEELS = (("scikit-image==0.26.0", "skimage/data/"), ("scikit-learn==1.9.1", "sklearn/datasets/images/"))
OPENCV = (
    "fruits baboon squirrel_cls home aloeL orange messi5 apple butterfly building leuvenA stuff 000 001 002".split()
)
SKIMAGE = "astronaut chelsea coffee motorcycle_left rocket camera china flower".split()
STAMPS, EMOJI = "tuxpaint-stamps-default", "@lobehub/fluent-emoji-3d@1.1.0"
# Cut-out things of picture_names.tsv: folder below src, and how many pictures are composed of each.
CUT_OUTS = {"stamp": (f"{STAMPS}/usr/share/tuxpaint/stamps", 24), "emoji": ("emoji/package/assets", 6)}
PHOTO_PX = 480  # short side kept
CROPS = 24  # of each photograph
SEED = 20260


def fetch(work: Path) -> None:
    """Downloads and unpacks the packages below `work`/src; what is there already is kept. Needs apt-get, npm, pip."""
    source = work / "src"
    source.mkdir(parents=True, exist_ok=True)
    for package, _ in (*DEBIAN, (STAMPS, "")):
        if not (source / package).is_dir():
            subprocess.run(["apt-get", "download", "-q", package], cwd=source, check=True)
            (archive,) = source.glob(f"{package}_*.deb")
            subprocess.run(["dpkg-deb", "-x", str(archive), str(source / package)], check=True)
    if not (source / "emoji").is_dir():
        subprocess.run(["npm", "pack", "--silent", EMOJI], cwd=source, check=True)
        (archive,) = source.glob("lobehub-fluent-emoji-3d-*.tgz")
        shutil.unpack_archive(archive, source / "emoji", filter="data")
    for wheel, _ in WHEELS:
        if not list(source.glob(wheel.split("==")[0].replace("-", "_") + "-*.whl")):
            pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(source), wheel]
            subprocess.run(pip, check=True)


def _originals(source: Path) -> Iterator[tuple[str, bytes]]:
    """Yields (package/name.jpg, file content) of every photograph."""
    for package, folder in DEBIAN:
        root = source / package / folder
        if package.startswith("plasma"):  # one picture in many sizes: take a middling one
            for wallpaper in sorted(root.iterdir()):
                sizes = sorted(wallpaper.glob("contents/images/*.*"), key=lambda p: p.stat().st_size)
                if sizes:
                    yield f"{package}/{wallpaper.name}.jpg", sizes[len(sizes) // 2].read_bytes()
            continue
        for path in sorted(root.rglob("*.jpg")):
            if package != "opencv-doc" or path.stem in OPENCV:
                yield f"{package}/{path.stem}.jpg", path.read_bytes()
    for wheel, folder in WHEELS:
        stem = wheel.split("==")[0].replace("-", "_")
        with zipfile.ZipFile(next(source.glob(f"{stem}-*.whl"))) as archive:
            for name in sorted(archive.namelist()):
                if name.startswith(folder) and Path(name).stem in SKIMAGE and name.endswith((".png", ".jpg")):
                    yield f"{stem}/{Path(name).stem}.jpg", archive.read(name)


def save_photos(work: Path) -> None:
    """Writes every photograph to `work`/photos, short side 480."""
    for name, content in _originals(work / "src"):
        bgr = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        if bgr is None:
            continue
        scale = min(1.0, PHOTO_PX / min(bgr.shape[:2]))
        path = work / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), cv2.resize(bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))


def crop(rng: np.random.Generator, rgb: Rgb, least: float) -> Rgb:
    """A random square of at least `least` of the short side, maybe mirrored."""
    height, width = rgb.shape[:2]
    side = int(min(height, width) * rng.uniform(least, 1))
    top, left = rng.integers(0, height - side + 1), rng.integers(0, width - side + 1)
    square = cv2.resize(np.ascontiguousarray(rgb[top : top + side, left : left + side]), (256, 256))
    return np.ascontiguousarray(square[:, ::-1] if rng.random() < 0.5 else square).astype(np.uint8)


def background(rng: np.random.Generator, photos: list[Rgb]) -> Rgb:
    """A blurred photograph, a plain colour (often white, as in catalogues), or a gradient; uint8 (256, 256, 3)."""
    choice = rng.random()
    if choice < 0.5:
        blur = int(rng.integers(0, 4)) * 2 + 1
        return cv2.GaussianBlur(crop(rng, photos[rng.integers(len(photos))], 0.4), (blur, blur), 0).astype(np.uint8)
    white = choice < 0.65
    ends = (
        rng.uniform(200 if white else 0, 255, (2, 3)) if choice < 0.8 else np.repeat(rng.uniform(0, 255, (1, 3)), 2, 0)
    )
    ramp = np.linspace(0, 1, 256)[:, None, None]
    plain = np.broadcast_to(ends[0] * (1 - ramp) + ends[1] * ramp, (256, 256, 3))
    return np.clip(plain + rng.normal(0, 4, (256, 256, 3)), 0, 255).astype(np.uint8)


def compose(rng: np.random.Generator, stamp: NDArray[np.uint8], photos: list[Rgb]) -> Rgb:
    """`stamp` (RGBA) turned, scaled and lit at random on a background; uint8 (256, 256, 3)."""
    height, width = stamp.shape[:2]
    scale = 256 * rng.uniform(0.5, 1.15) / max(height, width)
    angle = rng.normal(0, 12)
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, scale)
    matrix[:, 2] += 128 + rng.normal(0, 18, 2) - (width / 2, height / 2)
    placed = cv2.warpAffine(stamp, matrix, (256, 256), flags=cv2.INTER_AREA).astype(np.float32)
    alpha = placed[..., 3:] / 255
    colour = np.clip((placed[..., :3] - 128) * rng.uniform(0.75, 1.2) + 128 + rng.normal(0, 12), 0, 255)
    picture = background(rng, photos) * (1 - alpha) + colour * alpha
    picture = picture * rng.uniform(0.8, 1.1) + rng.normal(0, rng.uniform(0, 5), picture.shape)
    rgb = np.clip(picture, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(rgb[:, ::-1] if rng.random() < 0.5 else rgb)


def pictures(work: Path) -> Iterator[tuple[Rgb, str]]:
    """Yields every training picture with its name ("" where nobody named it), the same ones on every run."""
    names = image_names.read_pictures()
    paths = sorted((work / "photos").rglob("*.jpg"))
    photos = [cv2.cvtColor(cv2.imread(str(p)), cv2.COLOR_BGR2RGB).astype(np.uint8) for p in paths]
    for path, rgb in zip(paths, photos, strict=True):
        key = path.relative_to(work / "photos").as_posix()
        rng, name = _rng(key), names.get(key, ("", ""))[0]
        for _ in range(CROPS):
            yield crop(rng, rgb, 0.6 if name else 0.3), name
    for path, (name, _) in names.items():
        collection, _, file = path.partition("/")
        if collection not in CUT_OUTS:
            continue
        folder, count = CUT_OUTS[collection]
        bgra = cv2.imread(str(work / "src" / folder / file), cv2.IMREAD_UNCHANGED)
        if bgra.ndim == 2:
            bgra = cv2.cvtColor(bgra, cv2.COLOR_GRAY2BGRA)
        rgba = cv2.cvtColor(bgra, cv2.COLOR_BGRA2RGBA if bgra.shape[2] == 4 else cv2.COLOR_BGR2RGBA).astype(np.uint8)
        rng = _rng(path)
        for _ in range(count):
            yield compose(rng, rgba, photos), name


def _rng(key: str) -> np.random.Generator:
    """A generator of each picture's own, so that adding one changes no other."""
    return np.random.default_rng((SEED, zlib.crc32(key.encode())))


def encode(work: Path, encoder: ImageEncoder) -> Path:
    """Encodes every training picture; writes its pooled regions (n, 5, 1280), its name, and the latents' space."""
    weights = pooling()
    regions, names = [], []
    for rgb, name in pictures(work):
        regions.append((weights @ encoder.encode(rgb).data).astype(np.float16))
        names.append(name)
    out = work / "features.npz"
    np.savez(out, regions=np.stack(regions), names=np.array(names), space=encoder.space)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--encoder", type=Path, help="also encode the pictures with this ONNX file")
    args = parser.parse_args()
    fetch(args.work)
    save_photos(args.work)
    if args.encoder:
        print(encode(args.work, ImageEncoder(args.encoder)))


if __name__ == "__main__":
    main()
