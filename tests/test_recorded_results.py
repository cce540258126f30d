"""What the recorded tables must say; the chapters recompute what they show."""

import random
import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from explman_lite.bench import SUITES, measure
from explman_lite.results import load_provenance, load_table

RESULTS = Path(__file__).resolve().parents[1] / "results"


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.csv")), ids=lambda path: path.name)
def test_every_table_says_how_when_and_on_what_it_was_computed(path):
    provenance = load_provenance(path)
    assert {"command", "settings", "date", "machine", "python", "versions"} <= provenance.keys()
    assert re.match(r"python (-m explman_lite bench|benchmarks/\w+\.py)", provenance["command"])
    script = provenance["command"].split()[1]
    assert script == "-m" or (RESULTS.parent / script).is_file()


def test_every_provenance_belongs_to_a_table():
    assert {path.stem for path in RESULTS.glob("*.json")} == {
        path.stem for path in RESULTS.glob("*.csv")
    }


def test_the_cat_is_explained_by_a_cup():
    table = load_table(RESULTS / "cat_to_coffee.csv").set_index("steps")
    assert (table.ssim_target >= 0.6).all()
    assert table.class_kept.all()
    assert (table.output_change <= 0.02).all()
    assert table.loc[60, "pcc_target"] >= 0.85
    assert (table.image_ssim >= 0.93).all()


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


def test_the_optimiser_study_supports_the_defaults():
    table = load_table(RESULTS / "optimisers.csv")
    schedules = table[(table.study == "beta") & (table.steps == 60)]
    best = schedules.loc[schedules.pcc.idxmax()]
    default = schedules[(schedules.beta_start == 5) & (schedules.beta_end == 100)].iloc[0]
    assert default.pcc > best.pcc - 0.02
    optimisers = table[(table.study == "optimiser") & (table.image_ssim >= 0.93)]
    assert optimisers.loc[optimisers.pcc.idxmax(), "optimiser"] == "Adam one-cycle"
    weights = table[table.study == "output weight"].set_index("output_weight")
    assert weights.loc[13.0, "output_change"] < 0.02 < weights.loc[0.0, "output_change"]


def test_time_and_memory_of_a_step_grow_as_the_page_on_costs_says():
    table = load_table(RESULTS / "growth.csv")
    batch = table[table.grows == "batch"].set_index("batch")
    assert 2 < batch.explanations[8] / batch.explanations[1] < 12
    points = table[table.grows == "points"].set_index("points")
    assert points.memory_mb[64] < 1.2 * points.memory_mb[32], "memory must stay bounded"


def test_a_handful_of_the_benchmarks_rows_comes_out_again():
    """Another handful every day."""
    draw = random.Random(date.today().toordinal())
    table = load_table(RESULTS / "digits.csv")
    seed = load_provenance(RESULTS / "digits.csv")["settings"]["seed"]
    jobs = SUITES["digits"].jobs(seed)
    for _ in range(4):
        job = draw.choice(jobs)
        pair = draw.choice(job.pairs)
        expected = table[(table.method == job.case.method) & (table.pair == pair.number)].iloc[0]
        found = measure(replace(job, pairs=(pair,))).iloc[0]
        for column in (
            "pcc_target",
            "ssim_target",
            "pcc_original",
            "image_ssim",
            "pcc_target_noise",
        ):
            assert found[column] == pytest.approx(expected[column], abs=1e-3), (job.key, column)
        assert found["class_kept"] == expected["class_kept"]


def test_every_suite_that_was_run_has_all_its_rows():
    table = load_table(RESULTS / "digits.csv")
    counts = table.groupby("method").pair.nunique()
    assert len(counts) == 6
    assert (counts == 100).all()


def test_the_digits_say_what_the_page_on_results_says():
    table = load_table(RESULTS / "digits.csv")
    medians = table.groupby("method").median(numeric_only=True)
    gained = medians.pcc_target - medians.pcc_target_unattacked
    assert (gained > 0.03).all()
    assert ((medians.pcc_target_noise - medians.pcc_target_unattacked).abs() < 0.03).all()
    assert (medians.pcc_target > medians.pcc_random_target).all()
    assert table.class_kept.all()
    gradients = ["Gradient", "GradientTimesInput", "IntegratedGradients"]
    propagations = ["LRP", "PatternAttribution"]
    assert medians.pcc_original[gradients].max() < 0.9 < medians.pcc_original[propagations].min()
    assert medians.pcc_target.idxmax() == "LRP"
    assert gained[gradients].min() > gained[propagations].max()
    assert medians.image_ssim[gradients].max() < medians.image_ssim[propagations].min()
