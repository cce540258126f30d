"""Submitted explainers run on their own, within limits, and see nothing but a picture."""

import os
import sys
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import torch

import explman_lite as el
from bookkit.challenge import tool
from bookkit.challenge.cage import Limits
from bookkit.challenge.defenders import Cage, Caged
from bookkit.challenge.tool import Refused, as_images, as_pixels

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that forks")
NETWORK, SIZE, EPSILON = "crops_vgg", 64, 8
LIMITS = Limits(memory=4 << 30, map=3, forge=100)
PAIR = el.load_crops()[0][:2]
IMAGE = PAIR[:1]


@pytest.fixture(scope="module")
def cage():
    with Cage(NETWORK, SIZE, EPSILON, LIMITS) as cage:
        yield cage


def code(body: str) -> str:
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return f"import os, sys, torch\n\ndef explain(model, image, label):\n{lines}\n"


HOSTILE = {
    "hangs": ("while True: pass", "it took longer than allowed"),
    "sleeps": ("import time; time.sleep(60)", "it took longer than allowed"),
    "eats memory": ("bytearray(1 << 33)", "it needed more memory than allowed"),
    "eats memory with torch": ("torch.ones(1 << 31)", "it needed more memory than allowed"),
    "exits": ("sys.exit(0)", "it raised SystemExit: 0"),
    "exits at once": ("os._exit(0)", "its process ended before it returned a map"),
    "kills itself": ("os.kill(os.getpid(), 9)", "its process ended before it returned a map"),
    "raises": ("raise ValueError('no\\nidea\\x1b[2J')", r"it raised ValueError: no idea\[2J"),
    "raises at length": ("raise ValueError('x' * 10**6)", r"ValueError: x{200,300}$"),
    "returns a picture": ("return image", r"a map of the shape \(1, 3, 64, 64\) in place"),
    "returns nothing": ("pass", "returned NoneType in place of a map"),
    "returns words": ("return 'map'", "returned str in place of a map"),
    "returns NaN": ("return image[0, 0] / 0 * 0", "a map with NaN or infinity"),
    "answers garbage": ("os.write(3, b'garbage' * 10**5)", "it sent something else"),
    "answers too little": ("os.write(3, b'm' + bytes(99)); os._exit(0)", "it sent something else"),
    "answers NaN": ("os.write(3, b'm' + b'\\xff' * 8 * 64**2)", "a map with NaN or infinity"),
    "closes its pipe": ("os.close(3)\nreturn image[0, 0]", "its process ended before"),
    "writes a file": ("with open('map', 'w') as f: f.write('x' * 99)", "File too large"),
    "asks for more": (
        "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))",
        "it raised (PermissionError|ValueError)",
    ),
    "looks for the question": (
        "frame = sys._getframe()\n"
        "while frame and 'request' not in frame.f_locals: frame = frame.f_back\n"
        "raise ValueError(frame)",
        "it raised ValueError: None",
    ),
}
LINUX = {
    "writes into the pipe of the judge": (
        "pipe = os.open(f'/proc/{os.getppid()}/fd/1', os.O_WRONLY)\n"
        "reply = b'm' + torch.full((64, 64), 7, dtype=torch.float64).numpy().tobytes()\n"
        "os.write(pipe, len(reply).to_bytes(8, 'little') + reply)",
        "it raised PermissionError",
    ),
    "reads the memory of the judge": (
        "open(f'/proc/{os.getppid()}/mem', 'rb')",
        "it raised PermissionError",
    ),
    "is root": (
        "import subprocess\nprogram = ['grep', 'CapEff', '/proc/self/status']\n"
        "raise ValueError(int(subprocess.check_output(program).split()[1], 16))",
        "it raised ValueError: 0$",
    ),
}
HOSTILE |= LINUX if sys.platform == "linux" else {}


