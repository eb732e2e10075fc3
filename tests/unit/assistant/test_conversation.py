"""Turns that stay in the KV cache of the real backbone, and how long they do."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from glasses.assistant.conversation import Conversation
from glasses.assistant.kv_context import KvContext
from glasses.backbone.llama import LlamaBackbone
from glasses.backbone.prompt import SYSTEM
from glasses.errors import ModelError, Reason
from glasses.events import Draft, Outcome, Reply
from glasses.types import NS_PER_S, Token, Turn

pytestmark = pytest.mark.models


class Chat:
    """Typed turns over the real backbone, on a clock that stands still."""

    def __init__(self, backbone: LlamaBackbone, minutes: float = 5.0, n_turns: int | None = None) -> None:
        self.backbone, self.now_ns = backbone, 0
        backbone.feed([backbone.tokenize(backbone.prompt_format.prefix(SYSTEM))])
        loaded: Any = SimpleNamespace(backbone=backbone, n_prefix=backbone.n_past)
        clock: Any = SimpleNamespace(now_ns=lambda: self.now_ns)
        self.context = KvContext(loaded)
        self.conversation = Conversation(self.context, clock, minutes, n_turns)
        self.n_turns = 0

    def draft(self, text: str, *, follows_interruption: bool = False) -> Draft:
        self.n_turns += 1
        rows = self.backbone.token_rows(self.backbone.tokenize(text, special=False))
        return Draft(Turn(self.n_turns, 0, "tap", (text,)), rows, True, True, follows_interruption, (0, 0))

    def ask(self, text: str, *, follows_interruption: bool = False) -> Reply:
        draft = self.draft(text, follows_interruption=follows_interruption)
        self.conversation.settle(draft)
        self.context.prefill(draft)
        reply = Reply(draft, 1, tokens=list(self.backbone.generate(draft.turn.id, max_tokens=16)))
        reply.outcome = Outcome.COMPLETED
        self.conversation.end(reply)
        self.conversation.settle(None)
        return reply

    def tell(self, said: str, text: str) -> None:
        """A turn that was answered elsewhere."""
        reply = Reply(self.draft(said), 1, tokens=[Token(1, -1, text, 0.0, None, True)], outcome=Outcome.COMPLETED)
        self.conversation.settle(reply.draft)
        self.conversation.end(reply)
        self.conversation.settle(None)


def test_conversation_follow_up_is_understood(backbone: LlamaBackbone) -> None:
    chat = Chat(backbone)
    assert "Rome" in chat.ask("What is the capital of Italy?").text
    assert "Madrid" in chat.ask("And of Spain?").text


def test_conversation_in_the_cache_is_the_one_that_would_be_fed_whole(backbone: LlamaBackbone) -> None:
    chat = Chat(backbone)
    first = chat.ask("What is the capital of Italy?")
    chat.context.prefill(chat.draft("And of Spain?"))
    kept, n_past = backbone.logits(), backbone.n_past
    frame = backbone.prompt_format.frame(("system", "user", "assistant", "user"))
    messages = (SYSTEM, "What is the capital of Italy?", first.text, "And of Spain?")
    text = "".join(one for pair in zip(frame, messages, strict=False) for one in pair) + frame[-1]
    backbone.rollback(0)
    backbone.feed([backbone.tokenize(text)])
    assert backbone.n_past == n_past
    np.testing.assert_allclose(kept, backbone.logits(), atol=0.5)  # another batch shape, quantized weights
    assert kept.argmax() == backbone.logits().argmax()


def test_conversation_knows_what_a_tool_said(backbone: LlamaBackbone) -> None:
    chat = Chat(backbone)
    chat.tell("Where did I park the car?", "You parked the car on level four.")
    assert "four" in chat.ask("On which level is the car?").text


def test_conversation_is_forgotten_after_a_while(backbone: LlamaBackbone) -> None:
    chat = Chat(backbone, minutes=2.0)
    chat.ask("My name is Sam.")
    chat.now_ns = 119 * NS_PER_S
    assert not chat.conversation.has_work(None)
    chat.now_ns = 121 * NS_PER_S
    assert chat.conversation.has_work(None)
    assert not chat.conversation.has_work(chat.draft("a turn that is being answered keeps it"))
    chat.conversation.settle(None)
    assert (chat.conversation.n_turns, backbone.n_past) == (0, chat.context.base)


def test_conversation_of_no_minutes_lets_turns_stand_alone_but_after_an_interruption(backbone: LlamaBackbone) -> None:
    chat = Chat(backbone, minutes=0.0)
    chat.ask("My name is Sam.")
    assert chat.conversation.n_turns == 0
    cut = Reply(chat.draft("Count to three."), 1, tokens=[Token(1, -1, "One, two", 0.0, None, False)])
    cut.outcome, cut.n_tokens_played = Outcome.INTERRUPTED, 1
    chat.conversation.settle(cut.draft)
    chat.conversation.end(cut)
    chat.conversation.settle(chat.draft("Go on.", follows_interruption=True))
    assert chat.conversation.n_turns == 1
    chat.conversation.settle(chat.draft("What is the opposite of hot?"))
    assert chat.conversation.n_turns == 0


def test_conversation_too_many_turns_lose_the_oldest_while_nobody_is_answered(backbone: LlamaBackbone) -> None:
    chat = Chat(backbone, n_turns=1)
    chat.tell("My dog is called Rex.", "I see.")
    chat.tell("Where did I park the car?", "You parked the car on level four.")
    assert chat.conversation.n_turns == 1
    assert not chat.conversation.has_work(None)
    assert "four" in chat.ask("On which level is the car?").text


@pytest.mark.parametrize("said", ["That is something I cannot do.", "I did not understand that."])
def test_conversation_refusal_is_not_kept(backbone: LlamaBackbone, said: str) -> None:
    chat = Chat(backbone)
    chat.tell("My dog is called Rex.", "I see.")
    chat.tell("Call my mother.", said)
    assert chat.conversation.n_turns == 1


def test_conversation_reply_that_repeats_itself_is_not_kept(backbone: LlamaBackbone) -> None:
    chat = Chat(backbone)
    tokens = [Token(1, 7, " no", 0.0, None, i == 19) for i in range(20)]
    stuck = Reply(chat.draft("Have you booked it?"), 1, tokens=tokens, outcome=Outcome.COMPLETED)
    chat.conversation.end(stuck)
    chat.conversation.settle(None)
    assert chat.conversation.n_turns == 0


def test_conversation_rebuild_that_is_aborted_changes_nothing(backbone: LlamaBackbone) -> None:
    chat = Chat(backbone)
    for text in ("My name is Sam.", "What is the opposite of hot?"):
        chat.ask(text)
    base, turns = chat.context.base, chat.context.turns
    backbone.abort()
    with pytest.raises(ModelError) as raised:
        chat.context.rebuild(turns[1:])
    assert raised.value.reason is Reason.ABORTED
    assert (chat.context.base, chat.context.turns, backbone.n_past) == (base, turns, base)
    assert "Sam" in chat.ask("What is my name?").text
    chat.context.rebuild(turns[1:])
    assert (len(chat.context.turns), backbone.n_past) == (1, chat.context.base)
