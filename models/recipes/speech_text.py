"""The sentences that the speech connector is trained and tested on. Knows text sources, no sound.

Train text: WordNet's example sentences and definitions (Debian `wordnet-base`), `chatterbot-corpus`, questions sampled
from the backbone itself (an empty user turn, as in Magpie, Xu et al. 2024) and a small grammar of things people say to
glasses. One sentence in fifty is held out by the hash of its words, so that no spelling variant of it is ever trained
on.
"""

from __future__ import annotations

import hashlib
import itertools
import random
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

WORDNET = Path("/usr/share/wordnet")
HELD_OUT_ONE_IN = 50
MAX_WORDS = 14
_QUOTED = re.compile(r'"([^"]+)"')
_SPEAKABLE = re.compile(r"[A-Za-z][A-Za-z' ,;:.?!-]*")


def normalise(sentence: str) -> str | None:
    """Returns the sentence as it is spoken: letters and apostrophes, a final . or ?, or None if it cannot be said so.

    The first letter is lowered unless the word is a name or "I": the connector sees words, not typography.
    """
    sentence = " ".join(sentence.replace("\u2019", "'").replace("`", "'").split()).strip("'- ")
    if not _SPEAKABLE.fullmatch(sentence) or re.search(r"\b[A-Z]{2,}|(?<!')\b[b-hj-zB-HJ-Z]\b", sentence):
        return None
    end = "?" if sentence.endswith("?") else "."
    words = re.sub(r"[,;:.?!]|--+|-", " ", sentence).split()
    words = [word.strip("'") for word in words]
    if not 1 <= len(words) <= MAX_WORDS or any(len(word) > 15 or not word for word in words):
        return None
    if not re.match(r"(I\b|I'|[A-Z]\w+ [A-Z])", " ".join(words)):
        words[0] = words[0][0].lower() + words[0][1:]
    return " ".join(words) + end


def held_out(sentence: str) -> bool:
    """Tells whether this sentence belongs to the test side, by the hash of its lower-case words."""
    key = " ".join(re.findall(r"[a-z']+", sentence.lower()))
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") % HELD_OUT_ONE_IN == 0


def wordnet() -> Iterator[str]:
    """Yields the quoted examples of WordNet's glosses, file by file."""
    for part in ("noun", "verb", "adj", "adv"):
        for line in (WORDNET / f"data.{part}").read_text(errors="replace").splitlines():
            if not line.startswith("  "):
                yield from _QUOTED.findall(line.partition("|")[2])


def definitions() -> Iterator[str]:
    """Yields WordNet's definitions, first clause only: short plain phrases over a wide vocabulary."""
    for part in ("noun", "verb", "adj", "adv"):
        for line in (WORDNET / f"data.{part}").read_text(errors="replace").splitlines():
            if not line.startswith("  "):
                gloss = re.sub(r"\([^)]*\)", "", line.partition("|")[2])
                yield re.split(r"[;:\"]", gloss)[0] + "."


def chatterbot() -> Iterator[str]:
    """Yields the English lines of chatterbot-corpus (train extra)."""
    import chatterbot_corpus  # noqa: PLC0415  (train extra)

    for file in sorted((Path(chatterbot_corpus.__file__).parent / "data" / "english").glob("*.yml")):
        for line in file.read_text(errors="replace").splitlines():
            text = line.strip().lstrip("- ").strip("'\"")
            yield from re.findall(r"[^.?!]+[.?!]?", text)


def _listed(text: str) -> list[str]:
    return " ".join(text.split()).split("|")


