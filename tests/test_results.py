"""What the recorded tables must say; the chapters recompute what they show."""

from pathlib import Path

import pytest

from explman_lite.results import load_provenance, load_table

RESULTS = Path(__file__).resolve().parents[1] / "results"


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.csv")), ids=lambda path: path.name)
def test_every_table_says_how_when_and_on_what_it_was_computed(path):
    provenance = load_provenance(path)
    assert {"command", "settings", "date", "machine", "python", "versions"} <= provenance.keys()
    script = provenance["command"].split()[1]
    assert (RESULTS.parent / script).is_file()


def test_every_provenance_belongs_to_a_table():
    assert {path.stem for path in RESULTS.glob("*.json")} == {
        path.stem for path in RESULTS.glob("*.csv")
    }


def test_the_cat_is_explained_by_a_cup():
    row = load_table(RESULTS / "cat_to_coffee.csv").iloc[0]
    assert row.pcc_target >= 0.85
    assert row.ssim_target >= 0.6
    assert row.image_ssim >= 0.92
    assert row.class_kept
    assert row.output_change <= 0.02
    assert load_provenance(RESULTS / "cat_to_coffee.csv")["settings"]["steps"] <= 300


def test_a_step_costs_two_explanations_and_plain_double_backward_more_than_twice_that():
    cost = load_table(RESULTS / "step_cost.csv").set_index("what").explanations
    assert cost["step"] <= 2.2
    assert cost["step, plain double backward"] / cost["step"] >= 2.5
