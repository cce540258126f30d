"""What the C library does with memory that is freed."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # as malloc.h numbers them
_KEPT, _LARGEST_KEPT = 2**28, 2**25


def keep_freed_memory() -> None:
    """Keep up to 256 MiB of freed memory in the process, in blocks of up to 32 MiB.

    Each pass of a network frees what the next one needs. glibc hands it back to the system
    meanwhile, and getting it again takes longer than a smooth network's exponentials do. Where
    there is no glibc, nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT)
        mallopt(_TRIM_THRESHOLD, _KEPT)
