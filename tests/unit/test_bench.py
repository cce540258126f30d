import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from unittest.mock import patch

import pandas as pd
import pytest

import explman_lite as el
from explman_lite import bench, results
from explman_lite.bench import measurement, runner
from explman_lite.bench.pairs import balanced_pairs, crossed_pairs, ordered_pairs, random_pairs


def digits(*methods: str, batch: int = 2, steps: int = 4) -> bench.Suite:
    cases = tuple(bench.Case("digits_vgg", method) for method in methods)
    return replace(bench.SUITES["digits"], cases=cases, batch=batch, path_points=3, steps=steps)


def comparable(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns="seconds")


def assert_same(first: pd.DataFrame, second: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(comparable(first), comparable(second), rtol=1e-5, atol=1e-6)


def run(suite, out, **options) -> pd.DataFrame:
    return bench.run(suite, out, progress=False, **options)


# Jobs


@pytest.mark.parametrize("name", bench.SUITES)
def test_jobs_are_plain_values_with_keys_of_their_own(name):
    jobs = bench.SUITES[name].jobs(seed=0)
    assert len({job.key for job in jobs}) == len(set(jobs)) == len(jobs)
    assert pickle.loads(pickle.dumps(jobs)) == jobs
    assert not {job.key for job in jobs} & {job.key for job in bench.SUITES[name].jobs(seed=1)}


def test_a_key_is_the_same_in_every_process_and_version():
    job = bench.Job(
        suite="digits",
        pictures="digits",
        case=bench.Case("digits_vgg", "LRP"),
        attack=bench.Attack(),
        measures=(),
        pairs=(bench.Pair(3, 1, 2, 0),),
        seed=0,
        precision="float64",
        path_points=8,
        steps=None,
    )
    assert job.key == "digits_vgg-LRP-ours-0003-0003-2dbbe873"
    assert replace(job, steps=1).key != job.key


def test_suites_hold_what_they_promise():
    rows = {
        name: sum(len(job.pairs) for job in suite.jobs()) for name, suite in bench.SUITES.items()
    }
    assert rows == {
        "digits": 6 * 100,
        "photos": 6 * 30,
        "imagenet": 6 * 100,
        "paper": (6 + 3) * 2 * 100,
        "architectures": 4 * 100,
        "gradcam-photos": 30,
        "gradcam-crops": 4 * 100,
        "step-sizes": 18 * 4 * 20,
        "defense": (17 + 4 + 1 + 2) * 100,
        "budgets": 3 * 14 * 20,
    }
    assert all(len(job.pairs) == 1 for job in bench.SUITES["paper"].jobs())


@pytest.mark.parametrize(
    "pairs",
    [
        random_pairs(7, 360, 100),
        ordered_pairs(7, 6),
        balanced_pairs(7, 20, 5),
        crossed_pairs(7, 10, 95),
    ],
)
def test_a_pair_is_three_different_pictures(pairs):
    assert all(len({pair.source, pair.target, pair.other}) == 3 for pair in pairs)
    assert [pair.number for pair in pairs] == list(range(len(pairs)))
    assert len({(pair.source, pair.target) for pair in pairs}) == len(pairs)


def test_balanced_pairs_use_every_picture_equally_often():
    pairs = balanced_pairs(3, 20, 5)
    assert pairs != balanced_pairs(4, 20, 5)
    for role in ("source", "target", "other"):
        used = [getattr(pair, role) for pair in pairs]
        assert {used.count(picture) for picture in range(20)} == {5}


def test_crossed_pairs_are_of_different_groups_and_use_each_equally_often():
    pairs = crossed_pairs(3, groups=10, count=90)
    assert pairs != crossed_pairs(4, groups=10, count=90)
    assert all(len({index % 10 for index in pair[1:]}) == 3 for pair in pairs)
    for role in ("source", "target", "other"):
        used = [getattr(pair, role) for pair in pairs]
        assert len(set(used)) == 90
        assert {[index % 10 for index in used].count(group) for group in range(10)} == {9}


def test_pairs_to_choose_settings_on_are_none_of_those_that_are_judged():
    judged, chosen = (
        {index for pair in bench.SUITES[name].draw(0) for index in pair[1:]}
        for name in ("defense", "step-sizes")
    )
    assert len(judged) == 300
    assert len(chosen) == 60
    assert not judged & chosen


def test_a_limit_takes_the_first_pairs_and_a_seed_draws_others():
    suite = bench.SUITES["digits"]
    limited = [pair for job in suite.jobs(0, 30)[:2] for pair in job.pairs]
    assert limited == suite.draw(0)[:30]
    assert suite.draw(1) != suite.draw(0)


# The table


def test_the_same_seed_gives_the_same_table_and_another_seed_another(tmp_path):
    suite = digits("Gradient", "IntegratedGradients")
    first, again = (run(suite, tmp_path / name, limit=3) for name in "ab")
    pd.testing.assert_frame_equal(comparable(first), comparable(again))
    other = run(suite, tmp_path / "c", limit=3, seed=1)
    assert (first["source"] != other["source"]).any()
    assert (first["pcc_original_noise"] != other["pcc_original_noise"]).all()


def test_batches_change_no_row():
    suite = digits("GradientTimesInput", "GuidedBackprop", "LRP", steps=20)
    alone, together = (
        pd.concat(
            [bench.measure(job) for job in replace(suite, batch=batch).jobs(limit=4)],
            ignore_index=True,
        )
        for batch in (1, 4)
    )
    assert_same(alone, together)


def test_the_csv_holds_the_table_and_the_json_how_it_came_about(tmp_path):
    table = run(digits("LRP"), tmp_path, limit=3)
    path = tmp_path / "digits-first3.csv"
    assert sorted(file.name for file in tmp_path.iterdir()) == [path.name, "digits-first3.json"]
    stored = results.load_table(path)
    assert stored["pair"].tolist() == [0, 1, 2]
    pd.testing.assert_frame_equal(stored, table.astype(stored.dtypes))
    provenance = results.load_provenance(path)
    assert provenance["command"] == "python -m explman_lite bench digits --seed 0 --limit 3"
    assert provenance["settings"]["pairs"] == 3
    assert provenance["settings"]["attacks"]["ours"]["settings"]["steps"] > 1
    assert {"date", "machine", "versions"} <= provenance.keys()


def test_a_row_agrees_with_the_attack_it_records():
    suite = digits("GradientTimesInput", steps=30)
    (job,) = suite.jobs(limit=1)
    row = bench.measure(job).iloc[0]
    model, images = el.load_model("digits_vgg").double(), el.load_digits()[0].double()
    source, target, other = (images[[index]] for index in job.pairs[0][1:])
    explainer = el.GradientTimesInput()
    maps = [
        el.relevance_map(explainer(model, image, model(image).argmax(1)))
        for image in (source, target, other)
    ]
    result = el.manipulate(model, source, maps[1], explainer, steps=30, lr=2e-3, progress=False)
    for name, value in result.summary().iloc[0].items():
        assert row[name] == pytest.approx(value, rel=1e-5)
    assert row["pcc_target_unattacked"] == pytest.approx(el.metrics.pcc(*maps[:2]).item(), rel=1e-5)
    assert row["ssim_target_unattacked"] == pytest.approx(
        el.metrics.ssim(*maps[:2]).item(), rel=1e-5
    )
    assert row["pcc_random_target"] == pytest.approx(
        el.metrics.pcc(result.maps, maps[2]).item(), rel=1e-5
    )
    noises = {"noise": el.controls.white_noise, "spectrum": el.controls.same_spectrum}
    for name, control in noises.items():
        noisy = control(source, result.images, seeds=[(0, 0)])
        explanation = explainer.explain(model, noisy, result.classes)
        relevance = el.relevance_map(explanation.attribution)
        expected = {
            f"pcc_target_{name}": el.metrics.pcc(relevance, maps[1]),
            f"pcc_original_{name}": el.metrics.pcc(relevance, maps[0]),
            f"output_change_{name}": el.metrics.output_change(explanation.logits, model(source)),
        }
        for column, value in expected.items():
            assert row[column] == pytest.approx(value.item(), rel=1e-4, abs=1e-9), column
    assert row[["source", "target", "random_target"]].tolist() == list(map(str, job.pairs[0][1:]))


def test_the_attack_reaches_what_the_controls_do_not():
    (job,) = digits("Gradient", batch=8, steps=60).jobs(limit=8)
    table = bench.measure(job)
    for control in ("target_unattacked", "target_noise", "target_spectrum", "random_target"):
        assert (table["pcc_target"] - table[f"pcc_{control}"]).median() > 0.05
    assert (table["pcc_target"] > table["pcc_target_unattacked"]).all()
    assert (table["pcc_original_noise"] - table["pcc_original"]).median() > 0.1
    assert (table["pcc_original_noise"] - table["pcc_original_spectrum"]).median() > 0.05
    assert (table["steps"] == 60).all()


def test_every_pair_has_noise_of_its_own():
    (job,) = digits("Gradient").jobs(limit=1)
    twins = (job.pairs[0], job.pairs[0]._replace(number=1))
    table = bench.measure(replace(job, pairs=twins))
    assert table["pcc_target"].nunique() == 1
    for name in measurement.NOISES:
        assert table[f"pcc_original_{name}"].nunique() == 2


# Interruptions


class Counted:
    """`measure`, counting its calls and interrupted in one of them."""

    def __init__(self, interrupted_call: int | None = None) -> None:
        self.calls, self.interrupted_call = [], interrupted_call

    def __call__(self, job, data):
        self.calls.append(job.key)
        if len(self.calls) == self.interrupted_call:
            raise KeyboardInterrupt
        return bench.measure(job, data)


def test_an_interrupted_run_resumes_and_recomputes_nothing(tmp_path, monkeypatch):
    suite = digits("Gradient", "LRP")
    whole = run(suite, tmp_path / "whole", limit=6)
    first, second = Counted(interrupted_call=4), Counted()
    monkeypatch.setattr(runner, "measure", first)
    with pytest.raises(KeyboardInterrupt, match="the same command goes on from there"):
        run(suite, tmp_path, limit=6)
    assert not (tmp_path / "digits-first6.csv").exists()
    monkeypatch.setattr(runner, "measure", second)
    resumed = run(suite, tmp_path, limit=6)
    assert len(second.calls) == 3
    assert set(first.calls[:3]).isdisjoint(second.calls)
    pd.testing.assert_frame_equal(comparable(resumed), comparable(whole))
    assert not (tmp_path / "digits-first6.parts").exists()


@pytest.mark.usefixtures("interrupted_attack")
def test_half_an_attack_is_no_result():
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        bench.measure(digits("Gradient").jobs(limit=1)[0])


def interrupt_after_first_job(suite, out, monkeypatch) -> list[bench.Job]:
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(runner, "measure", Counted(interrupted_call=2))
        run(suite, out, limit=4)
    return suite.jobs(limit=4)


@pytest.mark.parametrize("damage", ["", '{"pair": [0, 1], "pcc', '{"pair": [0]}', "[]"])
def test_a_damaged_part_is_computed_again(tmp_path, monkeypatch, damage):
    suite = digits("Gradient")
    done, _ = interrupt_after_first_job(suite, tmp_path, monkeypatch)
    (tmp_path / "digits-first4.parts" / f"{done.key}.json").write_text(damage)
    (tmp_path / "digits-first4.parts" / f".{done.key}.json.unfinished").write_text("{")
    counted = Counted()
    monkeypatch.setattr(runner, "measure", counted)
    assert len(run(suite, tmp_path, limit=4)) == 4
    assert len(counted.calls) == 2


def test_a_part_is_written_in_one_piece_or_not_at_all(tmp_path, monkeypatch):
    suite = digits("Gradient")
    parts = bench.runner.Parts(tmp_path / "parts", {})
    job = suite.jobs(limit=2)[0]
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match=r"json' cannot be written: full"):
        parts.save(job, pd.DataFrame({"pair": [0, 1]}))
    assert not parts.has(job)
    assert [path.name for path in parts.folder.iterdir()] == ["run.json"]


