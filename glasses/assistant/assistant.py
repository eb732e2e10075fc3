"""The live spine put together: devices -> queue -> echo gate -> ear (its own thread) -> mouth (the caller's thread).

Also what keeps it alive: devices that vanish are opened again, and muted means that nothing of a sensor is taken in.
Knows no command line.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import numpy as np

from glasses.assistant.listener import Listener
from glasses.assistant.reply import Write
from glasses.assistant.responder import Responder
from glasses.audio.echo_canceller import EchoSuppressor
from glasses.decoders.speech import Voice
from glasses.devices import portaudio
from glasses.devices.camera_supervisor import CameraSupervisor
from glasses.devices.event_queue import EventQueue
from glasses.devices.local import AudioInput, DeviceFactory
from glasses.devices.speaker import AudioOutput
from glasses.errors import GlassesError, SensorError
from glasses.events import Draft, Observed, Played, ReplyState, Signal
from glasses.runtime.bundle import LoadedBundle
from glasses.types import AudioChunk, Button, DeviceChange, Load, OwnVoice, SensorEvent

log = logging.getLogger(__name__)
RETRY_S = 0.5
CHECK_S = 0.2


@dataclass(slots=True)
class Counts:
    """What went wrong so far, and how often."""

    sound_lost: int = 0  # chunks that the ear did not take in time
    pictures_lost: int = 0  # frames likewise
    overruns: int = 0
    underruns: int = 0
    reopened: int = 0


class Assistant:
    """`run` until `stop`. `watch` gets everything that happens, in the thread that made it; what the ear is given, in
    the order in which it takes it, so that a recording of that can be replayed (again.py).
    """

    def __init__(
        self,
        loaded: LoadedBundle,
        voice: Voice | None,
        ear: Listener,
        devices: DeviceFactory,
        *,
        watch: Callable[[Observed], None] = lambda what: None,
        heard: Callable[[SensorEvent, bool], None] = lambda event, speech: None,
        takes: Callable[[Button], bool] = lambda button: False,
        allows: Callable[[Load], bool] = lambda load: True,
        on_text: Callable[[str], None] = lambda text: None,
        progress: Callable[[str], None] = lambda stage: None,
        canned_reply: Callable[[Draft], str] = lambda draft: "",
        write: Write | None = None,
        muted: bool = False,
    ) -> None:
        """Opens the devices. `progress` is called with "ear" or "mouth" by each as it works; `heard` gets every sensor
        event and whether somebody speaks in it, the assistant included; a touch that `takes` wants opens no turn;
        `allows` is asked whether a load may run.

        Raises SensorError: NOT_INSTALLED, NOT_FOUND, INTERNAL.
        """
        # A draft that is overtaken is aborted, which llama.cpp calls an error; real ones are raised as well.
        logging.getLogger("glasses.llama_cpp").setLevel(logging.CRITICAL)
        self._devices, self._watch, self._progress = devices, watch, progress
        self._heard, self._takes, self._allows = heard, takes, allows
        self._voice_hz = voice.rate_hz if voice else None
        self.events = EventQueue()
        self.counts = Counts()
        self._retry_ns = self._check_ns = 0
        self._muted = muted
        self._gone, self._away, self._was_muted = False, "", self.muted
        self._hang: str | None = None
        self._own_voice = False
        self.microphone: AudioInput | None = None
        self.speaker: AudioOutput | None = None
        self._open_sound()
        self._looking = CameraSupervisor(devices, self.events, watch)
        self._looking.start(self._wants_camera())
        self._echo = EchoSuppressor(self.speaker.rate_hz) if self.speaker else None
        self._ear = ear
        self.mouth = Responder(
            loaded,
            voice,
            self.speaker,
            on_state=self._tell,
            on_reply=watch,
            on_text=on_text,
            on_progress=self._mouth_progress,
            canned_reply=canned_reply,
            write=write,
        )
        self._told: list[ReplyState] = []
        self._thread = threading.Thread(target=self._listen, name="ear", daemon=True)
        self.ear_progress_ns = time.monotonic_ns()
        self.failure: BaseException | None = None

    def run(self, prepare: Callable[[], None] = lambda: None) -> None:
        """Listens and answers until `stop`; it hears already while `prepare` makes the mouth ready, in this thread.

        Raises what ended the ear, where something did, and what `prepare` raises.
        """
        self._thread.start()
        try:
            prepare()
            self.mouth.run()
        finally:
            self.events.close()
            self._thread.join(5)
            self._looking.close()
            self._close_sound()
        if self.failure:
            raise self.failure

    def stop(self) -> None:
        """Ends `run`; from any thread or signal handler."""
        self.events.close()
        self.mouth.stop()

    @property
    def muted(self) -> bool:
        """Whether sensors are switched off, here or by a switch of the devices' own."""
        return self._muted or self._devices.muted

    def mute(self, muted: bool) -> None:
        """Closes microphone and camera, or opens them again; a turn that is open is dropped. From any thread."""
        self._muted = muted

    def hang(self, stage: Literal["ear", "mouth"]) -> None:
        """Fault injection: this stage makes no more progress, as a bug would have it."""
        self._hang = stage

    def _mouth_progress(self) -> None:
        if self._hang == "mouth":
            _forever()
        self._progress("mouth")

    def _follow_mute(self) -> None:
        """In the ear's thread. Closed, not ignored: so the system's own sign that something records goes out too."""
        shut = self.microphone is None and not self._looking.is_open
        muted = self.muted
        if muted and not shut:
            if self.microphone:
                self.microphone.close()
            self._looking.follow(False)
            self.microphone = None
            self._watch(DeviceChange(time.monotonic_ns(), "muted"))
        elif not muted and self._was_muted:
            with suppress(SensorError):  # it went while it was closed: `_supervise` says so, and looks for it anew
                self.microphone = self._devices.microphone(self.events)
            if self.speaker:
                self.speaker.reference.take()  # what was played meanwhile is no echo in what is heard from now on
            self._watch(DeviceChange(time.monotonic_ns(), "unmuted"))
        self._was_muted = muted

    def _wants_camera(self) -> bool:
        return not self.muted and self._allows("camera")

    def _tell(self, state: ReplyState) -> None:
        self._told.append(state)  # taken by the ear's thread before its next event

    def _listen(self) -> None:
        try:
            for event in self.events.events(0.1):
                self.ear_progress_ns = time.monotonic_ns()
                if self._hang == "ear":
                    _forever()
                self._once(event)
        except BaseException as error:  # the process must not go on deaf
            self.failure = error
            self.mouth.stop()

    def _once(self, event: SensorEvent | None) -> None:
        self.counts.sound_lost, self.counts.pictures_lost = self.events.n_lost_chunks, self.events.n_lost_frames
        signals: list[Signal] = []
        while self._told:
            state = self._told.pop(0)
            self._watch(state)
            signals += self._ear.feed(state)
        if self.muted != self._was_muted:
            self._follow_mute()
            signals += self._ear.forget(self.ear_progress_ns)
        if self.ear_progress_ns >= self._check_ns:
            self._check_ns = self.ear_progress_ns + round(CHECK_S * 1e9)
            signals += self._ear.tick(self.ear_progress_ns)
            self._supervise()
            self._looking.follow(self._wants_camera())
        try:
            if event is not None and not self.muted and not (isinstance(event, Button) and self._takes(event)):
                signals += self._hear(event)
        except GlassesError as error:  # one turn is lost, not the ear
            log.error("the ear: %s", error)
        for signal in signals:
            self._watch(signal)
            self.mouth.put(signal)
        self._progress("ear")

    def _hear(self, event: SensorEvent) -> list[Signal]:
        own_voice = False
        if isinstance(event, AudioChunk) and self._echo is not None:
            event = self._without_echo(event, self._echo)
            own_voice = self._echo.hears_itself(event.t_ns) and self._echo.own_voice()
            if self._echo.talked_over and self.speaker:
                self.speaker.hold()
        elif isinstance(event, Button) and event.press == "long_press":
            self._looking.look()
        if own_voice != self._own_voice:
            self._own_voice = own_voice
            self._watch(OwnVoice(event.t_ns, own_voice))
        self._watch(event)
        signals = self._ear.feed(event, own_voice=own_voice)
        self._heard(event, own_voice or self._ear.hears_speech or self._ear.replying)
        return signals

    def _without_echo(self, chunk: AudioChunk, echo: EchoSuppressor) -> AudioChunk:
        if self.speaker is not None:
            blocks = self.speaker.reference.take()
            echo.played(blocks)
            if any(pcm.any() for _, pcm in blocks):
                self._watch(Played(blocks[0][0], np.concatenate([pcm for _, pcm in blocks])))
        return echo.clean(chunk)

    def _supervise(self) -> None:
        """No sound for a while: whichever device is gone, both are opened anew, for PortAudio lists devices once."""
        now_ns = time.monotonic_ns()
        gone = not self.muted and (self.microphone is None or self.microphone.gone)
        gone = gone or (self._voice_hz is not None and (self.speaker is None or self.speaker.gone))
        if not gone or now_ns < self._retry_ns:
            return
        if not self._gone:
            self._gone = True
            self._watch(DeviceChange(now_ns, "disconnected"))
        self._close_sound()
        try:
            self._devices.rescan()
            self._open_sound()
        except SensorError as error:
            log.log(logging.DEBUG if str(error) == self._away else logging.WARNING, "%s", error)
            self._away = str(error)  # once is enough, not with every attempt
            self._close_sound()
        else:
            self.counts.reopened += 1
            self._gone, self._away = False, ""
            self._watch(DeviceChange(time.monotonic_ns(), "reconnected"))
            self.mouth.use_speaker(self.speaker)
            self._echo = EchoSuppressor(self.speaker.rate_hz) if self.speaker else None
        self._retry_ns = time.monotonic_ns() + round(RETRY_S * 1e9)

    def _open_sound(self) -> None:
        if not self.muted:
            self.microphone = self._devices.microphone(self.events)
        if self._voice_hz is not None:
            self.speaker = self._devices.speaker(self._voice_hz)

    def _close_sound(self) -> None:
        """Raises SensorError(TIMEOUT) where PortAudio does not let go: only a new process helps then."""
        if self.microphone:
            self.counts.overruns += self.microphone.overruns
        if self.speaker:
            self.counts.underruns += self.speaker.underruns
        devices = [device for device in (self.microphone, self.speaker) if device]
        self.microphone = self.speaker = None
        portaudio.close(devices)


def _forever() -> None:
    while True:
        time.sleep(1)
