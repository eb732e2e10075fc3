"""Asks pip whether every base dependency can be had for arm64 boards: `python hardware/check_arm64.py [--extra NAME]`.

A dependency without a wheel for arm64 must at least come as source (llama-cpp-python does: a board compiles it once).
Then everything that has wheels is resolved together with all that it needs in turn, and with what those of source need;
all of that must come as wheels. Exits with 1 where something cannot be had. Downloads into a scratch folder; installs
nothing.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = "3.11"  # Debian 12, which Raspberry Pi OS is made of
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")


def tested(requirement: str) -> str:
    """The release of .ci/constraints.txt that a requirement of pyproject.toml is tested with, as name==version."""
    name = re.split(r"[<>=~ ]", requirement, maxsplit=1)[0].lower().replace("_", "-")
    lines = (ROOT / ".ci" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return next(line for line in lines if line.startswith(f"{name}=="))


def wheel(requirement: str, folder: str) -> str | None:
    """The file name of the arm64 (or pure Python) wheel that pip finds, or None."""
    platforms = [part for name in PLATFORMS for part in ("--platform", name)]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    only = ["--only-binary", ":all:", "--python-version", PYTHON, "--implementation", "cp", *platforms]
    before = set(Path(folder).iterdir())
    done = subprocess.run([*command, *only, "--dest", folder, requirement], capture_output=True, text=True, check=False)
    return next((path.name for path in set(Path(folder).iterdir()) - before), None) if done.returncode == 0 else None


def wheels(requirements: list[str]) -> list[str] | None:
    """The arm64 (or pure Python) wheels that pip would install for `requirements` and all they need, or None."""
    platforms = [part for name in PLATFORMS for part in ("--platform", name)]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--dry-run"]
    only = ["--only-binary", ":all:", "--python-version", PYTHON, "--implementation", "cp", *platforms]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        apart = ["--ignore-installed", "--target", folder, "--report", str(report)]
        done = subprocess.run([*command, *only, *apart, *requirements], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return None
        found = json.loads(report.read_text(encoding="utf-8"))["install"]
    return [one["download_info"]["url"].rpartition("/")[2] for one in found]


def needs(requirement: str) -> list[str]:
    """What a package asks for without extras, by its metadata installed here; nothing where it is not installed."""
    try:
        asked = requires(requirement.partition("==")[0]) or []
    except PackageNotFoundError:
        return []
    return [one for one in asked if "extra ==" not in one]


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
    asked = project["optional-dependencies"][args.extra] if args.extra else project["dependencies"]
    needed = [tested(requirement) for requirement in asked]
    missing, together = 0, []
    with tempfile.TemporaryDirectory() as folder:
        for requirement in needed:
            found = wheel(requirement, folder)
            together += [requirement] if found else needs(requirement)
            if found is None and has_source(requirement):
                found = "source only: the board compiles it"
            missing += found is None
            print(f"{requirement:36} {found or 'MISSING for arm64'}", flush=True)
    found = wheels(together)
    missing += found is None
    print("with all they need:", ", ".join(found) if found else "MISSING for arm64: something that these need")
    return int(missing > 0)


if __name__ == "__main__":
    sys.exit(main())
