import json
import re

import matplotlib.pyplot as plt
import pytest
import torch
from bs4 import BeautifulSoup

import explman_lite as el

ALTS = ["a flat line", "a line that <rises>", "a steep line"]


def frames(count=3):
    drawn = {}
    for slope in range(count):
        drawn[f"{slope}"], ax = plt.subplots(figsize=(2, 1.5), dpi=50)
        ax.plot([0, 1], [0, slope])
        ax.set_ylim(0, 2)
    return drawn


@pytest.fixture(scope="module")
def html():
    return el.FrameSlider(frames(), "slope & more", ALTS)._repr_html_()


def test_the_first_frame_shows_without_javascript(html):
    page = BeautifulSoup(html, "html.parser")
    assert page.img["src"].startswith("data:image/png;base64,")
    assert page.img["alt"] == ALTS[0]
    assert (page.img["width"], page.img["height"]) == ("400", "300")
    assert "hidden" in page.input.attrs, "a slider that does nothing must not show"


def test_the_slider_has_a_name_and_a_spoken_value(html):
    page = BeautifulSoup(html, "html.parser")
    assert page.label["for"] == page.input["id"]
    assert page.label.get_text().startswith("slope & more")
    assert page.input["aria-valuetext"] == f"0: {ALTS[0]}"
    assert page.input["max"] == "2"


def test_each_frame_brings_its_own_picture_and_description(html):
    listed = json.loads(re.search(r"const frames = (.*);", html)[1])
    assert [alt for _, alt, _ in listed] == ALTS
    assert [part[0] for _, _, (part,) in listed] == ALTS
    first = BeautifulSoup(html, "html.parser").img["src"]
    sources = [first, *(part[2] for _, _, (part,) in listed[1:])]
    assert [html.count(source) for source in sources] == [1, 1, 1]
    assert html.count("</script>") == 1


def test_equal_frames_give_the_same_page_and_others_another(html):
    assert el.FrameSlider(frames(), "slope & more", ALTS)._repr_html_() == html
    assert el.FrameSlider(frames(2), "slope & more", ALTS[:2])._repr_html_() != html


def test_it_asks_nothing_of_the_network_and_leaves_no_figure_open(html):
    plt.close("all")
    el.FrameSlider(frames(), "slope", ALTS)
    assert plt.get_fignums() == []
    assert not re.search(r"https?://", html)


@pytest.mark.parametrize(
    ("count", "alts", "message"),
    [(1, ["one"], "at least two frames"), (3, ["one"], "got 1 desc"), (2, ["a", " "], "each")],
)
def test_what_cannot_be_shown_or_told_is_refused(count, alts, message):
    with pytest.raises(ValueError, match=message):
        el.FrameSlider(frames(count), "slope", alts)


def gallery(value, count=2):
    target = torch.zeros(4, 4)
    pictures = {f"map {value}": torch.full((4, 4), value), "target": target, "more": target}
    return el.figures.panel(dict(list(pictures.items())[:count]), top=1)


def test_galleries_are_frames_whose_equal_pictures_are_kept_once():
    slider = el.FrameSlider({"0": gallery(0.2), "1": gallery(0.8)}, "step", ["before", "after"])
    html = slider._repr_html_()
    listed = json.loads(re.search(r"const frames = (.*);", html)[1])
    (changed, kept) = listed[1][2]
    assert changed[:2] == ["Relevance map: map 0.8", "map 0.8"]
    assert changed[2].startswith("data:image/png")
    assert kept == ["Relevance map: target", "target"]
    assert BeautifulSoup(html, "html.parser").select_one("[role=group]")["aria-label"] == "before"
    captions = BeautifulSoup(html, "html.parser").select(".explman-pictures figcaption")
    assert [caption.get_text() for caption in captions] == ["map 0.2", "target"]


def test_frames_of_another_form_are_refused():
    with pytest.raises(ValueError, match="equally many pictures"):
        el.FrameSlider({"0": gallery(0.2), "1": gallery(0.8, 3)}, "step", ["before", "after"])
