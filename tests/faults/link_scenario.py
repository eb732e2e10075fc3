"""Minutes of two-way sound and photographs over a bad wire with an outage, in simulated time.

`python -m tests.faults.link_scenario` prints the figures of ten minutes.
"""

from __future__ import annotations

import argparse
import json
import zlib
from dataclasses import asdict, dataclass

import numpy as np

from firmware_bridge import protocol
from firmware_bridge.link import AUDIO, CONTROL
from firmware_bridge.protocol import Message, value_of
from firmware_bridge.security import key_of, new_pairing_code
from firmware_bridge.states import Config
from tests.emulator.firmware import PHOTO
from tests.emulator.world import World

_CHUNK_US = 20_000
_PHOTO_US = 2_000_000
_SAMPLES = 320
_FRESH_US = 400_000  # sound younger than that when it arrives
IN_STEP_S = 1.0  # after an outage, the most that it may take


@dataclass
class Report:
    """The figures of one run. Latencies: of microphone sound outside the outage, from its last sample to its arrival.

    Seconds from the end of the outage: `heard_again_s` until sound younger than 400 ms arrives, `spoken_again_s` until
    sound sent after it is acknowledged, `photo_again_s` until a message of a photograph arrives; `in_step_again_s`: the
    largest of them.
    """

    seconds: int
    loss: float
    jitter_ms: float
    frames_lost_or_doubled: int
    microphone_chunks: int
    microphone_shed: int  # the device had no room: never promised
    speaker_chunks: int
    speaker_shed: int
    photos: int
    audio_latency_ms_p50: float
    audio_latency_ms_p95: float
    audio_latency_ms_max: float
    outage_s: float
    heard_again_s: float
    spoken_again_s: float
    photo_again_s: float
    in_step_again_s: float
    wrong: list[str]


