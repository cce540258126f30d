"""The judge's side of the process in which submitted explainers run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import astuple
from types import TracebackType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bookkit.challenge import cage
from bookkit.challenge.cage import Limits
from bookkit.challenge.tool import Pixels, Refused, checked_map, seed_of_code
from bookkit.places import ROOT

LIMITS = Limits(memory=4 << 30, map=10, forge=100)
"""What a submitted explainer may use, unless the lecturer says otherwise."""
_STARTS_WITHIN = 120


class Cage:
    """A context in which submitted code explains pictures, each in a process of its own.

    Parameters
    ----------
    network : str
        What `explman_lite.load_model` calls it.
    size : int
        Height and width of the pictures.
    epsilon : int
        By how many grey levels a forgery may change a value.
    limits : Limits
        For an answer; PyTorch alone takes more than a gigabyte.

    Raises
    ------
    ValueError
        Where the system cannot limit a process.
    """

    def __init__(self, network: str, size: int, epsilon: int, limits: Limits = LIMITS) -> None:
        if not hasattr(os, "fork"):
            raise ValueError("submitted explainers can be run under Linux and macOS only")
        self.size, self.limits = size, limits
        self._arguments = [network, *map(str, (size, epsilon, *astuple(limits)))]

    def __enter__(self) -> Cage:
        """Start the process, in an empty folder and without our environment."""
        self._folder = tempfile.TemporaryDirectory(prefix="defender")
        packages = [str(ROOT), *filter(None, sys.path)]
        environment = {
            "PATH": os.defpath,
            "HOME": self._folder.name,
            "PYTHONPATH": os.pathsep.join(packages),
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-P", cage.__file__, *self._arguments],
            cwd=self._folder.name,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        if self._receive(len(b"ready\n"), _STARTS_WITHIN) != b"ready\n":
            self.__exit__()
            raise ValueError("the process for submitted explainers did not start")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        """End the process and remove its folder."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()
        self._folder.cleanup()

    def explain(
        self, source: str, image: Tensor, label: int, seed: int, shuffled: bool = False
    ) -> NDArray[np.float64]:
        """Return the map (H, W) that submitted code makes of a picture (1, 3, H, W).

        Raises
        ------
        Refused
            If it returns none within its limits.
        """
        task = "shuffled" if shuffled else "map"
        content = self._answer(source, task, image, [label], seed, 8 * self.size**2)
        try:
            return checked_map(np.frombuffer(content, "<f8").reshape(image.shape[2:]), image)
        except Refused as error:
            raise Refused(f"asked for a map, {error}") from None

    def forge(self, source: str, pair: Tensor, labels: list[int], seed: int) -> Pixels:
        """Return the first of two pictures (2, 3, H, W) as an attacker of the code leaves it.

        Raises
        ------
        Refused
            If the code returns none within its limits. What it does return may be anything.
        """
        content = self._answer(source, "forge", pair, labels, seed, 3 * self.size**2)
        return np.frombuffer(content, np.uint8).reshape(self.size, self.size, 3)

    def _answer(
        self, source: str, task: str, pictures: Tensor, labels: list[int], seed: int, length: int
    ) -> bytes:
        """Ask for a map or a forgery, of which it is known how many bytes it has."""
        asked = "a forgery" if task == "forge" else "a map"
        request = json.dumps({"source": source, "task": task, "labels": labels, "seed": seed})
        seconds = self.limits.forge if task == "forge" else self.limits.map
        content = request.encode() + b"\n" + pictures.float().numpy().tobytes()
        reply = self._ask(content, seconds)
        if reply[:1] == b"e" and len(reply) <= 1 + cage.LONGEST_REASON:
            reason = _printable(reply[1:].decode("utf-8", "replace"))
            raise Refused(f"asked for {asked}, {reason}")
        # Submitted code may have written this itself.
        if reply[:1] != b"m" or len(reply) != 1 + length:
            raise Refused(f"asked for {asked}, it sent something else")
        return reply[1:]

    def _ask(self, request: bytes, seconds: int) -> bytes:
        """Send a request and read the reply, or say that the process is gone."""
        pipe = self._process.stdin
        assert pipe is not None
        # What somebody has stopped reads nothing, and would keep us writing for ever.
        watchdog = threading.Timer(seconds + 10, self._process.kill)
        watchdog.start()
        try:
            pipe.write(request)
            pipe.flush()
            length = self._receive(cage.LENGTH.size, seconds + 5)
            if len(length) == cage.LENGTH.size:
                return self._receive(cage.LENGTH.unpack(length)[0], 5)
        except BrokenPipeError:
            pass
        finally:
            watchdog.cancel()
        raise Refused("it ended the process that was to ask it for maps")

    def _receive(self, count: int, seconds: float) -> bytes:
        """Read so many bytes, or fewer if they do not come."""
        pipe = self._process.stdout
        assert pipe is not None
        most = min(count, 8 * self.size**2 + 1000)
        return cage.collect(pipe.fileno(), most, time.monotonic() + seconds) or b""


class Caged:
    """A defender whose code runs in a cage."""

    def __init__(self, cage: Cage, source: str, seed: int) -> None:
        self.cage, self.source, self.seed = cage, source, seed_of_code(seed)

    def explain(self, image: Tensor, label: int, shuffled: bool = False) -> NDArray[np.float64]:
        """Return the map (H, W) of a picture (1, 3, H, W), or that by a network without a plan."""
        return self.cage.explain(self.source, image, label, self.seed, shuffled)

    def forge(self, image: Tensor, label: int, lender: Tensor, other: int) -> Pixels:
        """Return a picture (H, W, 3) whose map should be that of the lender, of another class."""
        pair = torch.cat([image, lender])
        return self.cage.forge(self.source, pair, [label, other], self.seed)


def _printable(reason: str) -> str:
    """Return a reason that somebody else wrote as one line of signs that can be shown."""
    line = " ".join(reason.split())
    return "".join(sign for sign in line if sign.isprintable()) or "it gave no reason"