@pytest.mark.parametrize("damage", ["", "{", "[]"])
def test_parts_of_a_run_that_nobody_knows_are_refused(tmp_path, damage):
    (tmp_path / "run.json").write_text(damage)
    with pytest.raises(ValueError, match=r"run.json' is damaged: remove its folder"):
        bench.runner.Parts(tmp_path, {})


def test_what_is_left_of_an_earlier_end_is_no_obstacle(tmp_path):
    parts = bench.runner.Parts(tmp_path / "parts", {})
    (tmp_path / ".parts.finished").mkdir()
    (tmp_path / ".parts.finished" / "run.json").touch()
    parts.remove()
    assert not list(tmp_path.iterdir())


def test_parts_are_found_again_though_settings_hold_tuples(tmp_path):
    for _ in range(2):
        bench.runner.Parts(tmp_path / "parts", {"beta": (10.0, 100.0)})


def test_parts_of_another_run_are_refused(tmp_path, monkeypatch):
    interrupt_after_first_job(digits("Gradient"), tmp_path, monkeypatch)
    with pytest.raises(ValueError, match=r"another run \(seed 0 there and 1 here\).*remove it"):
        run(digits("Gradient"), tmp_path, limit=4, seed=1)
    with pytest.raises(ValueError, match="steps 4 there and 5 here"):
        run(digits("Gradient", steps=5), tmp_path, limit=4)


