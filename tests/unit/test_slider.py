import json
import re

import matplotlib.pyplot as plt
import pytest
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
    assert page.img["src"].startswith("data:image/webp;base64,")
    assert page.img["alt"] == ALTS[0]
    assert (page.img["width"], page.img["height"]) == ("100", "75")
    assert "hidden" in page.input.attrs, "a slider that does nothing must not show"


def test_the_slider_has_a_name_and_a_spoken_value(html):
    page = BeautifulSoup(html, "html.parser")
    assert page.label["for"] == page.input["id"]
    assert page.label.get_text().startswith("slope & more")
    assert page.input["aria-valuetext"] == f"0: {ALTS[0]}"
    assert page.input["max"] == "2"


def test_each_frame_brings_its_own_picture_and_description(html):
    listed = json.loads(re.search(r"const frames = (.*);", html)[1])
    assert [alt for _, alt, *_ in listed] == ALTS
    first = BeautifulSoup(html, "html.parser").img["src"]
    sources = [first, *(source for _, _, source in listed[1:])]
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
