from __future__ import annotations

import pytest

from glasses.errors import ModelError, Reason
from glasses.model_store import store
from glasses.runtime.bundle_choice import bundle_to_pull, chosen_bundle, fitting, measured_bundles


def test_measured_bundles_are_three_the_smallest_first() -> None:
    assert [one.name for one in measured_bundles()] == ["pocket", "desk", "large"]


@pytest.mark.parametrize("name", ["pocket", "desk", "large"])
def test_measured_bundles_have_every_gate_head_and_a_voice(name: str) -> None:
    bundle = store.load_bundle(name)
    things = set() if name == "pocket" else {"things"}  # pocket's backbone cannot read a list of them
    assert bundle.connectors.keys() == bundle.encoders.keys() == {"audio", "sound", "image", "text", *things}
    heads = (bundle.end_of_turn, bundle.addressee, bundle.speaker, bundle.memory_intent)
    assert None not in (*heads, bundle.voice)


@pytest.mark.parametrize(
    ("limit_mb", "names"),
    [
        (460, ["pocket"]),  # Zero 2 W: the smallest is always offered
        (950, ["pocket"]),
        (1900, ["pocket", "desk"]),
        (3800, ["pocket", "desk", "large"]),
        (7800, ["pocket", "desk", "large"]),
    ],
)
def test_fitting_leaves_room_for_the_system(limit_mb: float, names: list[str]) -> None:
    assert [one.name for one in fitting(measured_bundles(), limit_mb)] == names


@pytest.mark.parametrize(("limit_mb", "name"), [(460, "pocket"), (950, "pocket"), (1900, "desk"), (16_000, "desk")])
def test_bundle_to_pull_goes_by_memory_and_no_further_than_desk(limit_mb: float, name: str) -> None:
    assert bundle_to_pull(limit_mb=limit_mb, environ={}) == name


def test_bundle_to_pull_of_the_environment_wins() -> None:
    assert bundle_to_pull(limit_mb=460, environ={"GLASSES_BUNDLE": "large"}) == "large"


@pytest.mark.parametrize(
    ("pulled", "limit_mb", "name"),
    [
        ({"pocket", "desk", "large"}, 8000, "desk"),
        ({"pocket", "desk"}, 950, "pocket"),
        ({"pocket"}, 8000, "pocket"),
        (
            {"large"},
            8000,
            "desk",
        ),  # none of the default ones is here: the one that should be, which says how to pull it
        (set[str](), 950, "pocket"),
    ],
)
def test_chosen_bundle_is_the_largest_pulled_that_fits(
    monkeypatch: pytest.MonkeyPatch, pulled: set[str], limit_mb: float, name: str
) -> None:
    monkeypatch.setattr(store, "is_pulled", lambda bundle: bundle.name in pulled)
    assert chosen_bundle(limit_mb=limit_mb, environ={}) == name


def test_chosen_bundle_named_is_taken_as_it_is() -> None:
    assert chosen_bundle("large", limit_mb=460, environ={"GLASSES_BUNDLE": "pocket"}) == "large"
    assert chosen_bundle(limit_mb=8000, environ={"GLASSES_BUNDLE": "pocket"}) == "pocket"


def test_chosen_bundle_with_a_cache_that_cannot_be_read_is_left_to_who_opens_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(bundle: store.Bundle) -> bool:
        raise ModelError(Reason.INTERNAL, "the cache cannot be read")

    monkeypatch.setattr(store, "is_pulled", broken)
    assert chosen_bundle(limit_mb=8000, environ={}) == "desk"