class Scenario:
    """One run; `wrong` collects what breaks a promise of the link."""

    def __init__(self, *, loss: float, jitter_ms: float, sealed: bool, seed: int = 1) -> None:
        code = new_pairing_code() if sealed else None
        config = Config(key=key_of(code) if code else None)
        self.world = World(config=config, code=code, seed=seed, loss=loss, jitter_us=int(jitter_ms * 1000))
        self.loss, self.jitter_ms = loss, jitter_ms
        self.wrong: list[str] = []
        self.latencies: list[tuple[int, int]] = []  # (arrival, latency) in us
        self.photos = self.heard = self.heard_missing = 0
        self.spoken = self.spoken_shed = self.spoken_bytes = self.spoken_crc = 0
        self.boot_us = self.world.now_us
        self._next_mic_seq = 0
        self._jpeg: bytearray | None = None
        self._photo = PHOTO.read_bytes()
        self._heartbeat: Message | None = None
        self._spoken_at_end: int | None = None  # of the outage: sound taken by then
        self._again: dict[str, int] = {}  # when each part was in step again

    def run(self, seconds: int, outage: tuple[float, float]) -> Report:
        """`outage`: (begin, length) in seconds."""
        world = self.world
        assert world.run(lambda: world.is_up)
        world.link.send(CONTROL, protocol.encode("mic", on=1, codec=value_of("CODEC_PCM16")))
        start_us = world.now_us
        cut_us = (start_us + int(outage[0] * 1e6), start_us + int(sum(outage) * 1e6))
        speak_us = photo_us = start_us
        while world.now_us < start_us + seconds * 1_000_000:
            world.down.cut = world.up.cut = cut_us[0] <= world.now_us < cut_us[1]
            world.run(for_us=1000)
            if world.now_us >= speak_us:
                self._speak()
                speak_us += _CHUNK_US
            if world.now_us >= photo_us and self._jpeg is None and world.is_up and not world.down.cut:
                self._ask_for_photo()
                photo_us += _PHOTO_US
            self._take()
            if world.now_us >= cut_us[1]:
                self._watch()
        self._finish()
        return self._report(seconds, cut_us)

    def _speak(self) -> None:
        pcm = ((np.arange(_SAMPLES) + self.spoken * _SAMPLES) * 17).astype("<i2").tobytes()
        if self.world.link.send(AUDIO, protocol.encode("speak", pcm, seq=self.spoken, codec=0)):
            self.spoken += 1
            self.spoken_bytes += len(pcm)
            self.spoken_crc = zlib.crc32(pcm, self.spoken_crc)
        else:
            self.spoken_shed += 1

    def _watch(self) -> None:
        """Notes when sound handed over after the outage has arrived: more is acknowledged than there was at its end."""
        if self._spoken_at_end is None:
            self._spoken_at_end = self.spoken
        if self.spoken - self.world.link.pending(AUDIO) > self._spoken_at_end:
            self._again.setdefault("spoken", self.world.now_us)

    def _ask_for_photo(self) -> None:
        self._jpeg = bytearray()
        self.world.link.send(CONTROL, protocol.encode("capture", request=1, width=640, height=480, quality=80))

    def _take(self) -> None:
        for arrived_us, message in self.world.messages:
            if self._spoken_at_end is not None and message.name.startswith("photo"):
                self._again.setdefault("photo", arrived_us)
            if message.name == "audio":
                self._hear(arrived_us, message)
            elif message.name == "photo_chunk" and self._jpeg is not None:
                self._jpeg += message.data
            elif message.name == "photo_end":
                self.photos += 1
                if self._jpeg is None or bytes(self._jpeg) != self._photo:
                    self.wrong.append(f"photo {self.photos} differs")
                self._jpeg = None
            elif message.name == "heartbeat":
                self._heartbeat = message
        self.world.messages.clear()

    def _hear(self, arrived_us: int, message: Message) -> None:
        seq = message.fields["seq"]
        if seq < self._next_mic_seq:
            self.wrong.append(f"microphone chunk {seq} came after {self._next_mic_seq - 1}")
        self.heard += 1
        self.heard_missing += seq - self._next_mic_seq
        self._next_mic_seq = seq + 1
        pcm = np.frombuffer(message.data, "<i2")
        if len(pcm) != _SAMPLES or np.any(np.diff(pcm) != 31):
            self.wrong.append(f"microphone chunk {seq} is not what was recorded")
        latency_us = arrived_us - self.boot_us - message.fields["t_us"] - _CHUNK_US
        self.latencies.append((arrived_us, latency_us))
        if self._spoken_at_end is not None and latency_us < _FRESH_US:
            self._again.setdefault("heard", arrived_us)

    def _finish(self) -> None:
        """Everything under way arrives, and the microphone goes on until the device's own account agrees with ours."""
        world = self.world

        def settled() -> bool:
            self._take()
            said = self._heartbeat.fields if self._heartbeat else {}
            agreed = (said.get("speaker_bytes"), said.get("audio_shed")) == (self.spoken_bytes, self.heard_missing)
            return self._jpeg is None and agreed and not world.link.pending(CONTROL)

        if not world.run(settled, for_us=20_000_000):
            self.wrong.append("what was promised had not all arrived 20 s after the end")
        assert self._heartbeat is not None
        if self._heartbeat.fields["speaker_crc32"] != self.spoken_crc:
            self.wrong.append("the speaker's sound differs")
        if self._heartbeat.fields["audio_shed"] != self.heard_missing:
            shed = self._heartbeat.fields["audio_shed"]
            self.wrong.append(f"{self.heard_missing} microphone chunks missing, {shed} were never promised")

    def _report(self, seconds: int, cut_us: tuple[int, int]) -> Report:
        calm = [lat / 1000 for at, lat in self.latencies if not cut_us[0] <= at < cut_us[1] + 2_000_000]
        again_s = {
            part: round((self._again[part] - cut_us[1]) / 1e6, 3) if part in self._again else float("inf")
            for part in ("heard", "spoken", "photo")
        }
        p50, p95 = np.percentile(calm, [50, 95])
        return Report(
            seconds=seconds,
            loss=self.loss,
            jitter_ms=self.jitter_ms,
            frames_lost_or_doubled=self.world.up.harmed + self.world.down.harmed,
            microphone_chunks=self.heard,
            microphone_shed=self.heard_missing,
            speaker_chunks=self.spoken,
            speaker_shed=self.spoken_shed,
            photos=self.photos,
            audio_latency_ms_p50=round(float(p50), 1),
            audio_latency_ms_p95=round(float(p95), 1),
            audio_latency_ms_max=round(max(calm), 1),
            outage_s=(cut_us[1] - cut_us[0]) / 1e6,
            heard_again_s=again_s["heard"],
            spoken_again_s=again_s["spoken"],
            photo_again_s=again_s["photo"],
            in_step_again_s=max(again_s.values()),
            wrong=self.wrong,
        )


def main() -> int:
    """Prints the report as JSON; 1 when a promise was broken or the link was not in step again soon enough."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--loss", type=float, default=0.05)
    parser.add_argument("--jitter-ms", type=float, default=50)
    parser.add_argument("--open", action="store_true", help="without encryption")
    args = parser.parse_args()
    scenario = Scenario(loss=args.loss, jitter_ms=args.jitter_ms, sealed=not args.open)
    report = scenario.run(args.seconds, (args.seconds / 2, 10.0))
    print(json.dumps(asdict(report), indent=1))
    return 1 if report.wrong or report.in_step_again_s > IN_STEP_S else 0


if __name__ == "__main__":
    raise SystemExit(main())
