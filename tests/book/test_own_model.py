"""What book/own_model.md prints is run, in small, and what it quotes is what the package says."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from PIL import Image
from printed_code import blocks, quickened
from torch import Tensor, nn
from torchvision import models

import explman_lite as el
from explman_lite.__main__ import main

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "book" / "own_model.md").read_text("utf-8")
SIZE = 32

# What makes the code of the page quick; each must be there to be replaced.
QUICKER = {
    'el.load_photo("my_photo.jpg")': f'el.load_photo("my_photo.jpg", {SIZE})',
    'el.load_photo("coffee")': f'el.load_photo("coffee", {SIZE})',
    "epsilon=0.03)": "epsilon=0.03, steps=2, progress=False)",
    "el.Gradient(), beta=None)": "el.Gradient(), beta=None, steps=2, progress=False)",
}


@pytest.fixture
def own_pictures(tmp_path, monkeypatch):
    """Work in a folder where the reader's two pictures lie."""
    monkeypatch.chdir(tmp_path)
    generator = torch.Generator().manual_seed(0)
    for name in ("my_photo.jpg", "my_target.jpg"):
        pixels = torch.randint(256, (48, 64, 3), dtype=torch.uint8, generator=generator)
        Image.fromarray(pixels.numpy()).save(name)


def test_every_substitution_has_something_to_replace():
    code = "".join(blocks(PAGE, "python"))
    assert [slow for slow in QUICKER if slow not in code] == []


@pytest.mark.parametrize("command", blocks(PAGE, "bash"), ids=["map", "bound", "sentence"])
def test_command_lines_run(command, own_pictures):
    python, flag, package, *arguments = shlex.split(command.replace("\\\n", ""))
    assert (python, flag, package) == ("python", "-m", "explman_lite")
    assert main([*arguments, "--size", "64", "--steps", "1", "--device", "cpu"]) == 0
    out = Path(arguments[arguments.index("--out") + 1])
    written = {path.name for path in out.iterdir()}
    assert written == {"manipulation.png", "manipulated.png", "summary.json"}
    numbers = json.loads((out / "summary.json").read_text("utf-8"))["result"]
    assert [name for name in (*written, *numbers) if f"`{name}`" not in PAGE] == []


def test_options_of_the_command_line_are_described(capsys):
    with pytest.raises(SystemExit):
        main(["manipulate", "--help"])
    options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help"}
    assert {option for option in options if option not in PAGE} == set()


def test_python_runs(own_pictures, capsys):
    own, transformer = blocks(PAGE, "python")
    names: dict[str, object] = {}
    exec(quickened(own, QUICKER), names)
    assert capsys.readouterr().out.startswith("PCC before: tensor(")
    assert Path("own_model.png").stat().st_size > 10_000
    names["model"] = el.prepare(small_transformer())
    exec(quickened(transformer, QUICKER), names)
    result = names["result"]
    assert isinstance(result, el.Manipulation)
    assert (result.images != result.original_images).any()


class Undecided(nn.Module):
    """Looks at its data before it decides."""

    def forward(self, images: Tensor) -> Tensor:
        return images if images.mean() > 0 else -images


class Suspicious(nn.Module):
    """Asks what it was given, which is no tensor while it is traced."""

    def forward(self, images: Tensor) -> Tensor:
        return (2 * images if isinstance(images, Tensor) else images).flatten(1)


def hooked() -> nn.Module:
    def remember(*_: object) -> None:
        pass

    remember.__qualname__ = "remember"
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    network[0].register_forward_hook(remember)
    return network


def small_transformer() -> nn.Module:
    torch.manual_seed(0)
    network = models.VisionTransformer(
        image_size=SIZE,
        patch_size=16,
        num_layers=1,
        num_heads=2,
        hidden_dim=32,
        mlp_dim=64,
        num_classes=10,
    )
    nn.init.normal_(network.heads.head.weight)
    return network.eval()


def explain(explainer: el.Explainer, network: nn.Module) -> None:
    explainer(el.prepare(network), torch.full((1, 3, SIZE, SIZE), 0.5), torch.tensor([1]))


def attack(network: nn.Module, low: float = 0.0, **options: object) -> None:
    images = torch.linspace(low, -low or 1, 3 * SIZE**2).view(1, 3, SIZE, SIZE)
    target = el.text_target("no", SIZE)
    el.manipulate(
        el.prepare(network), images, target, el.Gradient(), steps=1, progress=False, **options
    )


MOBILENET = models.mobilenet_v3_small


class Squared(nn.Module):
    """Multiplies a signal by itself."""

    def forward(self, images: Tensor) -> Tensor:
        return (images * images).flatten(1)


