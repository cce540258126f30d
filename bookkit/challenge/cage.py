"""A process that asks a submitted explainer for maps and forgeries, each in a process of its own.

It is started as a script, without the judge's environment, in an empty folder. Whatever is
submitted never runs in it, but in a fork of it that lives for one answer: limited in time and
memory, unable to make a file grow, and without the judge's pipes. What comes back is bytes.

This keeps accidents and simple tricks away from the judge. It is no sandbox: the code may open
connections, read what the user may read, and delete, empty or overwrite what the user may. It is
attacked in its own process, since an attack follows its gradient, and may answer in the attack's
place.
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import select
import signal
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from bookkit.challenge.tool import (
    Refused,
    Submitted,
    attacked,
    checked_map,
    function_of,
    raised,
    shuffled,
    sow,
)
from explman_lite import Network, load_model

LENGTH = struct.Struct("<q")
LONGEST_REASON = 300
"""In bytes."""
_PIPE = 3
"""Where a child finds the pipe for its answer."""
_SLOW = b"it took longer than allowed"
_GONE = b"its process ended before it returned a map"
_FULL = "it needed more memory than allowed"
_SET_DUMPABLE, _SET_CHILD_SUBREAPER, _SET_NO_NEW_PRIVS = 4, 36, 38
"""Of prctl(2)."""
_CAPABILITIES = 0x20080522
"""The version of capset(2) that knows 64 of them, in six numbers."""


def collect(descriptor: int, most: int, deadline: float) -> bytes | None:
    """Read until the end or ``most`` bytes; None if neither comes in time."""
    found = b""
    while len(found) < most:
        ready, _, _ = select.select([descriptor], [], [], max(deadline - time.monotonic(), 0))
        if not ready:
            return None
        part = os.read(descriptor, min(most - len(found), 1 << 16))
        if not part:
            break
        found += part
    return found


@dataclass(frozen=True)
class Limits:
    """What a child may use: bytes of memory, and seconds for a map and for a forgery."""

    memory: int
    map: int
    forge: int


def main(network: str, size: int, epsilon: int, limits: Limits) -> None:
    """Answer requests until there are none: each a line of JSON, and pictures of float32."""
    hide()
    _adopt()
    torch.set_num_threads(1)
    model = load_model(network)
    models = {"map": model, "shuffled": shuffled(model), "forge": model}
    print("ready", flush=True)
    while asked := _read(models, size, epsilon, limits):
        reply = _ask(*asked, limits.memory, 1 + 8 * size**2)
        sys.stdout.buffer.write(LENGTH.pack(len(reply)) + reply)
        sys.stdout.buffer.flush()


def _read(
    models: dict[str, Network], size: int, epsilon: int, limits: Limits
) -> tuple[Callable[[], bytes], int, int] | None:
    """Read a request: what a child shall do, its seed, and its seconds."""
    if not (line := sys.stdin.buffer.readline()):
        return None
    request = json.loads(line)
    labels, task = request["labels"], request["task"]
    shape = len(labels), 3, size, size
    content = bytearray(sys.stdin.buffer.read(4 * math.prod(shape)))
    pictures = torch.frombuffer(content, dtype=torch.float32).view(shape)
    given = request["source"], models[task], pictures, labels
    if task == "forge":
        return partial(_forgery, *given, epsilon), request["seed"], limits.forge
    return partial(_map, *given), request["seed"], limits.map


def _map(source: str, model: Network, pictures: torch.Tensor, labels: list[int]) -> bytes:
    """Run what was submitted."""
    found = function_of(source)(model, pictures, labels[0])
    return checked_map(found, pictures).astype("<f8").tobytes()


def _forgery(
    source: str, model: Network, pictures: torch.Tensor, labels: list[int], epsilon: int
) -> bytes:
    """Attack what was submitted."""
    return attacked(Submitted(function_of(source)), model, pictures, labels, epsilon).tobytes()


def _ask(answer: Callable[[], bytes], seed: int, seconds: int, memory: int, longest: int) -> bytes:
    """Fork, and return what the child says: ``m`` and an answer, or ``e`` and a reason."""
    end, pipe = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setpgid(0, 0)
            _let_go(pipe)
            _limit(seconds, memory)
            _renounce()
            sow(seed)
            os.write(_PIPE, _said(answer))
        finally:
            os._exit(0)  # whatever happens: a child must not go on as if it were the parent
    os.close(pipe)
    with suppress(OSError):
        os.setpgid(child, child)
    reply = collect(end, longest, time.monotonic() + seconds)
    os.close(end)
    # The child may have left others behind, and answered before it was done.
    for kill in (os.killpg, os.kill):
        with suppress(OSError):
            kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    _end_orphans()
    return b"e" + _SLOW if reply is None else reply or b"e" + _GONE


def _said(answer: Callable[[], bytes]) -> bytes:
    """Run what was submitted, and put what came of it into bytes."""
    try:
        return b"m" + answer()
    except Refused as error:
        reason = str(error)
    except MemoryError:
        reason = _FULL
    except BaseException as error:
        reason = raised(error)
        if "can't allocate memory" in reason:
            reason = _FULL
    return b"e" + reason.encode("utf-8", "replace")[:LONGEST_REASON]


def _end_orphans() -> None:
    """End what left the child's group and came to us when its parent ended, until nothing does."""
    while found := [
        int(number)
        for listed in Path("/proc/self/task").glob("*/children")
        for number in listed.read_text().split()
    ]:
        for number in found:
            os.kill(number, signal.SIGKILL)
            os.waitpid(number, 0)


def hide() -> None:
    """Close this process's memory and pipes to others of the same user without privileges."""
    _prctl(_SET_DUMPABLE, 0)


def _adopt() -> None:
    """Become the parent of every process that loses its own below this one."""
    _prctl(_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    """Ask Linux for something; other systems have none of it."""
    if sys.platform == "linux" and ctypes.CDLL(None).prctl(option, value, 0, 0, 0):
        raise OSError(f"prctl({option}, {value}) failed")


def _renounce() -> None:
    """Give up what root may do beyond others, lifting limits among it, for good."""
    _prctl(_SET_NO_NEW_PRIVS, 1)
    if sys.platform == "linux":
        header, none = (ctypes.c_uint32 * 2)(_CAPABILITIES, 0), (ctypes.c_uint32 * 6)()
        if ctypes.CDLL(None).capset(header, none):
            raise OSError("capset failed")


def _let_go(pipe: int) -> None:
    """Close every file but the pipe for the answer."""
    nothing = os.open(os.devnull, os.O_RDWR)
    kept = os.dup(pipe)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.dup2(kept, _PIPE)
    os.closerange(_PIPE + 1, os.sysconf("SC_OPEN_MAX"))


def _limit(seconds: int, memory: int) -> None:
    """Limit the processor's time in seconds and the memory in bytes, and let no file grow."""
    import resource

    limits = {
        resource.RLIMIT_CPU: seconds + 1,  # what escapes the judge's own clock
        resource.RLIMIT_DATA: memory,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    for name, most in limits.items():
        resource.setrlimit(name, (most, most))


if __name__ == "__main__":
    name, *numbers = sys.argv[1:]
    size, epsilon, *rest = map(int, numbers)
    main(name, size, epsilon, Limits(*rest))
