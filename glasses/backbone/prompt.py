"""The assistant's wording: its system prompt, and the questions put for turns without words.

The shipped connectors were trained after exactly these texts; changing one calls for new connectors. The chat format
around them belongs to the backbone: see `prompt_format`.
"""

from __future__ import annotations

# Chosen by trying: a longer text about seeing and hearing made this backbone answer plain questions in broken French.
SYSTEM = "You are a helpful AI assistant in a pair of glasses. Answer in one short sentence."
# Asked when a turn brings latents but neither typed nor spoken words.
ABOUT_SOUND = "What is this sound?"
ABOUT_VIEW = "What is in view?"