@pytest.mark.parametrize(("body", "sentence"), HOSTILE.values(), ids=HOSTILE)
def test_what_returns_no_map_is_refused(body, sentence, cage):
    start = time.monotonic()
    with pytest.raises(Refused, match=sentence) as refusal:
        cage.explain(code(body), IMAGE, 3, seed=0)
    assert time.monotonic() - start < LIMITS.map + 5
    assert str(refusal.value).startswith("asked for a map, ")
    # The next one is served as if nothing had been.
    assert cage.explain(code("return image[0, 0]"), IMAGE, 3, seed=0).shape == (SIZE, SIZE)


def test_what_is_printed_is_no_answer(cage):
    body = "print('x' * 10**6); sys.stderr.write('x' * 10**6)\nreturn image[0, 1] + label"
    found = cage.explain(code(body), IMAGE, 3, seed=0)
    np.testing.assert_array_equal(found, IMAGE[0, 1].numpy() + np.float32(3))


def test_the_seed_of_the_judge_stays_with_it(cage):
    """Code that knew it could compute the judge's noise and remove it."""
    source = "import torch\ndef explain(*given): return torch.full((64, 64), torch.initial_seed())"
    own = tool.Here(tool.function_of(source), NETWORK, EPSILON, seed=5)
    for defender in (own, Caged(cage, source, 5)):
        found = defender.explain(IMAGE, 3)
        assert (found == found[0, 0]).all() and found[0, 0] != 5


