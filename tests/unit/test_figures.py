import base64
import io
import re

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from bs4 import BeautifulSoup
from PIL import Image

import explman_lite as el
from explman_lite import figures


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def result():
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(400, 6)
    ).eval()
    images, target = torch.rand(2, 3, 12, 12), torch.rand(1, 12, 12)
    return el.manipulate(model, images, target, el.Gradient(), steps=3, progress=False)


def shown(gallery):
    return BeautifulSoup(gallery._repr_html_(), "html.parser")


def pixels(image):
    """Decode a picture of a page."""
    content = base64.b64decode(image["src"].partition(",")[2])
    return torch.as_tensor(np.array(Image.open(io.BytesIO(content)).convert("RGB")))


def test_all_maps_of_a_panel_share_one_scale():
    ramp = torch.linspace(0, 1, 64).view(8, 8)
    page = shown(figures.panel({"a": ramp, "b": 5 * ramp, "image": torch.rand(3, 8, 8)}))
    faint, strong, _ = (pixels(image) for image in page.select("figure img"))
    colours = mpl.colormaps[figures.MAP_COLOURS]
    top = figures.colour_limit([5 * ramp])
    for drawn, relevance in ((faint, ramp), (strong, 5 * ramp)):
        expected = colours((relevance / top).numpy(), bytes=True)[..., :3]
        assert torch.equal(drawn, torch.as_tensor(expected))
    assert page.select_one(".explman-scale").get_text(" ", strip=True) == (
        f"relevance (mean 1): 0 {top:.2g} and above"
    )
    assert not shown(figures.panel({"image": torch.rand(3, 8, 8)})).select(".explman-scale")


def test_a_small_picture_is_kept_to_the_byte_and_a_large_one_is_short():
    small = torch.randint(256, (3, 32, 32))
    image = shown(figures.panel({"small": small / 255})).img
    assert torch.equal(pixels(image), small.permute(1, 2, 0).to(torch.uint8))
    assert "image-rendering: pixelated" in image["style"]
    torch.manual_seed(0)
    large = torch.rand(224, 224)
    image = shown(figures.panel({"large": large})).img
    assert (image["width"], image["height"]) == ("224", "224")
    assert len(image["src"]) < 60_000
    assert "pixelated" not in image["style"]


def test_captions_are_text_and_each_picture_is_described():
    pictures = {"<before>": torch.rand(3, 4, 4), "its\nmap": torch.rand(4, 4)}
    gallery = figures.panel(pictures)
    assert repr(gallery) == "Gallery of 2 pictures"
    page = shown(gallery)
    assert [caption.get_text() for caption in page.select("figcaption")] == list(pictures)
    assert [image["alt"] for image in page.select("figure img")] == [
        "Picture: <before>",
        "Relevance map: its map",
    ]
    page = shown(figures.panel(pictures, alts=["a cat", "dots"]))
    assert [image["alt"] for image in page.select("figure img")] == ["a cat", "dots"]
    assert not re.search("https?:|<script|<style", str(page))


@pytest.mark.parametrize("alts", [[], ["one"], ["one", " "]])
def test_a_panel_wants_a_description_of_each_picture(alts):
    with pytest.raises(ValueError, match="describe each of the 2 pictures"):
        figures.panel({"a": torch.rand(4, 4), "b": torch.rand(4, 4)}, alts=alts)


def test_a_panel_breaks_into_rows():
    six = {name: torch.rand(3, 4, 4) for name in "abcdef"}
    page = shown(figures.panel(six, columns=3, keep_rows=True))
    assert page.div["data-columns"] == "3"
    first = ["grid-column-start" in figure["style"] for figure in page.select("figure")]
    assert first == [True, False, False] * 2
    assert "grid-column-start" not in str(shown(figures.panel(six, columns=3)))


def test_a_panel_is_saved_as_one_image(tmp_path):
    gallery = figures.panel({name: torch.rand(4, 4) for name in "abc"}, columns=2)
    drawn = gallery.figure()
    assert [ax.get_title() for ax in drawn.axes] == ["a", "b", "c", "", ""]
    assert drawn.axes[-1].get_ylabel() == "relevance (mean 1)"
    gallery.save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert image.width > image.height
    assert plt.get_fignums() == [drawn.number]


@pytest.mark.parametrize(
    "pictures", [{}, {"wrong": torch.rand(4)}, {"wrong": torch.rand(1, 3, 4, 4)}]
)
def test_a_panel_refuses_what_it_cannot_draw(pictures):
    with pytest.raises(ValueError, match=r"expected an image|at least one"):
        figures.panel(pictures)


@pytest.mark.parametrize("channels", [2, 4, 7])
def test_other_channels_than_colours_are_drawn_as_their_mean_and_the_caption_says_so(channels):
    picture = torch.rand(channels, 4, 5)
    page = shown(figures.panel({"picture": picture}))
    assert page.figcaption.get_text() == f"picture\n(mean of {channels} channels)"
    expected = (picture.mean(dim=0) * 255).round().to(torch.uint8)
    assert torch.equal(pixels(page.img)[..., 0], expected)


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_an_attack_on_any_number_of_channels_is_drawn(channels):
    torch.manual_seed(0)
    layers = torch.nn.Conv2d(channels, 4, 3), torch.nn.ReLU(), torch.nn.Flatten()
    model = torch.nn.Sequential(*layers, torch.nn.Linear(400, 6)).eval()
    images, target = torch.rand(1, channels, 12, 12), torch.rand(1, 12, 12)
    result = el.manipulate(model, images, target, el.Gradient(), steps=2, progress=False)
    captions = list(result.plot().pictures)[:3]
    assert all(("mean of" in caption) == (channels in {2, 5}) for caption in captions)


def test_no_change_is_grey_when_magnified():
    assert figures.magnified(torch.zeros(3, 2, 2), 10).unique().tolist() == [0.5]


def test_an_attack_is_drawn(result):
    captions = list(result.plot(sample=1).pictures)
    assert captions == ["picture before", "picture after", "difference, × 10",
                        "map before", "map after", "target map"]  # fmt: skip
    assert figures.history(result).axes[0].get_title() == "terms of the loss"


def test_top_classes_are_in_order_of_the_first_output(result):
    figure = figures.top_classes(
        {"before": torch.tensor([0.0, 3.0, 1.0]), "after": torch.tensor([9.0, 0.0, 0.0])},
        ["cat", "cup", "car"],
        count=2,
    )
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["cup", "car"]
