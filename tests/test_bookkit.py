"""The commands of bookkit."""

import re

import pytest

from bookkit.__main__ import main
from bookkit.places import ROOT


def test_make_calls_only_commands_that_there_are(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    commands = set(re.findall(r"^    (\w+)  ", capsys.readouterr().out, re.MULTILINE))
    called = re.findall(r"-m bookkit (\w+)", (ROOT / "Makefile").read_text("utf-8"))
    assert {"slides", "archives", "execute"} == set(called) < commands
