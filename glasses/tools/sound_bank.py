"""Sounds that the assistant can make by itself: short recordings in `sounds/`, found by what people call them."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent / "sounds"
_WORDS = {  # the file's name: what else it is asked for by
    "applause": "applaud clap clapping cheer",
    "bell": "bells ring chime gong",
    "bird": "birds tweet chirp sing birdsong",
    "car": "cars drive motor engine traffic",
    "cat": "cats meow miaow mew kitten purr",
    "dog": "dogs bark woof puppy",
    "door": "doors slam",
    "drums": "drum drumming drummer",
    "flute": "flutes piccolo",
    "helicopter": "chopper",
    "horse": "horses gallop hooves",
    "laughter": "laugh laughing haha",
    "piano": "pianist",
    "rain": "raining shower",
    "siren": "sirens police ambulance",
    "telephone": "phone telephones ringtone",
    "thunder": "thunderstorm storm lightning",
    "train": "trains railway locomotive",
    "trumpet": "trumpets fanfare trombone",
    "whistle": "whistling whistles referee",
}
_NAMES = {word: name for name, words in _WORDS.items() for word in (name, *words.split())}


def names() -> list[str]:
    """Those that there are."""
    return sorted(_WORDS)


def find(asked: str) -> Path | None:
    """The sound that somebody asks for in words; None where there is none like it."""
    words = "".join(c if c.isalnum() else " " for c in asked.lower()).split()
    for word in words:
        for form in (word, word.removesuffix("s"), word.removesuffix("ing")):
            if form in _NAMES:
                return FOLDER / f"{_NAMES[form]}.ogg"
    return None
