import importlib.util
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).parents[2] / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_benchmark_finds_all_that_it_imports(script, monkeypatch):
    """They run for minutes, and only when a table is recorded anew."""
    monkeypatch.syspath_prepend(script.parent)  # as Python does for a script
    spec = importlib.util.spec_from_file_location(script.stem, script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.__doc__.splitlines()[2].startswith(f"python benchmarks/{script.name}")
