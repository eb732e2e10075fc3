"""What is said where a turn looks and nothing can be seen."""

from __future__ import annotations

from glasses.events import Draft
from glasses.types import Latents

NO_PICTURE = "I see nothing: no picture came from a camera."


def unseen(draft: Draft) -> str:
    """What is said to a touch that looks where no picture came, or nothing can be made out in it, as the backbone would
    make something up; else "".
    """
    looks = draft.turn.cause == "long_press" and draft.may_be_complete
    has_picture = any(isinstance(one, Latents) and one.modality == "image" for one in draft.turn.inputs)
    if not looks:
        return ""
    return draft.unseen if has_picture else NO_PICTURE