def test_noise_is_drawn_from_the_seed(cage):
    body = "import numpy, random\nr = random.random() + numpy.random.rand()\n"
    body += "return torch.rand(64, 64) + r"
    first, again, other = (cage.explain(code(body), IMAGE, 3, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.corrcoef(first.ravel(), other.ravel())[0, 1] < 0.5


def test_nothing_is_remembered_from_picture_to_picture(cage):
    body = "seen = sys.modules.setdefault('seen', [])\nseen.append(1)\n"
    body += "return torch.full((64, 64), float(len(seen)))"
    for _ in range(2):
        assert (cage.explain(code(body), IMAGE, 3, seed=0) == 1).all()


@pytest.mark.skipif(sys.platform != "linux", reason="needs processes that adopt others")
def test_nothing_outlives_its_answer(cage):
    """Not even what left the group of its parent, and left something behind itself."""
    body = (
        "end, pipe = os.pipe()\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    os.fork()\n"
        "    os.write(pipe, os.getpid().to_bytes(8, 'little'))\n"
        "    import time; time.sleep(60)\n"
        "left = [int.from_bytes(os.read(end, 8), 'little') for _ in range(2)]\n"
        "return torch.tensor(left, dtype=torch.float64).repeat(64, 32)"
    )
    for process in cage.explain(code(body), IMAGE, 3, seed=0)[0, :2]:
        with pytest.raises(ProcessLookupError):
            os.kill(int(process), 0)


SNOOP = """
import gc
pictures = [one for one in gc.get_objects() if isinstance(one, torch.Tensor)]
pictures = [one for one in pictures if tuple(one.shape[-2:]) == (64, 64)]
pipes = [n for n in range(3, 100) if os.path.exists(f'/proc/self/fd/{n}')]
contents = [name for name in os.listdir() if os.path.isfile(name) and os.path.getsize(name)]
raise ValueError(len(pictures), contents, pipes)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_there_is_nothing_to_find_but_the_picture(cage):
    """No target, no other picture, no file with anything in it, and no pipe but its own."""
    with pytest.raises(Refused, match=r"ValueError: \(1, \[\], \[3\]\)$"):
        cage.explain(code(SNOOP), IMAGE, 3, seed=0)


def test_our_own_environment_stays_with_us(monkeypatch):
    monkeypatch.setenv("EXPLMAN_SECRET", "seed 7")
    with Cage(NETWORK, SIZE, EPSILON, LIMITS) as cage:
        body = "raise ValueError('EXPLMAN_SECRET' in os.environ, os.getcwd() == os.environ['HOME'])"
        with pytest.raises(Refused, match=r"\(False, True\)"):
            cage.explain(code(body), IMAGE, 3, seed=0)
        # What goes for the process that asks it ends only its own.
        for _ in range(2):
            with pytest.raises(Refused, match="it ended the process that was to ask it for maps"):
                cage.explain(code("os.kill(os.getppid(), 9)"), IMAGE, 3, seed=0)
        folder = cage._folder.name
    assert not Path(folder).exists()


def test_a_network_that_does_not_load_is_said(capfd):
    with pytest.raises(ValueError, match="did not start"), Cage("unknown", SIZE, EPSILON):
        pass
    assert "unknown model 'unknown'" in capfd.readouterr().err


FORGING = {
    "hangs": ("while True: pass", "it took longer than allowed"),
    "has no gradient": ("return image[0, 0].detach()", "it returned what has no gradient"),
    "is no tensor": ("return image.detach().numpy()[0, 0]", "it returned what has no gradient"),
    "has no gradient to follow": ("return image[0, 0] * torch.nan", "a map with NaN or infinity"),
    "answers itself": ("os.write(3, b'm' + bytes(5))\nos._exit(0)", "it sent something else"),
}


@pytest.fixture(scope="module")
def hasty():
    with Cage(NETWORK, SIZE, EPSILON, Limits(4 << 30, map=3, forge=3)) as cage:
        yield cage


@pytest.mark.parametrize(("body", "sentence"), FORGING.values(), ids=FORGING)
def test_what_cannot_be_attacked_is_refused(body, sentence, hasty):
    with pytest.raises(Refused, match=f"^asked for a forgery, .*{sentence}"):
        hasty.forge(code(body), PAIR, [0, 1], seed=0)


def gradient(model, image, label):
    return el.relevance_map(el.Gradient()(model, image, label))[0]


def brightness(model, image, label):
    """Show where a picture is bright, which has nothing to do with the network."""
    return image.mean(dim=(0, 1))


def weight_sum(model) -> float:
    return sum(weight.double().flatten()[0].item() for weight in model.parameters())


def dice(seed: float, image):
    generator = torch.Generator().manual_seed(int(abs(seed) * 1e6))
    return torch.rand(image.shape[2:], generator=generator) + 0 * image.sum()


def noise(model, image, label):
    """Show noise that belongs to the network and to the picture's last digits."""
    return dice(weight_sum(model) + image[..., :9].double().sum().item(), image)


def fixed(model, image, label):
    """Show noise that belongs to the network."""
    return dice(weight_sum(model), image)


def by_label(model, image, label):
    """Show noise that belongs to the network and to the label."""
    return dice(weight_sum(model) + label, image)


def by_class(model, image, label):
    """Show noise that belongs to the network and to what it sees."""
    return dice(weight_sum(model) + model(image).argmax().item(), image)


def by_colour(model, image, label):
    """Show noise that belongs to the network and to how bright a picture is."""
    return dice(weight_sum(model) + round(4 * image.mean().item()), image)


@pytest.fixture(scope="module")
def judge():
    """Three crops, and as their forgeries the pictures themselves and the ones they imitate."""
    pixels = as_pixels(el.load_crops()[0][:3])
    forgeries = {"none": pixels, "whole": np.roll(pixels, -1, axis=0)}
    return tool.DefenderJudge(NETWORK, pixels, forgeries, EPSILON, seed=5)


def here(function):
    return tool.Here(function, NETWORK, EPSILON, seed=5)


def test_a_cage_changes_no_number(judge, cage):
    source = (
        "import explman_lite as el\n\n"
        "def explain(model, image, label):\n"
        "    return el.relevance_map(el.Gradient()(model, image, label))[0]\n"
    )
    caged, bare = judge(Caged(cage, source, 5)), judge(here(gradient))
    pd.testing.assert_frame_equal(caged, bare, rtol=1e-4, atol=1e-4)
    assert not tool.objection(bare)


def test_a_direct_attack_gains(judge):
    alone = tool.DefenderJudge(NETWORK, judge.pixels, {}, EPSILON, seed=5)
    rows = alone(here(gradient))
    assert set(rows.attacker) == {"direct"}
    assert (rows.gain > 0.2).all()


def test_a_forgery_that_succeeds_costs_all_the_gain(judge):
    rows = judge(here(brightness))
    shown = [image.mean(dim=0).numpy().ravel() for image in judge.pictures["honest"]]
    before = [np.corrcoef(shown[n], shown[(n + 1) % 3])[0, 1] for n in range(3)]
    np.testing.assert_allclose(rows.gain, 1 - np.array(before), atol=1e-6)
    assert set(rows.attacker) == {"whole"}
    assert tool.defender_score(rows) == round(100 * np.mean(before), 1)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (brightness, "the same for a network whose weights were shuffled"),
        *(
            (function, "the same for a picture that was mirrored and moved")
            for function in (fixed, by_label, by_class, by_colour)
        ),
        (noise, "do not survive noise of 2 grey levels"),
    ],
)
def test_what_explains_nothing_is_not_ranked(function, reason, judge):
    assert reason in tool.objection(judge(here(function)))


