"""Judge all that was handed in."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor, nn

import explman_lite as el
from bookkit.challenge import tool
from bookkit.challenge.cage import Limits
from bookkit.challenge.defenders import LIMITS, Cage, Caged
from bookkit.challenge.new import PUBLIC, SECRET
from bookkit.challenge.tool import Challenge, Judge, Pixels, Refused
from explman_lite.progress import progress_bar

ROUNDS = {".npy": "forging", ".py": "defending"}
"""By the end of a submission's name."""
_IDLE, _NOISE, _STARTER, _GRADIENT = tool.RESERVED
KNOWN: dict[str, el.Explainer] = {
    _GRADIENT: el.Gradient(),
    "β-smoothing, β = 2": el.BetaSmoothing(el.Gradient(), beta=2.0),
    "SmoothGrad, 5 samples": el.SmoothGrad(5),
}
"""What defenders are compared with."""


@dataclass(frozen=True)
class Entry:
    """A line of the results.

    Attributes
    ----------
    team : str
        Its name, or what a baseline is.
    score : float
        At most 100; negative where a forgery made matters worse, or a map gave in more than wholly.
    measured : dict
        What else was measured, by its name.
    ranked : bool
        Whether it takes part; baselines do not.
    note : str
        A sentence about it, if there is one.
    file : str
        Where it came from, below the folder of submissions.
    """

    team: str
    score: float
    measured: dict[str, Any]
    ranked: bool = True
    note: str = ""
    file: str = ""


