import matplotlib.pyplot as plt
import pytest
import torch

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


def test_all_maps_of_a_panel_share_one_scale():
    figure = figures.panel({"a": torch.rand(8, 8), "b": 5 * torch.rand(8, 8)})
    limits = {ax.images[0].get_clim() for ax in figure.axes[:2]}
    assert len(limits) == 1
    assert limits.pop()[1] > 4


def test_a_panel_breaks_into_rows():
    figure = figures.panel({name: torch.rand(3, 4, 4) for name in "abc"}, columns=2)
    assert figure.axes[0].get_gridspec().get_geometry() == (2, 2)


@pytest.mark.parametrize(
    "pictures", [{}, {"wrong": torch.rand(4)}, {"wrong": torch.rand(1, 3, 4, 4)}]
)
def test_a_panel_refuses_what_it_cannot_draw(pictures):
    with pytest.raises(ValueError, match=r"expected an image|at least one"):
        figures.panel(pictures)


@pytest.mark.parametrize("channels", [2, 4, 7])
def test_other_channels_than_colours_are_drawn_as_their_mean_and_the_title_says_so(channels):
    picture = torch.rand(channels, 4, 5)
    (ax,) = figures.panel({"picture": picture}).axes
    assert ax.get_title() == f"picture\n(mean of {channels} channels)"
    drawn = torch.as_tensor(ax.images[0].get_array())
    torch.testing.assert_close(drawn, picture.mean(dim=0))


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_an_attack_on_any_number_of_channels_is_drawn(channels):
    torch.manual_seed(0)
    layers = torch.nn.Conv2d(channels, 4, 3), torch.nn.ReLU(), torch.nn.Flatten()
    model = torch.nn.Sequential(*layers, torch.nn.Linear(400, 6)).eval()
    images, target = torch.rand(1, channels, 12, 12), torch.rand(1, 12, 12)
    result = el.manipulate(model, images, target, el.Gradient(), steps=2, progress=False)
    titles = [ax.get_title() for ax in result.plot().axes[:3]]
    assert all(("mean of" in title) == (channels in {2, 5}) for title in titles)


def test_no_change_is_grey_when_magnified():
    assert figures.magnified(torch.zeros(3, 2, 2), 10).unique().tolist() == [0.5]


def test_an_attack_is_drawn(result):
    titles = [ax.get_title() for ax in result.plot(sample=1).axes]
    assert titles[:6] == ["picture before", "picture after", "difference, × 10",
                          "map before", "map after", "target map"]  # fmt: skip
    assert figures.history(result).axes[0].get_title() == "terms of the loss"


def test_top_classes_are_in_order_of_the_first_output(result):
    figure = figures.top_classes(
        {"before": torch.tensor([0.0, 3.0, 1.0]), "after": torch.tensor([9.0, 0.0, 0.0])},
        ["cat", "cup", "car"],
        count=2,
    )
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["cup", "car"]