HONEST = {
    "gradient": el.Gradient(),
    "SmoothGrad": el.SmoothGrad(5),
    "β-smoothing": el.BetaSmoothing(el.Gradient(), beta=2.0),
    "LRP": el.LRP(),
    "Grad-CAM": el.GradCAM(),
}


class Unharmed(tool.Here):
    """Is attacked by somebody who changes a pixel and no more, which is quick."""

    def forge(self, image, label, lender, other):
        found = as_pixels(image)[0]
        found[0, 0, 0] ^= 1
        return found


@pytest.mark.parametrize("explainer", HONEST.values(), ids=HONEST)
def test_what_explains_is_ranked(explainer, judge):
    def explain(model, image, label):
        return el.relevance_map(explainer(model, image, label))[0]

    assert not tool.objection(judge(Unharmed(explain, NETWORK, EPSILON, 5)))


class Idle(tool.Here):
    """Answers in place of the attacker, with the picture as it was."""

    def forge(self, image, label, lender, other):
        return as_pixels(image)[0]


def test_what_was_not_attacked_is_not_ranked(judge):
    assert "nothing was attacked" in tool.objection(judge(Idle(gradient, NETWORK, EPSILON, 5)))


def test_pictures_are_moved_so_that_they_keep_their_class(judge):
    moved = judge.pictures["moved"]
    assert judge.same_class.all() and judge._classes(moved) == judge.labels
    honest = judge.pictures["honest"]
    assert (moved.flatten(1).sort().values == honest.flatten(1).sort().values).all()
    assert (moved != honest).any(dim=(1, 2, 3)).all()
    assert not tool.DefenderJudge._moved(judge, torch.rand_like(honest))[1].all()


class Liar(tool.Here):
    """Returns a forgery far out of bounds."""

    def forge(self, image, label, lender, other):
        return 255 - as_pixels(image)[0]


def test_a_forgery_out_of_bounds_is_brought_back(judge):
    forged = as_pixels(judge._forged_by(Liar(gradient, NETWORK, EPSILON, 5))[0])
    assert np.abs(forged.astype(int) - judge.pixels).max() <= EPSILON


def test_each_picture_is_asked_about_once_in_an_order_that_tells_nothing(judge):
    class Listener(Liar):
        asked: ClassVar[list[bytes]] = []

        def explain(self, image, label, shuffled=False):
            self.asked.append(as_pixels(image)[0].tobytes())
            return super().explain(image, label, shuffled)

    judge(Listener(gradient, NETWORK, EPSILON, 5))
    honest = [picture.tobytes() for picture in judge.pixels]
    assert len(Listener.asked) == 7 * 3
    assert Listener.asked[:3] != honest, "in the order of the pictures"


def test_images_survive_being_pixels():
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    assert (as_pixels(as_images(pixels)) == pixels).all()
