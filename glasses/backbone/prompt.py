"""The wording around latents: one chat turn for SmolLM2's template. Knows no sensor and no llama.cpp.

Connectors are trained inside exactly this frame; a change here asks for new connectors.
"""

from __future__ import annotations

# Chosen by trying: a longer text about seeing and hearing made this backbone answer plain questions in broken French.
SYSTEM = "You are a helpful AI assistant in a pair of glasses. Answer in one short sentence."
PREFIX = f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n"
SUFFIX = "<|im_end|>\n<|im_start|>assistant\n"
# Asked when a turn brings latents but neither typed nor spoken words.
ABOUT_SOUND = "What is this sound?"
ABOUT_VIEW = "What is in view?"