# A cluster


@pytest.fixture(scope="module")
def cluster():
    import distributed

    quiet = {"threads_per_worker": 1, "dashboard_address": ":0"}
    # Dask limits threads by the environment, which notebooks tested later would inherit.
    with patch.dict(os.environ), distributed.LocalCluster(n_workers=2, **quiet) as local:
        yield local


def kill_a_worker_at_work(address: str, parts, killed: list[int]) -> None:
    """Wait for the first parts, and kill a worker that holds unfinished jobs."""
    import distributed

    with distributed.Client(address, set_as_default=False) as client:
        processes = client.run(os.getpid)
        while len(list(parts.glob("digits_vgg*"))) < 2:
            time.sleep(0.02)
        worker = next(name for name, jobs in client.processing().items() if jobs)
        os.kill(processes[worker], signal.SIGKILL)
        killed.append(processes[worker])


def test_a_cluster_gives_the_same_table_though_a_worker_is_killed(tmp_path, cluster):
    import distributed

    suite = digits("Gradient", "GuidedBackprop", steps=8)
    alone = run(suite, tmp_path / "alone", limit=10)
    killed: list[int] = []
    parts = tmp_path / "digits-first10.parts"
    arguments = (cluster.scheduler_address, parts, killed)
    killer = threading.Thread(target=kill_a_worker_at_work, args=arguments, daemon=True)
    killer.start()
    table = run(suite, tmp_path, limit=10, scheduler=cluster.scheduler_address)
    killer.join(timeout=30)
    assert len(killed) == 1
    with distributed.Client(cluster.scheduler_address, set_as_default=False) as client:
        assert killed[0] not in client.run(os.getpid).values()
    assert_same(table, alone)


