import matplotlib.pyplot as plt
import pytest
import torch
from bs4 import BeautifulSoup

from explman_lite import embedding


def two_columns(**style):
    figure, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained", **style)
    for ax, title in zip(axes, ("first", "second"), strict=True):
        ax.plot([0, 1], [0, 1], label="line")
        ax.set_title(title)
    return figure, axes


def images(figure):
    return BeautifulSoup(embedding.figure_html(figure), "html.parser").select("figure > img")


def test_columns_of_a_figure_are_pictures_of_their_own():
    figure, _ = two_columns()
    found = images(figure)
    assert [image["alt"] for image in found] == ["first", "second"]
    assert {image["height"] for image in found} == {found[0]["height"]}
    assert sum(int(image["width"]) for image in found) == pytest.approx(1600, abs=20)


def test_one_column_or_something_across_is_one_picture():
    figure, ax = plt.subplots(figsize=(4, 2))
    ax.set_ylabel("height")
    assert [image["alt"] for image in images(figure)] == ["height"]
    figure, _ = two_columns()
    figure.suptitle("both")
    assert len(images(figure)) == 1
    figure, axes = two_columns()
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower left")
    assert len(images(figure)) == 1


def test_a_column_without_the_other_keeps_its_labels():
    figure, axes = two_columns(sharey=True)
    assert len(images(figure)) == 2
    assert any(label.get_visible() for label in axes[1].get_yticklabels())


def test_what_has_colours_of_its_own_is_no_plot():
    figure, axes = two_columns()
    axes[1].cla()
    figure.colorbar(axes[1].imshow(torch.rand(4, 4).numpy()), ax=axes[1])
    first, second = images(figure)
    assert first.get("class") == ["explman-plot"]
    assert second.get("class") is None
    figure, ax = plt.subplots()
    ax.scatter([0, 1], [0, 1], c=[0.2, 0.3])
    assert images(figure)[0].get("class") is None


def test_a_noisy_picture_is_compressed():
    figure, ax = plt.subplots(figsize=(4, 4))
    ax.imshow(torch.rand(200, 200).numpy())
    (image,) = images(figure)
    assert image["src"].startswith("data:image/webp")
    assert len(image["src"]) < 100_000
    assert int(image["width"]) < 500
