"""The training loop: a resumed run ends where an unbroken one does. It needs the train extra."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the train extra is not installed")

from models.recipes import training  # noqa: E402

pytestmark = pytest.mark.train


def _run(path: Path, steps: int, budget: int) -> Any:
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 1)

    def losses(step: int, _used_s: float) -> dict[str, Any]:
        if step == steps:
            raise KeyboardInterrupt
        x = torch.randn(8, 4, generator=torch.Generator().manual_seed(step))
        return {"fit": ((model(x) - x.sum(1, keepdim=True)) ** 2).mean(), "size": 0.01 * model.weight.square().sum()}

    training.train(
        model,
        torch.optim.AdamW(model.parameters()),
        path,
        losses,
        share=training.within_steps(budget),
        rate=training.warm_cosine(0.1, warm_steps=3, floor=0.1),
    )
    return model


def test_training_resumed_run_ends_where_an_unbroken_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    unbroken = _run(tmp_path / "whole.pt", -1, 20)
    monkeypatch.setattr(training, "SAVE_EVERY_S", -1.0)  # after every step
    with pytest.raises(KeyboardInterrupt):
        _run(tmp_path / "broken.pt", 11, 20)
    resumed = _run(tmp_path / "broken.pt", -1, 20)
    assert torch.equal(unbroken.weight, resumed.weight)
    assert '"fit"' in capsys.readouterr().out
    assert not list(tmp_path.glob("*.part"))


def test_warm_cosine_rises_then_falls_to_its_floor() -> None:
    rate = training.warm_cosine(1.0, warm_steps=10, floor=0.05)
    assert rate(0, 0.0) == pytest.approx(0.1)
    assert rate(100, 0.0) == pytest.approx(1.0)
    assert rate(100, 1.0) == pytest.approx(0.05)


def test_steps_done_of_a_checkpoint_is_its_step(tmp_path: Path) -> None:
    training.save(tmp_path / "a.pt", {"model": {}, "state": {"step": 7}})
    assert training.steps_done(tmp_path / "a.pt") == 7
    assert training.steps_done(tmp_path / "none.pt") == 0
