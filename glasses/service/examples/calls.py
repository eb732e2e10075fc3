"""Eight sounds and the <buzz> pair as calls of one table: trained, then measured on wordings kept for that.

    python -m glasses.service.examples.calls --json               # trains and measures: some minutes
    python -m glasses.service.examples.calls --tokens calls.tokens   # keeps what was trained, or measures what is there

What comes between <buzz> and </buzz> is trained by `buzz`, which needs torch; that the pair comes is trained here.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from glasses.runtime.bundle import SPARE_ONE, open_bundle
from glasses.service.client import AddToken, Example, ListTokens, SyncClient
from glasses.service.engines.llama import LlamaEngine
from glasses.service.examples import call_wordings as train
from glasses.service.examples import held_out_wordings as held_out
from glasses.service.examples import sound_wordings as more
from glasses.service.examples import telling
from glasses.service.examples.sound_out import SOUNDS, called_by, states, wordings
from glasses.service.server.in_process import InProcess
from glasses.service.server.service import Service

# What people say around a request, whatever it asks for.
AROUND = ("{}", "{}", "{}", "Please, {low}", "Hey, {low}", "Okay, {low}", "{} Thanks.", "So, {low}", "Now {low}",
          "{bare}", "Glasses, {low}", "{bare_low}", "Well, {low}", "{} Please.", "Hello. {}")  # fmt: skip
Row = tuple[str | None, str]  # the token to be called, and the text


def varied(text: str, rng: random.Random) -> str:
    """`text` within a longer sentence, or without capitals and full stops, as in speech."""
    low = text if text.startswith(("I ", "I'")) else text[0].lower() + text[1:]
    bare, bare_low = text.rstrip(".!"), low.rstrip(".!?").replace(",", "")
    return rng.choice(AROUND).format(text, low=low, bare=bare, bare_low=bare_low)


def examples() -> list[Example]:
    """The training examples of the tokens; always the same."""
    rng = random.Random(0)
    plain = [*more.PLAIN, *more.PLAIN_HELD_OUT, *train.PLAIN, *train.BUZZ_ABOUT]
    rows: list[Row] = [*_asked(), *_about(), *((None, text) for text in plain)]
    return [Example(varied(text, rng), name and f"<{name}>") for name, text in rows]


def _asked() -> Iterator[Row]:
    yield from wordings([*more.ASKED, *more.ASKED_HELD_OUT, *train.ASKED], SOUNDS)
    for _ in range(2):
        yield from ((sound, text) for sound, texts in train.NATURAL.items() for text in texts)
    yield from (("buzz", text.format(how=how)) for text in train.BUZZ for how in train.HOW)


def _about() -> Iterator[Row]:
    halves = [
        dict(list(SOUNDS.items())[i::2]) for i in (0, 1)
    ]  # half of the sounds are enough to learn that a wording is no request
    for i, template in enumerate([*more.OTHER, *more.OTHER_HELD_OUT, *train.ABOUT]):
        yield from ((None, text) for _, text in wordings([template], halves[i % 2]))
    for i, (verb, noun) in enumerate(train.STRANGE):
        asked = [*train.STRANGE_ASKED, *train.ASKED[i % 7 :: 7]]
        yield from ((None, text) for _, text in wordings(asked, {noun: (verb, noun)}))


def held_out_rows() -> list[Row]:
    """The wordings that are kept for measuring."""
    asked = [*wordings(held_out.ASKED, SOUNDS)]
    asked += [(sound, text) for sound, texts in held_out.NATURAL.items() for text in texts]
    asked += [("buzz", text.format(how=how)) for text in held_out.BUZZ for how in held_out.HOW]
    about = [text for _, text in wordings(held_out.ABOUT, SOUNDS)]
    others = [*about, *held_out.BUZZ_ABOUT, *held_out.OTHER_SOUNDS, *held_out.PLAIN]
    return [*asked, *((None, text) for text in others)]


def measure(client: SyncClient) -> dict[str, object]:
    """Counts over the held-out wordings, and every wrong answer."""
    tokens, counts = client.tokens(ListTokens(0)).tokens, Counter[str]()
    wrong: list[tuple[str, str | None]] = []
    for name, text in telling.counted("asking what nothing was trained on", held_out_rows()):
        called = called_by(client, tokens, text)
        right = called == (name and f"<{name}>")
        counts["asked" if name else "others"] += 1
        counts["right" if name else "falsely"] += right if name else not right
        if not right:
            wrong.append((text, called))
    return {**counts, "wrong": wrong}


def add_and_train(client: SyncClient) -> float | None:
    """Adds the tokens and trains them; returns the share of examples that begin rightly."""
    for sound, (verb, noun) in SOUNDS.items():
        client.tokens(AddToken(0, f"<{sound}>", f"{verb} like a {noun}", decoder="sound"))
    client.tokens(AddToken(0, "<buzz>", "buzz", end="</buzz>", decoder="haptic"))
    return client.train_tokens(examples()).accuracy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=Path, metavar="FILE", help="file that keeps the tokens (default: none)")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()

    def service() -> InProcess:
        engine = lambda: LlamaEngine(open_bundle(n_threads=SPARE_ONE))  # noqa: E731
        return InProcess(Service(engine, backend="llama", tokens=args.tokens), owns=True)

    with SyncClient(service) as client:
        texts, figures = held_out.PLAIN[:20], dict[str, object]()
        if not client.tokens(ListTokens(0)).tokens:
            before = states(client, texts)
            with telling.step("training nine tokens", "some minutes"):
                figures["trained"] = add_and_train(client)
            same = sum(str(a) == str(b) for a, b in zip(before, states(client, texts), strict=True))
            figures["texts_unchanged"] = f"{same} of {len(texts)}"
        figures |= measure(client)
        print(json.dumps(figures) if args.json else figures)


if __name__ == "__main__":
    telling.run(main)
