"""The live attack in Firefox, which runs another engine of JavaScript and starts other workers."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

import numpy as np
import pytest
from serving import QuietHandler

import explman_lite as el
from bookkit.live import CROPS

BROWSERS = ("firefox-esr", "firefox")
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
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        missing = "no Firefox found: install it (Debian: apt install firefox-esr) to try the attack"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
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

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Listener, directory=str(site))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        profile = tmp_path_factory.mktemp("profile")
        start = [executable, "--headless", "--no-remote", "--profile", str(profile)]
        where = f"http://127.0.0.1:{server.server_port}/"
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        home = {**os.environ, "HOME": str(profile)}
        with subprocess.Popen([*start, where], env=home, **quiet) as firefox:
            try:
                yield answers.get(timeout=180)
            finally:
                firefox.terminate()
        server.shutdown()


def test_firefox_does_what_pytorch_does(found):
    assert "error" not in found
    assert found["worker"]
    images, _ = el.load_crops("test")
    levels = (255 * images[list(CROPS)]).round().double()
    victim, lender = levels[[1]] / 255, levels[[8]] / 255
    network, explainer = el.load_model("crops_vgg").double(), el.Gradient()
    target = el.relevance_map(explainer(network, lender, network(lender).argmax(dim=1)))
    settings = {"steps": STEPS, "lr": 4 / 255, "epsilon": 8 / 255}
    result = el.manipulate(network, victim, target, explainer, progress=False, **settings)
    moved = np.array(found["x"]) - np.array(found["before"])
    expected = (result.images - victim).flatten().numpy()
    assert np.linalg.norm(moved - expected) < 1e-6 * np.linalg.norm(expected)
    assert np.allclose(found["map"], result.maps.flatten().numpy(), atol=1e-5)
    assert -1 < found["most"] < 0.5
