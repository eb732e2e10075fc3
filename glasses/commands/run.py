"""`glasses run`: wears the glasses: listens, watches and answers until it is told to stop."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from firmware_bridge import errors as wire
from firmware_bridge.transport import check_address
from glasses.assistant.announcer import Announcer
from glasses.assistant.answer import warm_up
from glasses.assistant.assistant import Assistant
from glasses.assistant.cast import Cast, load_cast
from glasses.assistant.config import AssistantConfig
from glasses.assistant.config_file import load_config
from glasses.assistant.fault_injection import FaultHooks
from glasses.assistant.observers import Observers
from glasses.assistant.persona import Persona
from glasses.assistant.reply import TurnProgress, Write
from glasses.assistant.reply_writer import write_locally
from glasses.backbone.handover import Handover
from glasses.commands import link_keys, offload_options, run_apps, run_options
from glasses.commands.log_thread import logging_on_a_thread
from glasses.commands.optional_voice import open_voice_or_none
from glasses.commands.run_agents import agents_served
from glasses.commands.run_controls import Controlled, controls
from glasses.commands.run_screen import Notice, Screen
from glasses.commands.run_services import RunServices
from glasses.commands.run_tools import WornTools
from glasses.decoders.speech import Voice
from glasses.decoders.voices import Voices
from glasses.devices import registry
from glasses.devices.event_queue import EventQueue
from glasses.devices.link_errors import as_runtime_error
from glasses.devices.local import DeviceFactory, Hud, LocalDevices
from glasses.devices.quiet_stderr import without_portaudio
from glasses.devices.remote import RemoteGlasses
from glasses.events import Draft
from glasses.runtime.bundle import LoadedBundle, open_bundle
from glasses.runtime.bundle_choice import chosen_bundle
from glasses.system import mute_file
from glasses.system.board_sensors import read_board
from glasses.system.watchdog import Notifier, Watchdog
from glasses.types import Button, Token

if TYPE_CHECKING:
    from glasses.offload.answerer import HedgedAnswerer
    from glasses.service.server.kernel import Kernel

# Without progress for so long, a stage hangs: on a quick board, and on the slowest. The listener's longest step is
# encoding all that was said, the responder's feeding it to the backbone, or saying a clause.
BUDGETS_S = {"listener": (1.0, 3.0), "responder": (2.0, 20.0)}
STAYS_MUTED = "still muted, as when it last ran: m and Enter, or the page, opens the microphone again"
ONE_ANSWERS = 'several personas, but only the first answers: activation = "wake-word" tells who is called'
RESPONDER_READY_S = 20.0  # after the listener, at the most: until then what is said waits to be answered


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `run`."""
    run_options.add_options(
        subparsers.add_parser(
            "run",
            description="Listen, watch and answer until told to stop.",
            epilog=run_options.EXAMPLE,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
    ).set_defaults(run=run)


@dataclass(frozen=True, slots=True)
class _Surroundings:
    """What an assistant is put into. All of it is open before any model is loaded: what is wrong is said at once."""

    watchdog: Watchdog
    faults: FaultHooks
    services: RunServices
    observers: Observers
    events: EventQueue
    devices: DeviceFactory
    note: Callable[[str], None]  # tells whoever reads the screen a sentence


@dataclass(frozen=True, slots=True)
class _Models:
    """What answers: the bundle, its voice, and a model elsewhere."""

    loaded: LoadedBundle
    voice: Voice | None
    offload: HedgedAnswerer | None


def run(args: argparse.Namespace) -> int:
    """Runs until a signal, q, or --seconds. Raises GlassesError before it says that it is ready."""
    config = load_config(run_options.given(args)).config
    config = replace(config, bundle=chosen_bundle(config.bundle))
    cast = load_cast(config.all_personas())
    if stays_muted := mute_file.is_kept():
        config = replace(config, muted=True)
    with ExitStack() as stack:
        around = _open_surroundings(config, stack, as_json=args.json)
        models = _open_models(config, cast, stack)
        tools = _open_tools(config, cast, models, around, stack)
        assistant = _open_assistant(config, models, around, stack, tools=tools, cast=cast)
        stack.enter_context(around.services.running(assistant, around.devices, around.note))
        stack.enter_context(agents_served(config, assistant, tools.store, note=around.note))
        controls(args, Controlled(assistant, around.faults, around.note), stack)
        microphone = assistant.devices.microphone
        around.observers.publish(Notice("ready", {"microphone": microphone.device.name if microphone else None}))
        stack.callback(Announcer(tools.store, tools.announcements).close)
        if stays_muted:
            around.note(STAYS_MUTED)
        if cast.current.greeting:
            tools.announcements.say(cast.current.greeting, "greeting")
        if config.personas and config.activation != "wake-word":
            around.note(ONE_ANSWERS)
        around.watchdog.ready("listening", grace_s={"responder": RESPONDER_READY_S})

        def prepare() -> None:
            cast.prepare(models.loaded)
            warm_up(models.loaded, models.voice, sees=around.devices.sees)
            tools.prepare()

        assistant.run(prepare)
        around.watchdog.stopping("told to stop")
        counts = assistant.devices.counts
        around.observers.publish(Notice("stopped", {name: getattr(counts, name) for name in counts.__slots__}))
    return 0


def _open_surroundings(config: AssistantConfig, stack: ExitStack, *, as_json: bool) -> _Surroundings:
    """Raises InputError, SensorError and ModelError for what the configuration asks for and is not there."""
    stack.enter_context(logging_on_a_thread())
    stack.enter_context(without_portaudio())  # first, so that it ends when nobody holds its stderr any more
    notifier = Notifier.from_environment()
    stack.callback(notifier.close)
    watchdog = Watchdog(notifier, BUDGETS_S)
    faults = FaultHooks(watchdog.progress, read_board)
    services = RunServices(config, stack, read_board=faults.read_board)
    observers = stack.enter_context(
        Observers([Screen(as_json=as_json, activation=config.activation), *services.observers])
    )

    def note(sentence: str) -> None:
        observers.publish(Notice("note", sentence=sentence))

    events = EventQueue()
    devices = _devices(config, stack, note=note, on_touch=events.put)
    for hud in services.hud(devices.show if isinstance(devices, Hud) else None):
        observers.add(hud)
    return _Surroundings(watchdog, faults, services, observers, events, devices, note)


def _open_models(config: AssistantConfig, cast: Cast, stack: ExitStack) -> _Models:
    voice = _open_voices(config.bundle, cast, stack) if config.audio.voice else None
    loaded = open_bundle(config.bundle, system=cast.current.system)
    stack.callback(loaded.close)
    return _Models(loaded, voice, offload_options.open_answerer(config.offload, stack))


def _open_voices(bundle: str, cast: Cast, stack: ExitStack) -> Voice | None:
    """The voice of the persona, or those of several. Raises ModelError, and InputError as `Voices`."""
    voices = dict[str | None, Voice]()
    for name in dict.fromkeys(one.voice for one in cast.members):
        voice = open_voice_or_none(bundle, name, warm=False)
        if voice is None:
            return None
        stack.callback(voice.close)
        voices[name] = voice
    return Voices(voices) if len(voices) > 1 else next(iter(voices.values()))


def _open_tools(
    config: AssistantConfig, cast: Cast, models: _Models, around: _Surroundings, stack: ExitStack
) -> WornTools:
    return WornTools(
        config,
        cast,
        models.loaded,
        stack,
        devices=around.devices,
        voice=models.voice,
        read_board=around.faults.read_board,
        note=around.note,
        publish=around.observers.publish,
    )


def _open_assistant(
    config: AssistantConfig,
    models: _Models,
    around: _Surroundings,
    stack: ExitStack,
    *,
    tools: WornTools,
    cast: Cast,
) -> Assistant:
    """The assistant, and beside it the apps that share its backbone."""
    governor, loaded, offload = around.services.governor, models.loaded, models.offload
    handover = Handover(loaded.backbone)
    kernel = stack.enter_context(
        run_apps.serving(
            config,
            loaded,
            handover,
            tools=tools.registry,
            acts=tools.acts,
            why_not=governor.why_no_apps,
            note=around.note,
        )
    )

    def now_is(persona: Persona) -> None:
        if isinstance(models.voice, Voices):
            models.voice.use(persona.voice)
        tools.controls.use_speed(persona.speed)

    cast.on_change = now_is
    assistant = Assistant(
        config,
        loaded,
        models.voice,
        around.devices,
        events=around.events,
        observers=around.observers,
        announcements=tools.announcements,
        tools=tools.turns,
        write=_writing(models, cast, allowed=partial(governor.is_allowed, "remote")),
        on_kept=offload.remember if offload else lambda turn, said: None,
        progress=around.faults.progress,
        is_allowed=governor.is_allowed,
        keep_muted=mute_file.keep,
        handover=handover,
        on_wipe=partial(_forget, tools, kernel),
        cast=cast,
    )
    tools.controls.attach(assistant)
    return assistant


def _forget(tools: WornTools, kernel: Kernel | None) -> None:
    """Wiped: what tools and apps keep of it is dropped, too."""
    tools.forget()
    if kernel:
        kernel.forget()


def _writing(models: _Models, cast: Cast, *, allowed: Callable[[], bool]) -> Write:
    """Writes the replies of whoever answers, here or elsewhere, as long as that persona's are."""
    backbone, offload = models.loaded.backbone, models.offload
    writers = {
        n: offload.writer(backbone, n, allowed=allowed) if offload else write_locally(backbone, n)
        for n in {one.max_tokens for one in cast.members}
    }

    def write(draft: Draft, progress: TurnProgress) -> Iterator[Token]:
        return writers[cast.current.max_tokens](draft, progress)

    return write


def _devices(
    config: AssistantConfig,
    stack: ExitStack,
    *,
    note: Callable[[str], None],
    on_touch: Callable[[Button], None],
) -> DeviceFactory:
    """Before any model is loaded: what is wrong with a link should be said at once."""
    source = config.camera.source
    camera = int(source) if source and source.isdigit() else source
    local = LocalDevices(config.audio.microphone, config.audio.speaker, camera)
    if config.link is None:
        return local
    try:
        if opener := registry.opener_of(config.link):
            plugin = opener(config.link, local, on_touch)
            stack.callback(plugin.close)
            return plugin
        check_address(config.link)
        key = link_keys.read(link_keys.path_of(link_keys.folder(), config.link))
        remote = RemoteGlasses(config.link, key, local, note=note, on_touch=on_touch)
    except wire.LinkError as error:
        raise as_runtime_error(error) from error
    stack.callback(remote.close)
    return remote
