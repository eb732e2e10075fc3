"""What the assistant says without asking the backbone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from glasses.assistant.unseen import NO_PICTURE, unseen
from glasses.events import Draft
from glasses.types import Latents, Turn

SOUND = Latents(0, 1, "sound", np.zeros((1, 8), np.float32), "a:1")
LOOK = Draft(Turn(1, 0, "long_press", (SOUND,)), np.zeros((4, 8), np.float32), True, True, False, (0, 0))


def test_unseen_look_without_a_picture_says_so() -> None:
    assert unseen(LOOK) == NO_PICTURE


def test_unseen_look_with_a_picture_a_partial_draft_or_a_tap_asks_the_backbone() -> None:
    assert unseen(replace(LOOK, turn=replace(LOOK.turn, inputs=(replace(SOUND, modality="image"), SOUND)))) == ""
    assert unseen(replace(LOOK, may_be_complete=False)) == ""
    assert unseen(replace(LOOK, turn=replace(LOOK.turn, cause="tap"))) == ""


def test_unseen_look_in_which_nothing_can_be_made_out_says_why() -> None:
    dark = replace(LOOK, turn=replace(LOOK.turn, inputs=(replace(SOUND, modality="image"), SOUND)), unseen="Too dark.")
    assert unseen(dark) == "Too dark."
    assert unseen(replace(dark, turn=replace(dark.turn, cause="tap"))) == ""
