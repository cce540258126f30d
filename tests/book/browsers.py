"""Finding a browser, and waiting for what it shows."""

import os
import shutil

import pytest
from playwright.sync_api import Page

from bookkit.paper.pdf import BROWSERS as CHROMIUM

FIREFOX = ("firefox-esr", "firefox")
PACKAGES = {CHROMIUM: "chromium", FIREFOX: "firefox-esr"}


def executable(names: tuple[str, ...]) -> str:
    """Return the path of the first of these programs that is installed.

    Without one a test is skipped on a user's machine, and fails in CI.
    """
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        missing = f"no {names[0]} found: install it (Debian: apt install {PACKAGES[names]})"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    return found


def settle(page: Page) -> None:
    """Wait until formulas and letters have their places: until then a click may miss."""
    ready = "Promise.all([window.MathJax?.startup?.promise, document.fonts.ready])"
    page.evaluate(f"{ready}.then(() => true)")
