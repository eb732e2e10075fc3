"""A whole app for worn glasses: two tools in a process of their own. Start `glasses run`, then

python -m glasses.service.examples.tool_app

and ask "How much room is left on the disk?"
"""

from __future__ import annotations

import random
import shutil

from glasses.service.client import ToolApp, ToolError

app = ToolApp()


@app.tool(examples=("How much room is left on the disk?", "Is the disk full?"), reads_only=True)
def disk_space() -> str:
    """Tells how much room is left on the disk."""
    return f"There are {shutil.disk_usage('/').free / 1e9:.0f} gigabytes left."


@app.tool(examples=("Roll two dice.", "Throw a die.", "Roll six dice for me."))
def roll_dice(dice: int = 1) -> str:
    """Rolls dice."""
    if not 1 <= dice <= 10:
        raise ToolError("I have ten dice.")
    return " and ".join(str(random.randint(1, 6)) for _ in range(dice)) + "."


if __name__ == "__main__":
    app.run()
