"""`glasses serve` without the extra `service`."""

from __future__ import annotations

import subprocess
import sys


def test_serve_without_msgspec_says_which_extra_is_missing() -> None:
    program = "import sys; sys.modules['msgspec'] = None; from glasses.__main__ import main; sys.exit(main(['serve']))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ran.returncode != 0
    assert "service" in ran.stderr
    assert "Traceback" not in ran.stderr