@dataclass
class Results:
    """What became of all submissions.

    Attributes
    ----------
    judge : Judge
        The secret one, no secret from now on.
    entries : dict
        For each round its entries, baselines among them, the best first.
    refused : dict
        By file, a sentence.
    best : str
        Whose pictures are shown.
    shown : dict
        Pictures and maps of the best forgery, by caption.
    attackers : list of str
        What the hidden pictures were forged for.
    """

    judge: Judge
    entries: dict[str, list[Entry]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    best: str = ""
    shown: dict[str, Tensor] = field(default_factory=dict)
    attackers: list[str] = field(default_factory=list)

    def table(self) -> pd.DataFrame:
        """Return one table of all: a row for each entry, and one for each refused file."""
        rows = [
            {"round": name, "rank": rank, "team": entry.team, "score": entry.score}
            | {"file": entry.file, "note": entry.note}
            | entry.measured
            for name, entries in self.entries.items()
            for rank, entry in zip(ranks(entries), entries, strict=True)
        ]
        rows += [
            {"round": "refused", "file": file, "note": note} for file, note in self.refused.items()
        ]
        table = pd.DataFrame(rows).astype({"rank": "Int64"})
        # Where spreadsheets separate by semicolons, the next sign could begin a formula.
        return table.replace(r"[;\t\r\n]", " ", regex=True)


def ranks(entries: list[Entry]) -> list[int | None]:
    """Rank the entries that take part: 1, 2, 2, 4 where two scores are the same as printed."""
    scores = [entry.score for entry in entries if entry.ranked]
    return [
        1 + sum(score > entry.score for score in scores) if entry.ranked else None
        for entry in entries
    ]


def judge_all(
    folder: Path,
    submissions: Path,
    *,
    run_defenders: bool = False,
    limits: Limits = LIMITS,
    progress: bool = True,
    after_round: Callable[[Results], object] = lambda results: None,
) -> Results:
    """Judge every file below a folder.

    Parameters
    ----------
    folder : Path
        The challenge, with its two halves.
    submissions : Path
        Where the files lie that `pack` wrote, in folders of any depth.
    run_defenders : bool
        Whether to run the code of students; without, it is refused.
    limits : Limits
        What a defender may use for an answer.
    progress : bool
        Show a progress bar.
    after_round : callable
        Called with the results after each round, so that the first is kept whatever the code of the
        second does.

    Raises
    ------
    ValueError
        If there is no challenge, or no folder of submissions.
    """
    challenge = tool.load(folder / PUBLIC)
    secrets = _secrets(folder, challenge)
    if not submissions.is_dir():
        raise ValueError(f"{submissions} is no folder of submissions")
    results = Results(secrets.judge)
    accepted = _sorted_out(submissions, results.refused, run_defenders)
    with progress_bar("judging", len(accepted), progress, unit="team") as bar:
        for name, judged in (
            ("forging", partial(_forgeries, challenge, secrets)),
            ("defending", partial(_defenders, challenge, secrets, limits)),
        ):
            paths = {f: path for f, path in accepted.items() if ROUNDS[path.suffix] == name}
            if paths or name == "forging":
                entries = judged(paths, results, bar)
                results.entries[name] = sorted(entries, key=lambda e: (-e.score, e.team.lower()))
                results.refused = dict(sorted(results.refused.items()))
                after_round(results)
    return results


@dataclass(frozen=True)
class _Secrets:
    """The secret half of a challenge."""

    judge: Judge
    hidden: Pixels
    forgeries: dict[str, Pixels]
    """The hidden pictures by attacker."""
    starter: Pixels
    """What the students' starter reached."""


def _secrets(folder: Path, challenge: Challenge) -> _Secrets:
    """Read the secret half of a challenge."""
    secret = folder / SECRET
    try:
        judge = Judge(**json.loads((secret / "judge.json").read_text("utf-8")))
        hidden, attackers, forged = tool.arrays_of(
            secret / "hidden.npz", "pictures", "attackers", "forged"
        )
        forgeries = dict(zip(attackers.tolist(), forged, strict=True))
        starter = tool.read_forgery(secret / "starter.npy", challenge)
        return _Secrets(judge, hidden, forgeries, starter)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{secret} is not the secret half of a challenge: {error}") from error


def _sorted_out(submissions: Path, refused: dict[str, str], run_defenders: bool) -> dict[str, Path]:
    """Return the files to judge, in the order of their names, and note why others are refused."""
    found: dict[str, Path] = {}

    def unread(error: OSError) -> None:
        folder = Path(error.filename).relative_to(submissions)
        refused[_shown_name(folder)] = f"it is a folder that cannot be read: {error.strerror}"

    for parent, folders, files in os.walk(submissions, onerror=unread, followlinks=False):
        folders[:] = [name for name in folders if not name.startswith(".")]
        links = [name for name in folders if (Path(parent) / name).is_symlink()]
        for name in [*links, *files]:
            path = Path(parent) / name
            file = _shown_name(path.relative_to(submissions))
            if name.startswith("."):
                continue
            try:
                if path.suffix not in ROUNDS:
                    raise Refused("its name ends in neither .npy nor .py")
                tool.team_of(path)
                if path.suffix == ".py" and not run_defenders:
                    raise Refused("it is code, which is run only if asked for: --run-defenders")
                found[file] = path
            except Refused as error:
                refused[file] = str(error)
    teams = Counter((path.stem.lower(), path.suffix) for path in found.values())
    for file, path in sorted(found.items()):
        if teams[path.stem.lower(), path.suffix] > 1:
            refused[file] = f"there are several files of {path.stem} for this round"
            del found[file]
    return dict(sorted(found.items()))


def _shown_name(path: Path) -> str:
    """Write a name that can be encoded, and that is no formula to any spreadsheet."""
    return f"./{path.as_posix()}".encode("utf-8", "replace").decode()


def _each(
    paths: dict[str, Path],
    results: Results,
    bar: Any,
    judged: Callable[[Path], Entry],
) -> list[Entry]:
    """Judge files, and note which are refused and why."""
    entries = []
    for file, path in paths.items():
        bar.set_postfix_str(path.stem)
        try:
            entries.append(judged(path))
        except (ValueError, OSError) as error:
            results.refused[file] = str(error)
        bar.update()
    return entries


def _forgeries(
    challenge: Challenge,
    secrets: _Secrets,
    paths: dict[str, Path],
    results: Results,
    bar: Any,
) -> list[Entry]:
    """Judge the first round."""
    judge = tool.ForgeryJudge(challenge, secrets.judge)
    pixels: dict[str, Pixels] = {}

    def measured(team: str, forged: Pixels, ranked: bool = True, file: str = "") -> Entry:
        rows = judge(forged)
        columns = {name: rows[name].mean() for name in (*tool.SHARES, "pcc", "kept")}
        columns["levels"] = rows["levels"].max()
        score = tool.forgery_score(rows)
        return Entry(team, score, columns, ranked, file=file)

    def judged(path: Path) -> Entry:
        forged = tool.read_forgery(path, challenge)
        pixels[path.stem] = forged
        return measured(path.stem, forged, file=path.name)

    entries = _each(paths, results, bar, judged)
    best = max(entries, key=lambda entry: entry.score, default=None)
    results.best = _STARTER if best is None else best.team
    results.shown = _shown(judge, pixels.get(results.best, secrets.starter))
    signs = np.random.default_rng(secrets.judge.seed).choice([-1, 1], challenge.pixels.shape)
    noise = (challenge.pixels + challenge.epsilon * signs).clip(0, 255).astype(np.uint8)
    return [
        *entries,
        measured(_IDLE, challenge.pixels, ranked=False),
        measured(_NOISE, noise, ranked=False),
        measured(_STARTER, secrets.starter, ranked=False),
    ]


def _shown(judge: tool.ForgeryJudge, pixels: Pixels) -> dict[str, Tensor]:
    """Return pictures and maps of a submission, a row for each picture."""
    images = {"before": judge.challenge.images, "after": tool.as_images(pixels)}
    maps = {when: judge.maps(both.double(), el.Gradient()) for when, both in images.items()}
    shown = {}
    for n, target in enumerate(judge.challenge.targets):
        shown[f"{n + 1}, forged"] = images["after"][n]
        shown |= {f"{n + 1}, map {when}": found[n].float() for when, found in maps.items()}
        shown[f"{n + 1}, target"] = target
    return shown


def _defenders(
    challenge: Challenge,
    secrets: _Secrets,
    limits: Limits,
    paths: dict[str, Path],
    results: Results,
    bar: Any,
) -> list[Entry]:
    """Judge the second round."""
    network, epsilon, seed = challenge.network, challenge.epsilon, secrets.judge.seed
    judge = tool.DefenderJudge(network, secrets.hidden, secrets.forgeries, epsilon, seed)
    results.attackers = judge.attackers

    def measured(team: str, defender: tool.Defender, ranked: bool = True, file: str = "") -> Entry:
        rows = judge(defender)
        columns = {name: rows[name].mean() for name in ("gain", "shuffled", "moved", "steady")}
        columns["attacker"] = rows["attacker"].mode()[0]
        reason = tool.objection(rows)
        note = f"not ranked: {reason}" if reason else ""
        return Entry(team, tool.defender_score(rows), columns, ranked and not reason, note, file)

    def judged(path: Path) -> Entry:
        source = tool.read_defender(path)
        with Cage(network, secrets.hidden.shape[1], epsilon, limits) as cage:
            return measured(path.stem, Caged(cage, source, seed), file=path.name)

    def known(explainer: el.Explainer) -> tool.Defender:
        def explain(model: nn.Module, image: Tensor, label: int) -> Tensor:
            return el.relevance_map(explainer(model, image, label))[0]

        return tool.Here(explain, network, epsilon, seed)

    return [
        *_each(paths, results, bar, judged),
        *(measured(name, known(explainer), ranked=False) for name, explainer in KNOWN.items()),
    ]
