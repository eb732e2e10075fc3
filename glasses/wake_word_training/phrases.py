"""Texts for negative examples of a wake phrase: near misses, everyday words, babble; and the check of a phrase."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

from glasses.errors import InputError, Reason

LEAST_SYLLABLES = 3  # shorter phrases occur in other words all day long
MOST_WORDS = 5
_VOWELS = re.compile(r"[aeiouy]+")
_NUCLEI = "a e i o u ay ee ie oa oo ou air ar er or".split()
_CODAS = ["", "", "", *"b ck d f g l m n p r s t v x z sh ch st ss nd nt lk sk".split()]
_ONSETS = "b c d f g h j k l m n p r s t v w br cl dr fl gr pl pr sh sl st tr".split()
# Common English words of all shapes; eight at random are no sentence, but they sound like anything.
WORDS = """the a and then but with about after again always another answer apple around asked away baby back bag bath
bed before begin better big bird black blue boat book bottle box boy bread bridge brother brown build bus business
call camera car card careful carry chair change cheese child city clean clock close clothes coffee cold color come
computer cook corner country cup dance day dear different dinner doctor dog door down dream dress drink drive early
earth east easy eat egg eight evening every eye face fall family far farm fast father few field fine finger fire first
fish five floor flower food foot forest forget friend front full game garden girl give glad gold good grass great green
ground group grow half hand happy hard have head hear heart heavy hello help here high hill hold home horse hot hour
house hundred hungry idea inside island job jump keep kind kitchen know large last late laugh learn leave left letter
life light like line listen little live long look lose loud love lunch machine make man many market maybe meet message
middle milk million minute money month moon morning mother mountain mouth move music name narrow never new news next
nice night nine noise north nothing number ocean often old open orange other outside over paint paper parents party
pencil people perhaps person picture piece place plant play please point police possible present pretty problem public
purple question quick quiet quite rain read ready really red remember rest rice ride right river road room round run
sad salt same school sea second see seven shadow she shop short should sign simple sing sister sleep slow small smile
snow some song soon sound south speak spring stand star start station still stone stop story straight street strong
student sugar summer sun sure surprise sweet table take talk tall teacher tell ten thank think thirty thousand three
ticket time tired today together tomorrow tonight too town train travel tree true try twenty under until use usually
very village visit voice wait walk wall warm watch water weather week welcome west wet what when where white why wide
wife window winter woman wonder wood word work world write wrong year yellow yes yesterday you young""".split()


def checked(phrase: str) -> str:
    """The phrase in lower case, one space between words.

    Raises InputError(BAD_INPUT) for one too short to be told from everyday talk, too long to say in one breath, or with
    anything but letters.
    """
    phrase = " ".join(phrase.lower().split())
    if not re.fullmatch(r"[a-z' ]+", phrase):
        raise InputError(Reason.BAD_INPUT, f"a wake phrase is made of plain words, not {phrase!r}")
    n = sum(syllables(word) for word in phrase.split())
    if n < LEAST_SYLLABLES:
        raise InputError(
            Reason.BAD_INPUT,
            f"{phrase!r} has {n} syllables, too few: it would wake to everyday talk; take at least {LEAST_SYLLABLES},"
            ' such as "hey glasses"',
        )
    if len(phrase.split()) > MOST_WORDS:
        raise InputError(Reason.BAD_INPUT, f"{phrase!r} is too long to call: at most {MOST_WORDS} words")
    return phrase


def syllables(word: str) -> int:
    """About how many: groups of vowels, without a silent e at the end."""
    groups = len(_VOWELS.findall(word))
    return max(1, groups - (word.endswith("e") and groups > 1 and not word.endswith("le")))


def near_misses(phrase: str, rng: random.Random) -> Iterator[str]:
    """Without end: the phrase with a word left out, replaced, begun otherwise or broken off; never itself."""
    words = phrase.split()
    while True:
        said, i = list(words), rng.randrange(len(words))
        how = rng.randrange(5)
        if how == 0 and len(words) > 1:
            del said[i]
        elif how == 1:
            said[i] = rng.choice(WORDS)
        elif how == 2 and len(said[i]) > 3:  # of a shorter word little would be left to tell it by
            said[i] = rng.choice(_ONSETS) + said[i].lstrip("bcdfghjklmnpqrstvwxz")
        elif how == 3:
            longest = max(range(len(words)), key=lambda j: len(words[j]))
            said = [*words[:longest], words[longest][: max(2, len(words[longest]) // 2)]]
        else:
            longest = max(words, key=len)
            said = [rng.choice(WORDS), longest] if rng.random() < 0.5 else [longest, rng.choice(WORDS)]
        text = " ".join(said)
        if text and text != phrase:
            yield text


def everyday(rng: random.Random) -> Iterator[str]:
    """Without end: four to nine common words."""
    while True:
        yield " ".join(rng.choices(WORDS, k=rng.randint(4, 9)))


def babble(rng: random.Random) -> Iterator[str]:
    """Without end: three to eight words that are none, so that all sounds follow each other."""
    while True:
        yield " ".join(_pseudo_word(rng) for _ in range(rng.randint(3, 8)))


def _pseudo_word(rng: random.Random) -> str:
    return "".join(
        rng.choice(_ONSETS) + rng.choice(_NUCLEI) + rng.choice(_CODAS) for _ in range(rng.choice((1, 1, 2, 2, 3)))
    )