def test_an_error_on_the_cluster_arrives_here(tmp_path, cluster, monkeypatch):
    monkeypatch.setattr(runner, "open_pictures", lambda *_: None)
    suite = replace(digits("Gradient"), pictures="paintings")
    with pytest.raises(ValueError, match="unknown collection of pictures 'paintings'"):
        run(suite, tmp_path, limit=2, scheduler=cluster.scheduler_address)


def test_a_killed_scheduler_is_a_sentence(tmp_path, monkeypatch):
    import distributed

    as_completed, file = distributed.as_completed, tmp_path / "scheduler.json"
    scheduler = subprocess.Popen(
        [sys.executable, "-m", "dask", "scheduler", "--host", "127.0.0.1", "--port", "0",
         "--dashboard-address", ":0", "--scheduler-file", str(file)],
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    # It is there before it is written.
    while not (file.exists() and file.stat().st_size) and scheduler.poll() is None:
        time.sleep(0.02)

    def too_late(*given, **how):
        scheduler.kill()
        return as_completed(*given, **how)

    monkeypatch.setattr(distributed, "as_completed", too_late)
    address = json.loads(file.read_text())["address"]
    with pytest.raises(OSError, match=rf"the scheduler {address} is lost.*goes on from there"):
        run(digits("Gradient"), tmp_path, limit=2, scheduler=address)
    scheduler.wait()


def test_without_dask_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ValueError, match=r"explman-lite\[cluster\]"):
        run(digits("Gradient"), tmp_path, limit=2, scheduler="tcp://127.0.0.1:1")


def test_a_network_that_was_trained_with_softplus_is_searched_with_it():
    suite = replace(
        bench.SUITES["architectures"],
        cases=(bench.Case("crops_vgg_softplus", "Gradient"),),
        batch=2,
        steps=3,
    )
    table = bench.measure(suite.jobs(limit=2)[0])
    assert table.steps.tolist() == [3, 3]
    assert (table.image_mse > 0).all()
    assert table["source"].tolist() == ["astronaut 0", "chelsea 0"]
