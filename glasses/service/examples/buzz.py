"""Touch as an answer: a <buzz> ... </buzz> pair, added and trained through the Tokenizer API, drives a haptic decoder.

    glasses serve --backend torch &
    python -m glasses.service.examples.buzz --address ws://127.0.0.1:8765 "Buzz twice."

Only the rows of the pair are trained: the input row of the begin token, so that pulses follow it, and the rows that
score both tokens. The backend must be torch, because input rows need gradients; with the pocket bundle this takes
minutes on a 2-core x86-64.

What works: the pair comes when it is asked for, and not with other questions. What does not: the payload comes from one
trained row, so "twice" and "three times" are counted wrongly, or the pair is not closed, in some of the trained
wordings. "trained: 1.0" is about the first token of an answer only.
"""

from __future__ import annotations

import argparse

from glasses.decoders.haptic import Pulse, pulses
from glasses.decoders.output_router import Payload, Route, route
from glasses.service.client import AddToken, Example, ListTokens, SyncClient, WebSocket
from glasses.service.examples import telling

PATTERNS = {
    "once": " short", "twice": " short short", "three times": " short short short", "for long": " long",
    "long and short": " long short",
}  # fmt: skip
ASKED = ("Buzz {how}.", "Vibrate {how}.", "Please buzz {how}.", "Let me feel it {how}.")
OTHER = (
    "What is a buzz?", "What is the capital of France?", "Bees buzz in the garden.", "Tell me a story.", "Hello!",
    "How long is a day?", "Say hello twice.", "What does vibrate mean?", "Count to three.", "Thank you.",
)  # fmt: skip


def examples() -> list[Example]:
    """The training examples of the pair."""
    called = [Example(w.format(how=how), "<buzz>", payload) for how, payload in PATTERNS.items() for w in ASKED]
    return [*called, *(Example(text) for text in OTHER)]


def add_and_train(client: SyncClient) -> float | None:
    """Adds the pair if it is missing and trains it; returns the share of examples that begin rightly."""
    if not any(token.name == "<buzz>" for token in client.tokens(ListTokens(0)).tokens):
        client.tokens(AddToken(0, "<buzz>", "buzz", end="</buzz>", decoder="haptic"))
    return client.train_tokens(examples()).accuracy


def feel(client: SyncClient, text: str) -> tuple[Pulse, ...] | None:
    """The pulses that answer `text`; None if the answer is words or the pair was not closed."""
    tokens = client.tokens(ListTokens(0)).tokens
    ids = {token.name: token.id for token in tokens}
    routes = {t.id: Route(t.name, t.decoder, ids.get(t.end or "")) for t in tokens if t.begin is None}
    session = client.open()
    session.feed(text)
    for routed in route(session.generate(max_tokens=16, latents=True), routes):
        if isinstance(routed, Payload) and routed.decoder == "haptic" and routed.complete:
            session.close()
            return pulses(routed.tokens)
    session.close()
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", required=True, help="network address of a service with the backend torch")
    parser.add_argument("text")
    args = parser.parse_args()
    with SyncClient(lambda: WebSocket(args.address)) as client:
        with telling.step("training the pair <buzz>", "some minutes"):
            trained = add_and_train(client)
        print("trained:", trained)
        print(feel(client, args.text))


if __name__ == "__main__":
    telling.run(main)
