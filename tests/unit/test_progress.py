import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import explman_lite as el
from explman_lite import progress

IMAGES = torch.rand(4, 5, 8, 8, generator=torch.Generator().manual_seed(0))
"""Each has more numbers than the Hessian is formed for."""


def network() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Conv2d(5, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)
    return nn.Sequential(*layers).eval()


def smooth() -> nn.Module:
    return el.smoothed(network(), beta=5.0)


def path() -> el.curvature.LevelSetPath:
    ends = IMAGES[:1], IMAGES[:1] + 1e-3
    return el.curvature.level_set_path(smooth(), *ends, 0, points=3, progress=False)


ATTACK = {"steps": 2, "lr": 1e-3}
LONG = {
    "Gradient": lambda **how: el.manipulate(
        network(), IMAGES, IMAGES[:1, 0], el.Gradient(), **ATTACK, **how
    ),
    "LRP": lambda **how: el.manipulate_model(
        network(), IMAGES, IMAGES[:1, 0], el.LRP(), **ATTACK, **how
    ),
    "patterns": lambda **how: el.fit_patterns(network(), IMAGES, **how),
    "curvature": lambda **how: el.curvature.principal_curvatures(smooth(), IMAGES[:1], 0, **how),
    "path": lambda **how: el.curvature.level_set_path(
        smooth(), IMAGES[:1], IMAGES[:1] + 1e-3, 0, points=3, **how
    ),
    "theorem 1": lambda **how: el.curvature.theorem1_report(smooth(), path(), **how),
    "bound": lambda **how: el.curvature.hessian_bound(smooth(), IMAGES[:1], 0, **how),
    "training": lambda **how: el.training.train(
        network(), lambda epoch: (IMAGES, torch.arange(4) % 3), epochs=1, **how
    ),
}


@pytest.mark.parametrize("name", LONG)
def test_long_work_shows_a_bar_unless_it_is_told_not_to(monkeypatch, capsys, name):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(progress, "_A_MOMENT", 0)
    LONG[name](progress=False)
    assert not capsys.readouterr().err
    LONG[name]()
    shown = capsys.readouterr().err
    assert f"{name}: " in shown
    assert "100%" in shown or name == "curvature"


def test_work_that_is_done_soon_shows_none(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    LONG["patterns"]()
    assert not capsys.readouterr().err


@pytest.mark.parametrize("stderr", [None, SimpleNamespace(isatty=lambda: False)])
def test_nothing_is_shown_to_a_file(monkeypatch, stderr):
    monkeypatch.setattr(sys, "stderr", stderr)
    assert progress.progress_bar("work", 1, True).disable


@pytest.mark.parametrize("answers", [True, False])
def test_in_a_notebook_a_bar_is_shown_to_whoever_could_answer(monkeypatch, answers):
    kernel = SimpleNamespace(get_parent=lambda: {"content": {"allow_stdin": answers}})
    monkeypatch.setattr(progress, "get_ipython", lambda: SimpleNamespace(kernel=kernel))
    assert progress.progress_bar("work", 1, True).disable != answers
