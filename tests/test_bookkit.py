"""The commands of bookkit."""

import re

import pytest

from bookkit.__main__ import main
from bookkit.places import ROOT
from bookkit.recorded import suites


def test_make_calls_only_commands_that_there_are(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    commands = set(re.findall(r"^    (\w+)  ", capsys.readouterr().out, re.MULTILINE))
    called = re.findall(r"-m bookkit (\w+)", (ROOT / "Makefile").read_text("utf-8"))
    assert {"slides", "archives", "execute"} == set(called) < commands


def test_noise_with_the_attacks_spectrum_is_shown_where_it_was_recorded(monkeypatch):
    column, title = "pcc_target_spectrum", "after noise of its spectrum"
    table = suites.recorded("photos").drop(columns=column, errors="ignore")
    monkeypatch.setattr(suites, "recorded", lambda name: table)
    without = suites.targets("photos")
    assert title not in without
    table = table.assign(**{column: 0.4321})
    shown = suites.targets("photos")
    assert shown.drop(columns=title).equals(without)
    assert shown[title].str.startswith("0.43").all()
