"""The live pipeline, from the microphone to the speaker, and the one place where it is put together.

    devices -> events -> EchoStage -> Listener          the listening thread
                                         |  Draft, TurnCompleted, TurnSignal
                                      Responder -> speaker, observers   the thread that calls `run`

Observers are told everything, each on a thread of its own. The listener learns from the responder when a reply becomes
audible and when it is over.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable

from glasses.assistant.announcement_turns import AnnouncementTurns
from glasses.assistant.announcements import Announcements
from glasses.assistant.cast import Cast
from glasses.assistant.config import AssistantConfig
from glasses.assistant.conversation import OnKept
from glasses.assistant.device_supervisor import DeviceSupervisor
from glasses.assistant.echo_stage import EchoStage
from glasses.assistant.listener import Listener
from glasses.assistant.memory_link import MemoryLink
from glasses.assistant.observers import Observer, Observers
from glasses.assistant.reply import TOO_HOT, Write
from glasses.assistant.responder import Responder
from glasses.assistant.setup import open_listener
from glasses.assistant.tool_turn import ToolTurns
from glasses.assistant.unseen import unseen
from glasses.backbone.handover import Handover
from glasses.decoders.speech import Voice
from glasses.devices.event_queue import EventQueue
from glasses.devices.local import DeviceFactory
from glasses.errors import GlassesError
from glasses.events import Announced, Draft, Reply, ReplyState, ReplyText, Signal
from glasses.runtime.bundle import LoadedBundle
from glasses.system.supervised import SupervisedThread
from glasses.types import NS_PER_S, AudioChunk, Button, DeviceChange, Load, SensorEvent

log = logging.getLogger(__name__)
CHECK_S = 0.2  # between two looks at the devices
WIPE_S = 2.0  # a stage takes this long at the most until it has forgotten; a decode step some milliseconds
NO_MICROPHONE = "there is no microphone now: touch again when it is back"


class Assistant:
    """Listens and answers from `run` until `stop`."""

    def __init__(
        self,
        config: AssistantConfig,
        loaded: LoadedBundle,
        voice: Voice | None,
        devices: DeviceFactory,
        *,
        events: EventQueue | None = None,
        observers: Observers | Iterable[Observer] = (),
        listener: Listener | None = None,
        write: Write | None = None,
        on_kept: OnKept = lambda turn, said: None,
        canned_reply: Callable[[Draft], str] = lambda draft: "",
        announcements: Announcements | None = None,
        tools: ToolTurns | None = None,
        progress: Callable[[str], None] = lambda stage: None,
        is_allowed: Callable[[Load], bool] = lambda load: True,
        keep_muted: Callable[[bool], None] = lambda muted: None,
        handover: Handover | None = None,
        on_wipe: Callable[[], None] = lambda: None,
        cast: Cast | None = None,
    ) -> None:
        """Opens the devices. Of what is passed it closes nothing.

        `events`: the queue that devices put touches into, where they were made before the assistant. `listener` is used
        instead of the one that `config` describes, `write` instead of the local backbone; a text of `canned_reply` is
        said instead of asking either. `on_kept` is told of turns that the next ones know, see `Conversation`.
        `announcements`: what is said without being asked. `tools`: calls what turns ask for. `progress` is called with
        "listener" or "responder" as each works; `is_allowed` is asked before a load runs. `keep_muted` is told by
        `mute` whether a process after this one is to be muted. `handover` shares the backbone with apps; `on_wipe`
        makes others forget what they have of it, too. `cast`: the personas that may answer.

        Raises SensorError: NOT_INSTALLED, NOT_FOUND, INTERNAL; ModelError where the bundle lacks what `config` needs.
        """
        self.observers = observers if isinstance(observers, Observers) else Observers(observers)
        self._publish = self.observers.publish
        self._progress, self._is_allowed, self._canned = progress, is_allowed, canned_reply
        self._keep_muted, self._on_wipe = keep_muted, on_wipe
        self.memory = MemoryLink(config.memory, loaded, self._publish)
        self._listener = listener or open_listener(
            loaded, config.activation, self.memory.recall, wake_words=cast.wake_words if cast else None
        )
        self.events = EventQueue() if events is None else events
        self.devices = DeviceSupervisor(
            devices,
            self.events,
            voice_rate_hz=voice.rate_hz if voice else None,
            publish=self._on_device_change,
            is_allowed=is_allowed,
            muted=config.muted,
        )
        self.announcements = announcements or Announcements()
        self.opens_by_touch = False  # muted by voice
        self.last_said = ""  # the last answer or announcement, to be said again
        self._reply_states: deque[ReplyState | Announced] = deque()  # from the responder, for the listening thread
        self._echo = EchoStage(self._publish)
        self._echo.use(self.devices.speaker)
        self._responder = Responder(
            loaded,
            voice,
            self.devices.speaker,
            on_state=self._reply_states.append,
            on_reply=self._on_reply,
            on_text=lambda text: self._publish(ReplyText(time.monotonic_ns(), text)),
            on_announced=self._on_announced,
            on_progress=lambda: progress("responder"),
            canned_reply=self._canned_reply,
            tools=tools,
            write=write,
            conversation_minutes=config.conversation.minutes,
            on_kept=on_kept,
            use_persona=cast.use if cast else lambda name: None,
            handover=handover,
        )
        self._announcement_turns = AnnouncementTurns(
            self.announcements, self._listener, publish=self._publish, say=self._responder.announce
        )
        self._check_ns = 0
        self._to_forget, self._forgotten = threading.Event(), threading.Event()  # a wipe, for the listening thread
        self._thread = SupervisedThread(self._listen, "listener", policy="end", on_failure=lambda error: self.stop())

    def run(self, prepare: Callable[[], None] = lambda: None) -> None:
        """Listens and answers until `stop`; it listens already while `prepare` makes the responder ready, right here.

        Raises what ended the listening thread, where something did, and what `prepare` raises.
        """
        if self.muted:  # no change tells it
            self._on_device_change(DeviceChange(time.monotonic_ns(), "muted"))
        self._thread.start()
        try:
            prepare()
            self._responder.run()
        finally:
            self.events.close()
            self._thread.close()
            self.devices.close()
            self.memory.close()
        if self._thread.failure:
            raise self._thread.failure

    def stop(self) -> None:
        """Ends `run`; from any thread or signal handler."""
        self.events.close()
        self._responder.stop()

    @property
    def past_turns(self) -> int:
        """How many turns of the conversation the next one knows."""
        return self._responder.conversation.n_turns

    @property
    def muted(self) -> bool:
        """Whether the sensors are switched off, here or by a switch of the devices' own."""
        return self.devices.muted

    def mute(self, muted: bool, *, wait_s: float = 0.0) -> bool:
        """Closes microphone and camera, or opens them again; a turn that is open is dropped. From any thread.

        From now on nothing that is sensed while muted is heard, remembered or published. Waits up to `wait_s` until
        the devices are closed, or opened, and that is published; whether it is.
        """
        self.opens_by_touch = self.opens_by_touch and muted
        self.devices.mute(muted)
        self._keep_muted(muted)
        until_s = time.monotonic() + wait_s
        while self.devices.is_muting and time.monotonic() < until_s:
            time.sleep(0.01)
        return not self.devices.is_muting

    def mute_until_touched(self) -> None:
        """As `mute`, by voice: who has no key at hand opens microphone and camera again with a touch."""
        self.opens_by_touch = True
        self.mute(True)

    def after_reply(self, action: Callable[[], object]) -> None:
        """Does something, on a thread of its own, once no turn is open and no reply is under way; from any thread."""
        self._announcement_turns.after_reply(action)

    def wipe(self) -> None:
        """Forgets all before it returns; from any thread, but from no signal handler.

        What is remembered, the last half minute of sound in the listener, the conversation in the KV cache, and what
        apps have in it. The reply under way ends. A stage that hangs for WIPE_S is logged and not waited for.
        """
        self._to_forget.clear()
        self._forgotten.clear()
        self._to_forget.set()
        if self._thread.alive and not self._forgotten.wait(WIPE_S):
            log.error("wiped, but for the last sound that was heard: the listener hangs")
        self._on_wipe()
        if not self._responder.forget().wait(WIPE_S):
            log.error("wiped, but for the conversation: the responder hangs")
        self.memory.wipe()
        self.announcements.forget()
        self.last_said = ""

    def _listen(self) -> None:
        for event in self.events.events(0.1):
            self._step(event, time.monotonic_ns())
            self._progress("listener")

    def _step(self, event: SensorEvent | None, now_ns: int) -> None:
        """One event, or None where none came for a while: what it means for the turn goes to the responder."""
        signals: list[Signal] = []
        while self._reply_states:
            state = self._reply_states.popleft()
            self._publish(state)  # here, so that a recording has it where the listener took it
            signals += self._listener.feed(state)
            self._announcement_turns.take(state, now_ns)
        if self.devices.follow_mute():
            signals += self._listener.forget(now_ns)
        if self._to_forget.is_set():
            self._to_forget.clear()
            signals += self._listener.forget(now_ns)
            self._forgotten.set()
        if now_ns >= self._check_ns:
            self._check_ns = now_ns + round(CHECK_S * NS_PER_S)
            if not self.devices.is_muting:  # a turn that is to be dropped is not completed
                signals += self._listener.tick(now_ns)
            self._follow_devices()
            if self.devices.lacks_microphone:
                signals += self._listener.lose_microphone(now_ns)
        try:
            if isinstance(event, Button) and (ends := self._announcement_turns.touched(event)) is not None:
                signals += ends
            elif isinstance(event, Button) and self.opens_by_touch and self.devices.muted:
                self.mute(False)
            elif event is not None and self.devices.may_take(event):
                signals += self._take(event)
        except GlassesError as error:  # one turn is lost, not the listener
            log.error("the listener: %s", error)
        for signal in signals:
            self._publish(signal)
            self._responder.put(signal)
            self._announcement_turns.told(signal)
        self._announcement_turns.step(now_ns, muted=self.devices.muted)

    def _take(self, event: SensorEvent) -> list[Signal]:
        own_voice = False
        if isinstance(event, AudioChunk):
            event, own_voice = self._echo.take(event)
        elif isinstance(event, Button):
            if self.memory.is_consumed(event):
                self._responder.forget()
                SupervisedThread(self._on_wipe, "wipe of apps").start()  # which may take a moment
                return self._listener.forget(event.t_ns)
            if self.devices.lacks_microphone:
                self._on_device_change(DeviceChange(event.t_ns, "disconnected", NO_MICROPHONE))
                return []
            if event.press == "long_press":
                self.devices.camera.look()
        self._publish(event)
        signals = self._listener.feed(event, own_voice=own_voice)
        has_speech = own_voice or self._listener.hears_speech or self._listener.replying
        self.memory.on_sensor_event(event, has_speech=has_speech)
        return signals

    def _follow_devices(self) -> None:
        counts = self.devices.counts
        counts.sound_lost, counts.pictures_lost = self.events.n_lost_chunks, self.events.n_lost_frames
        if self.devices.follow():
            self._echo.use(self.devices.speaker)
            self._responder.use_speaker(self.devices.speaker)

    def _canned_reply(self, draft: Draft) -> str:
        if not self._is_allowed("backbone"):
            return TOO_HOT
        return self._canned(draft) or self.memory.canned_reply(draft) or unseen(draft)

    def _on_announced(self, id: int, share: float) -> None:
        if announced := self.announcements.end(share):
            self._reply_states.append(announced)
            if announced.state in ("told", "answered") and announced.kind != "sound":
                self.last_said = announced.text

    def _on_device_change(self, change: DeviceChange) -> None:
        self._publish(change)
        self.memory.on_device_change(change)

    def _on_reply(self, reply: Reply) -> None:
        self.last_said = reply.text or self.last_said
        self._publish(reply)
        self.memory.on_reply(reply)