THINGS = """
sound noise thing animal bird dog cat car sign building person man woman child flower tree plant color word
number street door window table chair cup bottle phone computer book bag box shoe hat machine food fruit
vegetable meal picture painting statue bridge boat train bus bicycle truck plane clock toy tool insect fish room
place song voice
""".split()
PLACES = _listed("""
in front of me|over there|on the table|behind me|on my left|on my right|in my hand|outside|up there
""")
PATTERNS = _listed("""
what is that {t}|what is this {t}|what was that {t} just now|what kind of {t} is this|what kind of {t} was
that|do you see a {t}|do you see the {t} {p}|is there a {t} {p}|how many {t}s are there|what is {p}|what color
is the {t}|who made that {t}|did you hear that {t}|tell me about this {t}|what do you call this {t}|where is the
{t}|what do you see {p}|describe the {t} {p}|read the {t}|remember this {t}|find my {t}|what does the {t} say|is
that a {t} or a {u}|look at the {t}|listen to that {t}|take a picture of the {t}|what am I looking at|what do
you hear|what is that sound|what did I just hear|who is speaking|repeat the words|what did she say|what did he
say|turn the volume up|turn the volume down|stop talking|be quiet|start over|what time is it|set a timer for {n}
minutes|remind me in {n} minutes|how far is the {t}|what day is it today|how do you say {t}|how do you spell
{t}|what is {n} plus {m}|what is {n} times {m}|call my {f}|send a message to my {f}|tell my {f} that I will be
late|is this {t} safe|can I eat this {t}|how old is this {t}|thank you|never mind|what's that {t}|what's
this|where's the {t}|who's there|I can't see the {t}|don't forget the {t}|it's a {t}|that's my {t}|let's go to
the {t}|I'm looking for the {t}|we're near the {t}|isn't that a {t}|I don't know this {t}|there's a {t}
{p}|what's {p}|I've lost my {t}|you're right|it doesn't work|that wasn't a {t}|they'll call my {f}|I'd like a
{t}|what's the {t} called
""")
NUMBERS = """
one two three four five six seven eight nine ten twelve fifteen twenty thirty forty
""".split()
FAMILY = """
mother father sister brother wife husband friend boss neighbor doctor son daughter
""".split()


def spoken_to_glasses(count: int, rng: random.Random) -> Iterator[str]:
    """Yields `count` requests to the wearer's assistant from a small grammar."""
    for _ in range(count):
        pattern = rng.choice(PATTERNS)
        thing, other = rng.sample(THINGS, 2)
        first, second = rng.sample(NUMBERS, 2)
        filled = pattern.format(t=thing, u=other, p=rng.choice(PLACES), n=first, m=second, f=rng.choice(FAMILY))
        question = pattern.split()[0] in {"what", "do", "is", "how", "did", "who", "where", "can"}
        yield filled.replace("a animal", "an animal").replace("a insect", "an insect") + ("?" if question else ".")


def short_phrases() -> Iterator[str]:
    """Yields "a lion" and "the lion" for nouns that WordNet's tagged texts use at least three times."""
    for line in (WORDNET / "index.noun").read_text().splitlines():
        fields = line.split()
        if line.startswith(" ") or not fields[0].isalpha() or int(fields[5 + int(fields[3])]) < 3:
            continue
        yield f"{'an' if fields[0][0] in 'aeiou' else 'a'} {fields[0]}."
        yield f"the {fields[0]}."


def whole_sentences(lines: Iterable[str]) -> Iterator[str]:
    """Yields the finished sentences of sampled lines; what was cut off by the length limit is dropped."""
    for line in lines:
        yield from re.findall(r"[^.?!]+[.?!]", line)


def written(rng: random.Random) -> Iterator[str]:
    """Yields every raw sentence that does not come from sampling the backbone."""
    return itertools.chain(wordnet(), chatterbot(), spoken_to_glasses(8000, rng), short_phrases())


def split(raw: Iterable[str], rng: random.Random) -> tuple[list[str], list[str]]:
    """Returns (train, test) sentences of `raw`, speakable ones only, each once, shuffled."""
    sentences = sorted({text for text in map(normalise, raw) if text})
    rng.shuffle(sentences)
    return [s for s in sentences if not held_out(s)], [s for s in sentences if held_out(s)]
