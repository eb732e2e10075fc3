"""Runs the live pipeline from a recorded stream: the same listener, heads, memory and responder, on one thread.

The responder runs as in `glasses run`, with a clock that is the stream's: whenever it would wait, the next thing of the
stream is given to the listener, and the signals that this makes come to its inbox. Work takes no time on that clock.

A recording of `glasses run` holds when its replies were audible and finished, how much of an interrupted one was heard,
and when the microphone heard the assistant's own voice. Listener and responder are given the same again, for the sound
that follows depends on it. A stream of sensor events alone, such as the shipped demo session, has no replies: each
sounds from the decision on for as long as it is.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from glasses.assistant.config import DEFAULT_CONVERSATION_MIN, Activation
from glasses.assistant.listener_config import ListenerConfig
from glasses.assistant.reply import TurnProgress
from glasses.assistant.reply_writer import write_locally
from glasses.assistant.responder import Responder
from glasses.assistant.setup import SAID, MemoryRecall, open_listener
from glasses.decoders.speech import Voice
from glasses.errors import ModelError
from glasses.events import Announced, Draft, Reply, ReplyState, Signal, TurnCompleted, TurnEvent, TurnSignal
from glasses.memory.writer import MemoryWriter
from glasses.recording.entries import Answered, Decision
from glasses.replay.recorded_replies import RecordedReplies
from glasses.replay.replayed_reply import ReplayedReply, replayed
from glasses.replay.replayed_tools import ReplayedAnnouncement, ReplayedTools
from glasses.replay.virtual_devices import RecordedSpeaker, SilentVoice, StreamClock, VirtualSpeaker
from glasses.runtime.bundle import LoadedBundle
from glasses.types import Button, DeviceChange, OwnVoice, SensorEvent, Token, Wiped

Given = SensorEvent | ReplyState | Announced | OwnVoice | DeviceChange | Wiped | Decision | Answered
Told = TurnCompleted | TurnSignal | ReplayedReply | ReplayedAnnouncement
_Turn = tuple[Draft, TurnCompleted]  # a turn, and the last draft of it


class ReplayEngine:
    """`run` it once."""

    def __init__(
        self,
        loaded: LoadedBundle,
        voice: Voice | None,
        *,
        activation: Activation = "button",
        memory: MemoryWriter | None = None,
        keep_replies: bool = False,
        conversation_minutes: float = DEFAULT_CONVERSATION_MIN,
        replies_recorded: bool = False,
        on_clock: bool = False,
        on_text: Callable[[str], None] = lambda text: None,
    ) -> None:
        """`activation` is what starts a turn. `replies_recorded`: the stream holds what became of its replies.
        `on_clock`: the stream comes in its own time, so waits are measured on this host's clock.

        Raises ModelError as `open_listener` does.
        """
        self._voice, self._memory, self._on_clock = voice, memory, on_clock
        self._recalling = MemoryRecall(loaded, memory, keep_replies=keep_replies)
        # As fast as it goes, what is decided must not hang on how long a draft takes on this machine.
        config = (
            ListenerConfig() if on_clock else ListenerConfig(max_speculative_draft_ms=math.inf, view_wait_ms=math.inf)
        )
        self._listener = open_listener(loaded, activation, self._recalling.recall, config=config)
        self._clock = StreamClock(self._step)
        speaks = voice or SilentVoice()
        self._write_locally = write_locally(loaded.backbone)
        self._recorded = RecordedReplies() if replies_recorded else None
        self._speaker = (RecordedSpeaker if replies_recorded else VirtualSpeaker)(speaks.rate_hz, self._clock)
        self._tools = ReplayedTools(loaded, self._clock)
        self._responder = Responder(
            loaded,
            speaks,
            self._speaker,
            on_state=self._on_state,
            on_reply=self._on_reply,
            on_text=on_text,
            on_announced=self._on_announced,
            tools=self._tools.turns,
            canned_reply=lambda draft: self._recalling.instead(draft) or draft.unseen,
            write=self._write,
            clock=self._clock,
            conversation_minutes=conversation_minutes,
        )
        self._tools.attach(self._listener, self._responder.announce)
        self._own_voice = False
        self._waiting: deque[TurnSignal | _Turn | ReplyState] = deque()  # for the responder, oldest first
        self._ended: TurnCompleted | None = None  # the turn whose reply is not over
        self._texts: list[str] = []  # tokens of that reply
        self._stream: Iterator[Given] = iter(())
        self._next: Given | None = None
        self._tell: Callable[[Told], None] = lambda what: None
        self._failure: ModelError | None = None

    def run(self, stream: Iterable[Given], tell: Callable[[Told], None] = lambda what: None) -> None:
        """Plays the stream, in order of time. `tell` gets the listener's turn events, the turns that are completed, and
        each reply when it is over.

        Raises InputError and ModelError as the listener does, and what `tell` and the stream raise.
        """
        self._stream, self._tell = iter(stream), tell
        self._next = next(self._stream, None)
        self._responder.run()
        if self._failure:
            raise self._failure

    def _step(self) -> None:
        """Lets time pass: the responder gets its next signals, or the listener the next thing of the stream."""
        try:
            if not self._give() and not self._end_reply():
                self._take_next()
        except ModelError as error:  # the listener's; the responder would take it for its own
            self._failure = error
            self._responder.stop()

    def _give(self) -> bool:
        """Gives the responder what waits for it, up to the next turn; False where nothing can be given yet."""
        n_before = len(self._waiting)
        while self._waiting:
            signal = self._waiting[0]
            if isinstance(signal, tuple) and self._ended and self._speaker.is_speaking:
                self._speaker.silence()  # the recording does not tell that the reply before was over
                return True
            if isinstance(signal, TurnSignal) and not self._know_what_was_heard(signal):
                break
            self._waiting.popleft()
            if isinstance(signal, ReplyState):
                self._feed_state(signal)
            elif isinstance(signal, tuple):
                self._give_turn(*signal)
                break
            else:
                self._responder.put(signal)
        return len(self._waiting) < n_before

    def _give_turn(self, draft: Draft, completed: TurnCompleted) -> None:
        """Of a turn's drafts the responder gets the last: how many there are hangs on how fast this machine encodes."""
        self._clock.advance(completed.span.decided_ns)
        self._ended, self._texts = completed, []
        self._responder.put(draft)
        self._responder.put(replace(completed, decided_ns=completed.span.decided_ns))

    def _know_what_was_heard(self, signal: TurnSignal) -> bool:
        """Whether the recording has told by now what was heard of the reply that the signal interrupts."""
        is_cut = signal.event is TurnEvent.INTERRUPTED and not signal.continues_turn
        if not is_cut or not self._recorded or not isinstance(self._speaker, RecordedSpeaker):
            return True
        n_tokens = self._recorded.take_played(signal.turn_id)
        if n_tokens is None and self._next and not any(isinstance(one, tuple) for one in self._waiting):
            return False
        self._speaker.heard = "".join(self._texts[:n_tokens]) if n_tokens else ""
        return True

    def _end_reply(self) -> bool:
        """Lets a reply end whose last sample is played before the next thing of the stream; False for none."""
        end_ns = self._speaker.end_ns
        if end_ns is not None and (self._next is None or end_ns <= self._next.t_ns):
            self._clock.advance(end_ns)
            self._speaker.advance(end_ns)
        elif self._next is None and self._speaker.is_speaking:
            self._speaker.silence()
        else:
            return False
        return True

    def _take_next(self) -> None:
        given = self._next
        if given is None:
            self._responder.stop()
            return
        self._next = next(self._stream, None)
        self._clock.advance(given.t_ns)
        self._speaker.advance(given.t_ns)
        if self._recorded and (state := self._recorded.without_reply(given.t_ns)):
            self._feed_state(state)
        signals = self._take(given)
        if self._recorded is None:  # else the recording tells what was announced
            self._tools.step(signals)
        for signal in signals:
            if isinstance(signal, Draft):
                continue
            self._tell(signal)
            if isinstance(signal, TurnSignal):
                self._waiting.append(signal)
            elif draft := self._listener.last_draft:
                self._waiting.append((draft, signal))
                self._waiting += self._recorded.completed(signal) if self._recorded else ()

    def _take(self, given: Given) -> list[Signal]:
        if isinstance(given, ReplyState):
            self._take_state(given)
        elif isinstance(given, Decision):
            if self._recorded:
                self._recorded.decided(given.turn_id, self._listener.turn_id)
        elif isinstance(given, Answered):
            if given.outcome in SAID:
                self._recalling.said(given.turn_id, given.text, given.t_ns)
            if self._recorded:
                self._recorded.answered(given)
        elif isinstance(given, Announced):
            self._listener.feed(given)
        elif isinstance(given, OwnVoice):
            self._own_voice = given.on
        elif isinstance(given, Wiped):
            if self._memory:
                self._memory.wipe()
            self._recalling.forget()
            self._responder.forget()
            return self._listener.forget(given.t_ns)
        elif isinstance(given, DeviceChange):
            return self._device_changed(given)
        else:
            return self._sense(given)
        return []

    def _sense(self, event: SensorEvent) -> list[Signal]:
        if isinstance(event, Button) and not self._recorded and (ends := self._tools.touched(event)) is not None:
            return ends
        signals = [*self._listener.tick(event.t_ns), *self._listener.feed(event, own_voice=self._own_voice)]
        if self._memory:
            speech = self._own_voice or self._listener.hears_speech or self._listener.replying
            self._memory.observe(event, speech=speech)
            self._memory.settle()
        return signals

    def _device_changed(self, change: DeviceChange) -> list[Signal]:
        if change.state == "muted" and self._memory:
            self._memory.discard_unfinished()
        return self._listener.forget(change.t_ns) if change.state in ("muted", "unmuted") else []

    def _take_state(self, recorded: ReplyState) -> None:
        if self._recorded:
            turn_id, completed = self._listener.turn_id, self._listener.replying
            if state := self._recorded.state(recorded, turn_id, is_completed=completed):
                self._feed_state(state)

    def _feed_state(self, state: ReplyState) -> None:
        """Tells the listener what a recording says of a reply, and ends it at the speaker where it was over."""
        self._listener.feed(state)
        if state.state == "finished" and self._ended and state.turn_id == self._ended.turn.id:
            self._speaker.silence()

    def _on_state(self, state: ReplyState) -> None:
        if self._recorded is None:
            self._listener.feed(state)

    def _on_announced(self, id: int, share: float) -> None:
        sounds = self._speaker.take_sounds()
        announced, said = self._tools.ended(share, sounds if self._voice else None)
        if announced:
            self._listener.feed(announced)
        if said:
            self._tell(said)

    def _write(self, draft: Draft, progress: TurnProgress) -> Iterator[Token]:
        for token in self._write_locally(draft, progress):
            self._texts.append(token.text)
            yield token

    def _on_reply(self, reply: Reply) -> None:
        ended, self._ended = self._ended, None
        sounds = self._speaker.take_sounds()
        if ended is None or reply.outcome is None:
            return
        if self._recorded is None and not reply.canned_reply and reply.outcome in SAID:
            self._recalling.said(ended.turn.id, reply.text, ended.span.decided_ns)
        self._tell(replayed(reply, ended, sounds if self._voice else None, on_clock=self._on_clock))
