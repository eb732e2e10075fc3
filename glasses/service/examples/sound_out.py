"""Sound out: "meow like a cat" makes the sound. One functional token a sound, trained through the Tokenizer API.

    python -m glasses.service.examples.sound_out --samples models/eval/sounds --json      # trains, then measures
    python -m glasses.service.examples.sound_out --address unix:/run/glasses.sock --samples FOLDER --ask "Bark!"

The backbone stays as it is: a token is a row that is scored beside its logits. What is asked for, and what is asked
about without wanting to hear it ("What sound does a cow make?"), is in the templates below; a third of the wordings is
never trained on. `--teach cat=mine.wav` is the wearer's "no, like this": the token plays that recording instead.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from glasses.app import SPARE_ONE, open_parts
from glasses.media import read_audio, write_wav
from glasses.service.engine import LlamaEngine
from glasses.service.events import TokenInfo
from glasses.service.messages import AddToken, Example, ListTokens
from glasses.service.service import Service
from glasses.service.sync_client import SyncClient
from glasses.service.transport import InProcess, WebSocket

# sound: (verb, noun); the file is FOLDER/<sound>-0.ogg
SOUNDS = {
    "cat": ("meow", "cat"), "dog": ("bark", "dog"), "cow": ("moo", "cow"), "chicken": ("cluck", "chicken"),
    "bell": ("ring", "bell"), "car": ("honk", "car"), "bird": ("chirp", "bird"), "applause": ("clap", "crowd"),
}  # fmt: skip
ASKED = (
    "{Verb} like a {noun}.", "Make the sound of a {noun}.", "Play a {noun} sound.", "Can you {verb}?",
    "Do a {noun} for me.", "Let me hear a {noun}.", "I want to hear a {noun} {verb}.", "Please {verb} like a {noun}!",
    "Show me how a {noun} sounds.", "Be a {noun}.", "{Verb} for me, please.", "Now do the {noun}.",
)  # fmt: skip
ASKED_HELD_OUT = (
    "Could you make a noise like a {noun}?",
    "{Verb}!",
    "Give me the sound a {noun} makes.",
    "Sound like a {noun}.",
)
OTHER = (
    "What sound does a {noun} make?", "Tell me about the {noun}.", "How do you spell {verb}?", "What is a {noun}?",
    "Where can I see a {noun}?", "Why does a {noun} {verb}?", "I saw a {noun} today.", "Is a {noun} expensive?",
    "Explain what a {noun} is.", "Write a story about a {noun}.", "How old is the {noun}?", "The {noun} was loud.",
    "Can you draw a {noun}?", "Is that a {noun}?", "Do you like the {noun}?", "What colour is the {noun}?",
    "My neighbour has a {noun}.", "Give me the plural of {noun}.", "How much does a {noun} weigh?", "Find the {noun}.",
)  # fmt: skip
OTHER_HELD_OUT = ("Describe a {noun}.", "What does it mean to {verb}?", "My {noun} is old.", "Who invented the {noun}?")
PLAIN = (
    "What is the capital of France?", "How many days are in a week?", "Write a short poem.", "What time is it?",
    "What is two plus two?", "Thank you.", "Good morning!", "Translate hello into Spanish.", "Who are you?",
    "What colour is the sky?", "Repeat the words.", "What is in view?", "What is this sound?", "Name a planet.",
    "Tell me a story.", "Wait.", "Give me an example.", "Say hello.", "Go on.", "Show me the way home.", "Help me.",
    "Turn left.", "Be quiet.", "Make a list.", "Give me some advice.", "Sing a song.", "Her cat is nice.", "Yes.",
    "The car is new.", "My dog was hungry.", "What does barking mean?", "Read this to me.", "Never mind.", "No.",
)  # fmt: skip
PLAIN_HELD_OUT = (
    "What is the largest ocean?", "How do plants grow?", "Tell me a joke.", "What is the opposite of hot?",
    "Who wrote Hamlet?", "Spell the word house.", "What did I just hear?", "Give me a recipe for soup.", "Stop.",
    "How far is the moon?", "I am tired.", "What is your name?", "Say that again.", "Name three fruits.",
    "Where do penguins live?", "Good night.", "What is the time in London?", "Explain gravity.", "How are you?",
    "Which river is the longest?", "Call my brother.", "What should I cook?", "Is it raining?", "I lost my keys.",
    "Count to five.", "What year is it?", "Who is the president?", "Where am I?", "What does this sign say?",
    "Remind me to drink water.", "How tall is Everest?", "Do I need a coat?", "What is seven times eight?",
    "Who painted the Mona Lisa?", "Take a note.", "What language is that?", "Open the window.", "That was great.",
    "Why is the sea salty?", "Which way is north?", "Tell me something new.", "What is in my bag?", "Thanks a lot.",
    "How old is the universe?", "When does the train leave?", "What did she say?", "Summarise the article.",
    "What is a verb?", "Compare tea and coffee.", "Read the menu.", "I do not understand.", "Who are they?",
    "Translate this sign.", "How much is this?", "What is the weather like?", "Find my glasses.", "Are you sure?",
    "Say it in French.", "Is this safe to eat?", "Start a timer.", "What is her name?", "Look at this.",
    "Describe this picture.", "Who is speaking?", "What was that?", "Is anybody here?", "Hello there.", "Why?",
)  # fmt: skip


def wordings(templates: Sequence[str], sounds: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(sound, text) of every template for every sound."""
    for sound in sounds:
        verb, noun = SOUNDS[sound]
        for template in templates:
            yield sound, template.format(verb=verb, Verb=verb.capitalize(), noun=noun)