class Reader(nn.Module):
    """Hides its ReLU and its weights in one of PyTorch's large layers: it reads row by row."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.RNN(SIZE, 8, nonlinearity="relu", batch_first=True)

    def forward(self, images: Tensor) -> Tensor:
        return self.rnn(images.flatten(1, 2))[0][:, -1]


def explain_half() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 2)).half().eval()
    el.LRP()(network, torch.ones(1, 3, 2, 2).half(), torch.tensor([1]))


MISHAPS = {
    "images must lie in [0, 1]": lambda: attack(nn.Flatten(), low=-2),
    "cannot trace Undecided": lambda: el.prepare(Undecided()),
    "the prepared network differs": lambda: explain(el.Gradient(), Suspicious()),
    "the layer '0' has a forward hook": lambda: el.prepare(hooked()),
    "LRP has no rule for the layer 'en": lambda: explain(el.LRP(), small_transformer()),
    "LRP has no rule for the product": lambda: explain(el.LRP(), Squared()),
    "LRP needs float32": explain_half,
    "the network holds no ReLU": lambda: attack(small_transformer()),
    "the prepared network cannot be differentiated with respect to its images: derivative for "
    "aten::hardsigmoid": lambda: attack(MOBILENET()),
    "GuidedBackprop has a": lambda: explain(el.GuidedBackprop(), small_transformer()),
    "the layer 'rnn' (RNN) has": lambda: explain(el.GuidedBackprop(), Reader().eval()),
    "there is no pattern": lambda: el.fit_patterns(Reader(), torch.rand(2, 3, SIZE, SIZE)),
    "the prepared network cannot be differentiated with respect to its images: derivative for "
    "aten::_scaled": lambda: attack(small_transformer(), beta=None),
}


@pytest.mark.parametrize("beginning", MISHAPS)
def test_messages_are_quoted_word_by_word(beginning):
    with pytest.raises((ValueError, RuntimeError)) as caught:
        MISHAPS[beginning]()
    message = str(caught.value)
    assert message.startswith(beginning)
    assert f"\n{message}\n" in PAGE


def test_every_quoted_message_is_provoked():
    quoted = "".join(blocks(PAGE, "text")).splitlines()
    assert len(quoted) == len(MISHAPS)
    assert all(any(line.startswith(beginning) for beginning in MISHAPS) for line in quoted)


def rows_of_networks() -> list[tuple[str, str, list[str]]]:
    """Return library, network and what the page says of it, for every network of its table."""
    found = []
    for row in re.findall(r"^\| (torchvision|timm)'s (.*) \|$", PAGE, flags=re.MULTILINE):
        library, (names, *columns) = row[0], row[1].split(" | ")
        found += [(library, name, columns) for name in re.findall("`(.*?)`", names)]
    return found


def built(library: str, name: str) -> nn.Module:
    torch.manual_seed(0)
    if library == "timm":
        options = {"img_size": SIZE} if name.startswith("vit") else {}
        return timm.create_model(name, pretrained=False, num_classes=4, **options).eval()
    options = {"image_size": SIZE} if name.startswith("vit") else {}
    if name in {"googlenet", "inception_v3"}:
        # What torchvision sets when it loads trained weights.
        options = {"init_weights": False, "transform_input": True}
    network = models.get_model(name, weights=None, num_classes=4, **options).eval()
    if name.startswith("vit"):
        nn.init.normal_(network.heads.head.weight)
    return network


def outcome(function: Callable[[], object], refusals: dict[str, str]) -> str:
    try:
        function()
    except (ValueError, RuntimeError) as error:
        return next(said for part, said in refusals.items() if part in str(error))
    return "yes"


@pytest.mark.parametrize(
    ("library", "name", "columns"), rows_of_networks(), ids=lambda value: str(value)[:30]
)
def test_the_table_says_what_each_network_can_bear(library, name, columns):
    network = el.prepare(built(library, name))
    size = 96 if name.startswith("inception") else 64
    size = SIZE if name.startswith("vit") else size
    images, classes = torch.rand(1, 3, size, size), torch.tensor([1])
    target = el.text_target("no", size)
    options = {"steps": 1, "progress": False}

    def attack_it(**more: object) -> Callable[[], object]:
        return lambda: el.manipulate(network, images, target, el.Gradient(), **options, **more)

    lacking = {"hardsigmoid_backward": "no", "scaled_dot_product": "a trick"}
    attacked = outcome(attack_it(), {"holds no ReLU": "with `beta=None`", **lacking})
    if attacked == "with `beta=None`" and outcome(attack_it(beta=None), lacking) == "a trick":
        attacked += ", and [a trick](#transformers)"
    guided = outcome(
        lambda: el.GuidedBackprop()(network, images, classes), {"this network has none": "no ReLU"}
    )
    lrp = outcome(lambda: el.LRP()(network, images, classes), {"LRP has no rule": "no rule"})
    assert [attacked, guided, lrp] == columns
