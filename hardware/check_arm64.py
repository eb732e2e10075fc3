"""Asks pip whether every base dependency can be had for arm64 boards: `python hardware/check_arm64.py [--extra NAME]`.

A dependency without a wheel for arm64 must at least come as source (llama-cpp-python does: a board compiles it once).
Exits with 1 where one can be had in neither form. Downloads wheels into a scratch folder; installs nothing.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = "3.11"  # Debian 12, which Raspberry Pi OS is made of
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")


def wheel(requirement: str, folder: str) -> str | None:
    """The file name of the arm64 (or pure Python) wheel that pip finds, or None."""
    platforms = [part for name in PLATFORMS for part in ("--platform", name)]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    only = ["--only-binary", ":all:", "--python-version", PYTHON, "--implementation", "cp", *platforms]
    before = set(Path(folder).iterdir())
    done = subprocess.run([*command, *only, "--dest", folder, requirement], capture_output=True, text=True, check=False)
    return next((path.name for path in set(Path(folder).iterdir()) - before), None) if done.returncode == 0 else None


def has_source(requirement: str) -> bool:
    """Whether the version is published as source; pip's list of versions counts files of every kind."""
    name, _, version = requirement.partition("==")
    command = [sys.executable, "-m", "pip", "index", "versions", "--disable-pip-version-check", "--no-binary", ":all:"]
    done = subprocess.run([*command, name], capture_output=True, text=True, check=False)
    return done.returncode == 0 and version in done.stdout.replace(",", " ").split()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--extra", help="check an extra of pyproject.toml instead of the base")
    args = parser.parse_args()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = project["optional-dependencies"][args.extra] if args.extra else project["dependencies"]
    missing = 0
    with tempfile.TemporaryDirectory() as folder:
        for requirement in needed:
            found = wheel(requirement, folder)
            if found is None and has_source(requirement):
                found = "source only: the board compiles it"
            missing += found is None
            print(f"{requirement:36} {found or 'MISSING for arm64'}", flush=True)
    return int(missing > 0)


if __name__ == "__main__":
    sys.exit(main())
