import ctypes
import sys
from types import SimpleNamespace

import pytest

import explman_lite as el
from explman_lite.networks.memory import keep_freed_memory


@pytest.fixture
def asked(monkeypatch):
    """Record what the C library is asked to keep."""
    calls = []
    library = SimpleNamespace(mallopt=lambda which, size: calls.append((which, size)))
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    return calls


def test_a_smoothed_network_keeps_what_its_passes_free(asked, monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    model = el.load_model("digits_vgg")
    assert asked == []
    el.smoothed(model, 5.0)
    # The numbers of M_MMAP_THRESHOLD and M_TRIM_THRESHOLD in glibc's malloc.h.
    assert asked == [(-3, 32 * 2**20), (-1, 256 * 2**20)]


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_other_systems_are_left_alone(platform, asked, monkeypatch):
    monkeypatch.setattr(sys, "platform", platform)
    keep_freed_memory()
    assert asked == []


def test_a_c_library_without_the_function_is_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace())
    keep_freed_memory()
