"""Finding a browser, without which a test is skipped on a user's machine, and fails in CI."""

import os
import shutil

import pytest

from bookkit.paper.pdf import BROWSERS as CHROMIUM

FIREFOX = ("firefox-esr", "firefox")
PACKAGES = {CHROMIUM: "chromium", FIREFOX: "firefox-esr"}


def executable(names: tuple[str, ...]) -> str:
    """Return the path of the first of these programs that is installed."""
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        missing = f"no {names[0]} found: install it (Debian: apt install {PACKAGES[names]})"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    return found
