"""The live attack in Firefox, which runs another engine of JavaScript and starts other workers."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from browsers import FIREFOX, executable
from live_reference import check_attack
from serving import QuietHandler, served

STEPS = 4
# Without a driver: the page presses its own buttons and sends what it has found.
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Firefox</title>
<explman-attack settings="steps=4"></explman-attack>
<script src="live/begin.js"></script><script src="press.js"></script>
"""
PRESS = """
const attack = document.querySelector("explman-attack");
const send = (found) => fetch("found", { method: "POST", body: JSON.stringify(found) });
addEventListener("error", (event) => send({ error: event.message }));
customElements.whenDefined("explman-attack").then(() => attack.button.run.click());
const watch = setInterval(async () => {
  if (!attack.latest?.done || attack.most == null) return;
  clearInterval(watch);
  const worker = (await attack.session) instanceof Worker;
  const { latest, seen, most } = attack;
  send({ x: [...latest.x], before: [...seen.x], map: [...latest.map], most, worker });
}, 100);
"""


@pytest.fixture(scope="module")
def found(html: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Let Firefox run an attack, and give what its page sends."""
    site = tmp_path_factory.mktemp("firefox")
    (site / "live").symlink_to(html / "_static" / "live")
    (site / "index.html").write_text(PAGE, "utf-8")
    (site / "press.js").write_text(PRESS, "utf-8")
    answers: Queue[dict[str, Any]] = Queue()

    class Listener(QuietHandler):
        def do_POST(self) -> None:
            answers.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

    with served(site, Listener) as where:
        profile = tmp_path_factory.mktemp("profile")
        start = [executable(FIREFOX), "--headless", "--no-remote", "--profile", str(profile)]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        home = {**os.environ, "HOME": str(profile)}
        with subprocess.Popen([*start, where], env=home, **quiet) as firefox:
            try:
                yield answers.get(timeout=180)
            finally:
                firefox.terminate()


def test_firefox_does_what_pytorch_does(found):
    assert "error" not in found
    assert found["worker"]
    check_attack(found, STEPS)
    assert -1 < found["most"] < 0.5
