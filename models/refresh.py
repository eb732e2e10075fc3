"""Rewrites size_bytes and sha256 of the committed files in a manifest: `python -m models.refresh NAME...`

Run it after retraining an artifact. Only [[files]] with a `file:` source change; everything else in the manifest stays
as it was typed.
"""

from __future__ import annotations

import re
import sys
import tomllib

from glasses.data import data_path
from glasses.model_store.manifests import MANIFESTS
from glasses.model_store.store import sha256_of


def refreshed(text: str) -> str:
    """The manifest `text` with today's size and sha256 of its `file:` entries. Raises FileNotFoundError."""
    head, *entries = re.split(r"(?m)^(?=\[\[files\]\])", text)
    for i, entry in enumerate(entries):
        origins = tomllib.loads(entry)["files"][0]["sources"]
        committed = [str(one).removeprefix("file:") for one in origins if str(one).startswith("file:")]
        if not committed:
            continue
        path = data_path(committed[0])
        sized = re.sub(r"(?m)^size_bytes\s*=.*$", f"size_bytes = {path.stat().st_size}", entry)
        entries[i] = re.sub(r"(?m)^sha256\s*=.*$", f'sha256 = "{sha256_of(path)}"', sized)
    return head + "".join(entries)


def main(names: list[str]) -> int:
    """Refreshes each named manifest in place and says what changed."""
    if not names or names[0].startswith("-"):
        sys.exit("usage: python -m models.refresh NAME...   (a manifest in models/manifests, without .toml)")
    for name in names:
        path = MANIFESTS / f"{name}.toml"
        before = path.read_text(encoding="utf-8")
        after = refreshed(before)
        path.write_text(after, encoding="utf-8")
        print(f"{name}: {'unchanged' if after == before else 'refreshed'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
