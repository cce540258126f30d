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


def test_a_step_costs_about_two_explanations_and_plain_double_backward_much_more():
    table = load_table(RESULTS / "step_cost.csv").set_index(["model", "method"])
    for model in ("efficientnet_lite0", "vgg16"):
        cost = table.loc[model]
        assert cost.loc[["Gradient", "GradientTimesInput"], "step / explanation"].max() <= 2.0
        averages = ["IntegratedGradients", "SmoothGrad(Gradient)"]
        assert cost.loc[averages, "step / explanation"].max() <= 2.2
        propagations = ["GuidedBackprop", "LRP", "PatternAttribution"]
        assert cost.loc[propagations, "step / explanation"].max() <= 2.5
    assert table.loc["vgg16", "LRP"]["step / gradient"] <= 6
    assert table.loc["efficientnet_lite0", "Gradient"]["plain step / step"] >= 2.5
    assert table["plain step / step"].min() >= 1.0