def examples() -> list[Example]:
    """What the tokens are trained on."""
    called = [Example(text, f"<{sound}>") for sound, text in wordings(ASKED, list(SOUNDS))]
    names = list(SOUNDS)  # half of them a wording are enough to learn that it is no request
    other = [Example(text) for i, w in enumerate(OTHER) for _, text in wordings([w], names[i % 2 :: 2])]
    return [*called, *other, *(Example(text) for text in PLAIN)]


def add_and_train(client: SyncClient) -> float | None:
    """Adds a token a sound where it is missing and trains all; the share of training examples answered right."""
    known = {token.name for token in client.tokens(ListTokens(0)).tokens}
    for sound, (verb, noun) in SOUNDS.items():
        if f"<{sound}>" not in known:
            client.tokens(AddToken(0, f"<{sound}>", f"{verb} like a {noun}", decoder="sound"))
    return client.train_tokens(examples()).accuracy


def play(bank: dict[str, Path], client: SyncClient, text: str, out: Path) -> str | None:
    """Says `text` to it and writes the sound it calls for into `out`; the name of the token."""
    name = called_by(client, client.tokens(ListTokens(0)).tokens, text)
    if name in bank:
        write_wav(out, read_audio(bank[name]), 16_000)
    return name


def teach(bank: dict[str, Path], sound: str, recording: Path) -> None:
    """ "No, like this": the sound's token plays this recording from now on. Raises InputError for no sound file."""
    read_audio(recording)
    bank[f"<{sound}>"] = recording


def called_by(client: SyncClient, tokens: Sequence[TokenInfo], text: str) -> str | None:
    """The function token that answers `text`, or None where the answer is words."""
    session = client.open()
    session.feed(text)
    first = next(session.generate(max_tokens=1))
    session.close()
    return next((token.name for token in tokens if token.id == first.token_id), None)


def measure(client: SyncClient) -> dict[str, float]:
    """Shares over wordings that were not trained on."""
    tokens = client.tokens(ListTokens(0)).tokens
    right = [called_by(client, tokens, text) == f"<{s}>" for s, text in wordings(ASKED_HELD_OUT, list(SOUNDS))]
    others = [text for _, text in wordings(OTHER_HELD_OUT, list(SOUNDS))] + list(PLAIN_HELD_OUT)
    false = [called_by(client, tokens, text) is not None for text in others]
    shares = {"called_right": sum(right) / len(right), "called_falsely": sum(false) / len(false)}
    return {"asked": len(right), "others": len(false), **shares}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", help="of a running service (default: one in this process)")
    parser.add_argument("--samples", type=Path, help="folder of <sound>-0.ogg; only --ask plays them")
    parser.add_argument("--ask", metavar="TEXT", help="say this, and write what it sounds like into --out")
    parser.add_argument("--teach", metavar="SOUND=FILE", help="play this recording for that sound")
    parser.add_argument("--out", type=Path, default=Path("sound.wav"))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with ExitStack() as stack:
        make = (lambda: WebSocket(args.address)) if args.address else _own_service
        client = stack.enter_context(SyncClient(make))
        accuracy = add_and_train(client)
        figures = {"trained": accuracy, **measure(client)}
        print(json.dumps(figures) if args.json else figures)
        if args.ask and args.samples:
            bank = {f"<{sound}>": args.samples / f"{sound}-0.ogg" for sound in SOUNDS}
            if args.teach:
                sound, _, recording = args.teach.partition("=")
                teach(bank, sound, Path(recording))
            print(play(bank, client, args.ask, args.out))


def _own_service() -> InProcess:
    return InProcess(Service(lambda: LlamaEngine(open_parts(n_threads=SPARE_ONE)), backend="llama"), owns=True)


if __name__ == "__main__":
    main()
