"""The commands of bookkit."""

import re

import pytest

from bookkit.__main__ import main
from bookkit.places import ROOT
from bookkit.recorded import defense, suites


def test_make_calls_only_commands_that_there_are(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    commands = set(re.findall(r"^    (\w+)  ", capsys.readouterr().out, re.MULTILINE))
    called = re.findall(r"-m bookkit (\w+)", (ROOT / "Makefile").read_text("utf-8"))
    assert {"slides", "archives", "execute"} == set(called) < commands


@pytest.mark.parametrize(
    ("module", "tabulate", "suite", "column", "title"),
    [
        (suites, suites.targets, "digits", "pcc_target", "after noise of its spectrum"),
        (defense, defense.protection, "defense", "pcc_original", "by noise of its spectrum"),
    ],
    ids=["targets", "protection"],
)
def test_noise_with_the_attacks_spectrum_is_shown_where_it_was_recorded(
    monkeypatch, module, tabulate, suite, column, title
):
    table = module.recorded(suite).drop(columns=f"{column}_spectrum", errors="ignore")
    monkeypatch.setattr(module, "recorded", lambda name: table)
    without = tabulate(suite)
    assert title not in without
    table = table.assign(**{f"{column}_spectrum": 0.4321})
    shown = tabulate(suite)
    assert shown.drop(columns=title).equals(without)
    assert shown[title].str.startswith("0.43").all()
