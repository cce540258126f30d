"""A challenge from its making to its table of results, as lecturer and students go through it."""

import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import explman_lite as el
from bookkit.__main__ import main, parser
from bookkit.challenge import new, report, score, tool
from bookkit.challenge.defenders import LIMITS
from bookkit.challenge.score import Entry, ranks
from bookkit.challenge.tool import Judge
from bookkit.places import ROOT

STEPS = 8


def some(cards: dict, *names: str) -> dict:
    return {name: cards[name] for name in names}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("challenge") / "made"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(new, "ATTACKERS", some(new.ATTACKERS, "Gradient", "BetaSmoothing"))
        new.make(folder, seed=7, count=2, size=64, steps=STEPS)
    return folder


@pytest.fixture
def challenge(folder):
    return tool.load(folder / "public")


def student(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program of the public folder as students do, who have explman_lite and no more."""
    packages = str(Path(el.__file__).parents[1])
    path = [one for one in sys.path if one and Path(one).name == "site-packages"]
    program = (
        f"import sys, runpy; sys.path[:0] = [{str(folder / 'public')!r}]\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'bookkit': raise ImportError('no book here')\n"
        "sys.meta_path.insert(0, Absent())\n"
        f"sys.argv = {list(arguments)!r}\n"
        f"runpy.run_path({str(folder / 'public' / arguments[0])!r}, run_name='__main__')\n"
    )
    return subprocess.run(
        [sys.executable, "-B", "-c", program],
        cwd=folder.parent,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([packages, *path])},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def submissions(folder, tmp_path_factory) -> Path:
    """Hand in what teams do, and what ought to be refused."""
    challenge, parent = tool.load(folder / "public"), tmp_path_factory.mktemp("submissions")
    good = folder / "secret" / "starter.npy"
    (parent / "a student").mkdir()
    tool.pack(good, "Good", challenge, parent / "a student")
    tool.pack(good, "As good", challenge, parent)
    np.save(parent / "Idle.npy", challenge.pixels)
    np.save(parent / "Far.npy", challenge.pixels // 2)
    for name in ("twice", "a student/Twice"):
        np.save(parent / f"{name}.npy", challenge.pixels)
    for name in (
        "=cmd.npy",
        "<b>.npy",
        "a;=1+1\t=2.npy",
        "notes.docx",
        ".DS_Store",
        "bad\udcff.npy",
    ):
        (parent / name).write_bytes(b"")
    np.save(parent / "Our Starter.npy", challenge.pixels)
    (parent / ".checkpoints").mkdir()
    np.save(parent / ".checkpoints" / "Good.npy", challenge.pixels)
    (parent / "link").symlink_to(folder, target_is_directory=True)
    tool.pack(folder / "public" / "defender.py", "Smooth", challenge, parent)
    (parent / "Broken.py").write_text("def explain(model, image, label):\n    return label\n")
    return parent


@pytest.fixture(scope="module")
def results(folder, submissions):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(score, "KNOWN", some(score.KNOWN, "β-smoothing, β = 2"))
        return score.judge_all(folder, submissions, run_defenders=True, progress=False)


def test_the_public_half_says_nothing_of_the_secret_one(folder):
    public, secret = folder / "public", folder / "secret"
    names = {path.relative_to(public).as_posix() for path in public.rglob("*") if path.is_file()}
    assert names == {
        *("README.txt", "attack.py", "challenge.json", "challenge.py", "defender.py", "pairs.npz"),
        *(f"{kind}/{number}.png" for kind in ("pictures", "targets") for number in (1, 2)),
    }
    hidden = json.loads((secret / "judge.json").read_text())
    assert str(hidden["seed"]) not in (public / "challenge.json").read_text()
    shown = np.load(public / "pairs.npz")["pictures"]
    unseen = np.load(secret / "hidden.npz")["pictures"]
    assert not any((a == b).all() for a in shown for b in unseen)


def test_the_seed_draws_the_public_half_only(folder):
    model = el.load_model(new.NETWORK)
    first, again, other = (
        new._draw(model, np.random.default_rng(seed), 2, 64) for seed in (7, 7, 8)
    )
    assert (first == again).all() and (first != other).any()
    assert (first == tool.load(folder / "public").pixels).all()
    seeds = {json.loads((folder / "secret" / "judge.json").read_text())["seed"]}
    seeds |= {new._judge(np.random.default_rng()).seed for _ in range(2)}
    assert len(seeds) == 3


def test_targets_are_those_of_the_rules(challenge):
    sentence = el.text_target(new.SENTENCE, 64)[0]
    assert (challenge.targets[0] == sentence).all()
    model, image = el.load_model(challenge.network), challenge.images[:1]
    first = el.relevance_map(el.Gradient()(model, image, model(image).argmax(dim=1)))
    assert tool.likeness(challenge.targets[1:], first).item() == pytest.approx(1)


def test_students_need_nothing_of_the_book(folder):
    ran = student(folder, "attack.py", str(STEPS))
    assert ran.returncode == 0, ran.stderr
    again = np.load(folder.parent / "forged.npy")
    assert (again == np.load(folder / "secret" / "starter.npy")).all()
    scored = student(folder, "challenge.py", "score", "forged.npy")
    assert scored.returncode == 0 and "Score: " in scored.stdout, scored.stderr
    packed = student(folder, "challenge.py", "pack", "forged.npy", "--team", "Team 7")
    assert packed.stdout == "Hand in Team 7.npy\n"


def test_a_student_gets_a_sentence_too(challenge, folder, monkeypatch, capsys):
    monkeypatch.setattr(tool, "load", lambda: challenge)
    starter = str(folder / "secret" / "starter.npy")
    assert tool.main(["pack", starter, "--team", "../Team"]) == 2
    assert "a team's name has up to 30 letters" in capsys.readouterr().err
    assert tool.main(["score", str(folder / "public" / "README.txt")]) == 2
    assert "no .npy file that can be read" in capsys.readouterr().err


def test_the_starter_gains_and_comparisons_do_not(results):
    entries = {entry.team: entry for entry in results.entries["forging"]}
    assert set(entries) == {
        *("Good", "As good", "Idle", "no attack", "noise of the same size", "our starter")
    }
    assert entries["no attack"].score == entries["Idle"].score == 0
    assert entries["our starter"].score == entries["Good"].score > 10
    assert abs(entries["noise of the same size"].score) < 5
    assert entries["Good"].measured["levels"] <= new.EPSILON
    assert [entry.score for entry in results.entries["forging"]] == sorted(
        (entry.score for entry in entries.values()), reverse=True
    )


def test_ties_share_a_rank_and_comparisons_have_none(results):
    entries = results.entries["forging"]
    found = {entry.team: rank for rank, entry in zip(ranks(entries), entries, strict=True)}
    assert (found["Good"], found["As good"], found["Idle"]) == (1, 1, 3)
    assert found["no attack"] is found["our starter"] is None
    scores = [Entry(str(score), score, {}) for score in (5.0, 4.0, 4.0, 1.0)]
    assert ranks(scores) == [1, 2, 2, 4]


def test_the_judge_counts_what_was_gained(challenge):
    """The map's gain is recomputed from the definition; a class that is lost gains nothing."""
    judge = tool.ForgeryJudge(challenge, Judge(3, 85, "GradientTimesInput"))
    forged = np.roll(challenge.pixels, 1, axis=0)  # each picture is the other one
    rows = judge(forged)
    assert not rows.kept.any() and (rows[list(tool.SHARES)] == 0).all(axis=None)
    near = (challenge.pixels.astype(int) + 1).clip(0, 255).astype(np.uint8)
    rows = judge(near)
    model = el.load_model(challenge.network).double()

    def correlation(pixels):
        images = tool.as_images(pixels).double()
        maps = el.relevance_map(el.Gradient()(model, images, judge.classes)).numpy()
        pairs = zip(maps, challenge.targets.numpy(), strict=True)
        return np.array([np.corrcoef(one.ravel(), two.ravel())[0, 1] for one, two in pairs])

    wanted = (correlation(near) - correlation(challenge.pixels)) * rows.kept
    np.testing.assert_allclose(rows["map"], wanted, atol=1e-9)
    shares = sum(share * rows[name].mean() for name, share in tool.SHARES.items())
    assert tool.forgery_score(rows) == round(100 * shares, 1)
    assert sum(tool.SHARES.values()) == pytest.approx(1)


def test_other_secrets_give_another_score(challenge, folder):
    pixels = np.load(folder / "secret" / "starter.npy")
    public = tool.ForgeryJudge(challenge, Judge(0, 95, "GradientTimesInput"))(pixels)
    hidden = tool.ForgeryJudge(challenge, Judge(99, 85, "SmoothGrad"))(pixels)
    assert (public["map"] == hidden["map"]).all()
    for name in ("noise", "jpeg", "method"):
        assert (public[name] != hidden[name]).all(), name


def test_what_is_refused_is_listed_with_a_sentence(results):
    wanted = {
        "./Far.npy": "grey levels, and 8 are allowed",
        "./a student/Twice.npy": "several files of Twice",
        "./twice.npy": "several files of twice",
        "./Our Starter.npy": "the judge has a line of that name",
        "./=cmd.npy": "a team's name has up to 30 letters",
        "./<b>.npy": "a team's name has up to 30 letters",
        "./a;=1+1\t=2.npy": "a team's name has up to 30 letters",
        "./bad?.npy": "a team's name has up to 30 letters",
        "./notes.docx": "ends in neither .npy nor .py",
        "./link": "ends in neither .npy nor .py",
        "./Broken.py": "asked for a forgery, it returned what has no gradient",
    }
    assert results.refused.keys() == wanted.keys()
    for file, sentence in wanted.items():
        assert sentence in results.refused[file], file


def test_the_starter_of_the_second_round_is_ranked(results):
    entries = {entry.team: entry for entry in results.entries["defending"]}
    assert set(entries) == {"Smooth", "β-smoothing, β = 2"}
    smooth, known = entries["Smooth"], entries["β-smoothing, β = 2"]
    assert smooth.ranked and not known.ranked
    assert smooth.score == pytest.approx(known.score, abs=0.2)
    assert all(entry.score < 95 for entry in entries.values()), "an attack that does nothing"


class Page(HTMLParser):
    """Collects the tags, and what they would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.loaded = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.loaded += [value for name, value in attrs if name in {"src", "href"}]


def test_results_are_a_table_and_a_page_of_its_own(results, tmp_path):
    page = report.write(results, tmp_path, "a command")
    table = pd.read_csv(tmp_path / "results.csv")
    assert set(table["round"]) == {"forging", "defending", "refused"}
    assert len(table) == 6 + 2 + len(results.refused)
    assert table[table.team == "Good"]["rank"].item() == 1
    cells = table[["team", "file", "note"]].to_numpy().ravel()
    parts = [part for cell in cells for part in re.split(r"[;\t\r\n]", str(cell))]
    assert not [part for part in parts if part[:1] in {*"=+-@"}], "a formula to a spreadsheet"
    found = Page(page.read_text("utf-8"))
    assert all(link.startswith("data:") for link in found.loaded)
    assert "script" not in found.tags and "b" not in found.tags
    assert found.tags.count("img") == 2 * 4 + 1
    how = json.loads((tmp_path / "results.json").read_text())
    assert how["settings"]["judge"] == vars(results.judge)


def test_code_is_run_only_if_asked_for(tmp_path):
    (tmp_path / "Team.py").write_text("def explain(model, image, label): pass\n")
    refused: dict[str, str] = {}
    assert score._sorted_out(tmp_path, refused, run_defenders=False) == {}
    assert "run only if asked for" in refused["./Team.py"]
    assert list(score._sorted_out(tmp_path, refused, run_defenders=True)) == ["./Team.py"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["score", "{folder}/none", "{folder}"], "holds no challenge"),
        (["score", "{folder}", "{folder}/none"], "is no folder of submissions"),
        (["score", "{folder}", "{folder}", "--seconds", "0"], "seconds must be an integer"),
        (["score", "{folder}", "{folder}", "--seconds", str(10**10)], "at most 86400 seconds"),
        (["score", "{folder}", "{folder}", "--gigabytes", str(10**10)], "1024 gigabytes"),
        (["score", "{folder}", "{folder}", "--out", __file__], "is no folder to write to"),
        (["pack", "{folder}", "{folder}/none.npy", "--team", "A"], "No such file"),
        (["pack", "{folder}", "{folder}/public/README.txt", "--team", "A"], "no .npy file"),
        (["new", "{folder}"], "is there already"),
        (["new", "{folder}/other", "--hidden", "{folder}/none"], "No such file"),
        (["new", "{folder}/other", "--hidden", "{folder}"], "holds 0 pictures"),
    ],
)
def test_mistakes_get_a_sentence_and_exit_status_2(arguments, sentence, folder, capsys):
    filled = [argument.format(folder=folder) for argument in arguments]
    assert main(["challenge", *filled]) == 2
    assert sentence in capsys.readouterr().err
    assert [path.name for path in folder.parent.iterdir() if path.is_dir()] == ["made"]


DAMAGE = {
    "cut off": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "one array": lambda content: (lambda file: (np.save(file, np.ones(3)), file.getvalue())[1])(
        io.BytesIO()
    ),
    "changed": lambda content: content.replace(content[1000:1100], bytes(100)),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("file", ["public/pairs.npz", "secret/hidden.npz"])
def test_a_damaged_challenge_gets_a_sentence(file, damage, folder, tmp_path, capsys):
    shutil.copytree(folder, tmp_path / "made")
    path = tmp_path / "made" / file
    path.write_bytes(damage(path.read_bytes()))
    assert main(["challenge", "score", str(tmp_path / "made"), str(tmp_path)]) == 2
    assert f"{path.name} is damaged" in capsys.readouterr().err


def test_a_judge_knows_its_methods():
    with pytest.raises(ValueError, match=r"a judge's method is .*; got 'Guess'"):
        Judge(0, 90, "Guess")


def test_a_challenge_is_made_in_an_empty_folder_one_is_in(tmp_path, monkeypatch):
    for name in ("_draw", "_try_starter"):
        monkeypatch.setattr(new, name, lambda *given: np.zeros((2, 64, 64, 3), np.uint8))
    for name in ("_write_public", "_write_secret"):
        monkeypatch.setattr(new, name, lambda folder, *given: folder.mkdir(parents=True))
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert main(["challenge", "new", "."]) == 0
    assert {path.name for path in Path().iterdir()} == {"public", "secret"}
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_one_submission_does_not_cost_the_others_their_results(folder, submissions, monkeypatch):
    """The first round is written before the second; a cage that does not start refuses one file."""

    class Broken:
        def __init__(self, *given):
            pass

        def __enter__(self):
            raise ValueError("the process did not start")

        def __exit__(self, *given):
            pass

    monkeypatch.setattr(score, "Cage", Broken)
    monkeypatch.setattr(score, "KNOWN", {})
    written = []
    results = score.judge_all(
        folder,
        submissions,
        run_defenders=True,
        progress=False,
        after_round=lambda results: written.append(list(results.entries)),
    )
    assert written == [["forging"], ["forging", "defending"]]
    assert results.refused["./Smooth.py"] == "the process did not start"


def test_the_command_is_recorded_as_it_can_be_run(folder, tmp_path, monkeypatch):
    arguments = ["challenge", "score", str(folder), str(tmp_path / "hand ins")]
    arguments += ["--out", str(tmp_path / "out")]
    (tmp_path / "hand ins").mkdir()
    monkeypatch.setattr(sys, "argv", ["/somewhere/__main__.py", *arguments])
    assert main(arguments) == 0
    command = json.loads((tmp_path / "out" / "results.json").read_text())["command"]
    assert shlex.split(command) == ["python", "-m", "bookkit", *arguments]


def test_folders_that_cannot_be_read_are_listed(tmp_path, monkeypatch):
    def walk(top, onerror, **rest):
        onerror(PermissionError(13, "Permission denied", str(top / "locked")))
        return iter(())

    monkeypatch.setattr(score.os, "walk", walk)
    refused: dict[str, str] = {}
    score._sorted_out(tmp_path, refused, run_defenders=True)
    assert refused == {"./locked": "it is a folder that cannot be read: Permission denied"}


def test_lines_of_the_judge_are_no_names_of_teams(results):
    own = {
        entry.team for entries in results.entries.values() for entry in entries if not entry.file
    }
    own |= set(score.KNOWN)
    for name in own:
        with pytest.raises(tool.Refused):
            tool.team_of(Path(f"{name.upper()}.npy"))


def test_what_fails_half_way_leaves_nothing(tmp_path, monkeypatch):
    def full(folder, *rest):
        folder.mkdir()
        raise OSError("No space left on device")

    monkeypatch.setattr(new, "_write_secret", full)
    with pytest.raises(OSError, match="No space left"):
        new.make(tmp_path / "made", 0, count=2, size=64, steps=1)
    assert list(tmp_path.iterdir()) == []


def test_a_lecturer_can_hide_pictures_of_their_own(tmp_path):
    for name in ("chelsea", "coffee"):
        pixels = tool.as_pixels(el.load_photo(name, 64))[0]
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    found = new._own(tmp_path, 64)
    assert found.shape == (2, 64, 64, 3)
    assert (found[0] == tool.as_pixels(el.load_photo("chelsea", 64))[0]).all()


def test_the_page_says_what_the_program_does():
    page = (ROOT / "book" / "teach" / "challenge.md").read_text("utf-8")
    joined = page.replace("\\\n", " ")
    commands = re.findall(r"python -m bookkit (challenge .*)$", joined, re.MULTILINE)
    assert len(commands) == 5
    for command in commands:
        parser().parse_args(shlex.split(command))
    shares = [int(share) for share in re.findall(r"\| (\d+) % \|", page)]
    assert shares == [round(100 * share) for share in tool.SHARES.values()]
    limits = LIMITS.map, LIMITS.memory >> 30, LIMITS.forge
    for words in (
        f"up to {new.EPSILON} of 255 grey levels",
        f"{new.SIZE} × {new.SIZE}\npixels",
        f"noise of {255 * tool.NOISE:g} grey levels, four draws",
        f"a quality from {tool.QUALITIES[0]} to {tool.QUALITIES[-1]}",
        f"directly, for {tool.DIRECT} steps",
        f"correlation up to {tool.ALIKE}",
        f"correlation at least {tool.STEADY}",
        f"at most {tool.LONGEST_CODE:,} bytes",
        "{} seconds, {} GB of memory, {} seconds".format(*limits),
    ):
        assert words in page, words
    assert tool.DRAWS == 4
    rules = (new._FILES / "README.txt.jinja").read_text("utf-8")
    assert "{1} GB of memory, {0} seconds for a map and {2} for an attack".format(*limits) in rules
