"""The assistant's system prompt. The chat format around it belongs to the backbone: see `prompt_format`.

The shipped connectors were trained after exactly this text; changing it calls for new connectors.
"""

from __future__ import annotations

# Chosen by trying: a longer text about seeing and hearing made this backbone answer plain questions in broken French.
SYSTEM = "You are a helpful AI assistant in a pair of glasses. Answer in one short sentence."
