"""Crops of photographs, and the small networks that tell the photographs apart."""

import pytest
import torch

import explman_lite as el
from explman_lite.networks import small
from explman_lite.networks.smoothing import layers_with_kinks
from explman_lite.networks.zoo import CARDS
from explman_lite.pictures import crops
from explman_lite.pictures.collections import Crops

NETWORKS = [name for name, card in CARDS.items() if card.reads == "crops"]


def test_crops_are_pieces_of_ten_photographs():
    for split, count in (("train", 1000), ("test", 600)):
        images, labels = el.load_crops(split)
        assert images.shape == (count, 3, 64, 64)
        assert images.dtype == torch.float32
        assert images.min() >= 0
        assert images.max() <= 1
        assert labels.bincount().tolist() == [count // 10] * 10
    assert el.class_names("crops_vgg") == list(crops.CROPPED)
    assert set(el.photo_names()) < set(crops.CROPPED)


def test_crops_are_where_the_photograph_has_them():
    photograph = crops._photograph("chelsea")
    wanted = el.class_names("crops_vgg").index("chelsea")
    images, labels = el.load_crops("test")
    pieces = photograph.pixels.unfold(1, 64, 4).unfold(2, 64, 4).permute(1, 2, 0, 3, 4)
    known = {piece.numpy().tobytes() for piece in pieces.flatten(0, 1)}
    found = {(255 * image).round().byte().numpy().tobytes() for image in images[labels == wanted]}
    assert len(found) == 60, "no crop twice"
    assert found <= known


@pytest.mark.parametrize("name", crops.CROPPED)
def test_no_crop_for_training_touches_what_is_held_out(name):
    photograph = crops._photograph(name)
    touched = {}
    for split, corners in photograph.corners.items():
        mask = torch.zeros(photograph.pixels.shape[1:], dtype=torch.bool)
        for top, left in corners.tolist():
            mask[top : top + crops.CROP_SIZE, left : left + crops.CROP_SIZE] = True
        touched[split] = mask
    assert not (touched["train"] & touched["test"]).any()
    assert 0.15 < touched["test"].double().mean() <= 0.25
    assert touched["train"].double().mean() > 0.5


def test_crops_are_the_same_every_time_and_others_with_another_seed():
    first, again, other = (crops.draw_crops("test", 5, seed) for seed in (1, 1, 2))
    assert torch.equal(first[0], again[0])
    assert not torch.equal(first[0], other[0])
    assert other[1].bincount().tolist() == [5] * 10


def test_what_is_no_split_or_too_many_is_refused():
    with pytest.raises(ValueError, match="'test' or 'train', got 'val'"):
        el.load_crops("val")
    with pytest.raises(ValueError, match="galaxies has 100 places"):
        crops.draw_crops("test", 101)
    with pytest.raises(ValueError, match="per_photograph"):
        crops.draw_crops("test", 0)


def test_the_benchmark_takes_one_photograph_after_the_other():
    pictures = Crops()
    assert [pictures.name(index) for index in (0, 11)] == ["astronaut 0", "chelsea 1"]
    images, labels = el.load_crops("test")
    assert torch.equal(pictures.picture(11), images[labels == 1][1])
    assert len(pictures.others()) == 1000


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_tells_photographs_apart_by_parts_that_it_never_saw(name):
    images, labels = el.load_crops("test")
    with torch.inference_mode():
        accuracy = (el.load_model(name)(images).argmax(dim=1) == labels).double().mean()
    assert accuracy >= (0.9 if name.startswith("crops_vgg") else 0.88)


@pytest.mark.parametrize("name", NETWORKS)
def test_checkpoints_are_small(name):
    limit = 2e6 if name.startswith("crops_vgg") else 1.5e6
    assert (small.CHECKPOINTS / f"{name}.pt").stat().st_size < limit


def test_a_network_that_was_trained_with_softplus_keeps_it():
    model = el.load_model("crops_vgg_softplus")
    with pytest.raises(ValueError, match="holds no ReLU"):
        el.smoothed(model, 5.0)
    rounded = el.smoothed(el.load_model("crops_vgg"), 1.0, centred=True)
    twin = small.build_crops_vgg_softplus().eval()
    twin.load_state_dict(small_weights("crops_vgg"))
    images, _ = el.load_crops("test")
    expected = rounded(images[:4])
    network = el.prepare(twin, mean=CARDS["crops_vgg"].mean, std=CARDS["crops_vgg"].std)
    torch.testing.assert_close(network(images[:4]), expected)


def test_the_robust_network_has_no_kink_and_withstands_the_attack():
    """Ten pairs, which say no more than that the right weights are there: see the suite."""
    images, labels = el.load_crops("test")
    sources = torch.cat([images[labels == cls][:1] for cls in range(10)])
    gradient, epsilon, kept, gained = el.Gradient(), 8 / 255, {}, {}
    for name in ("crops_vgg", "crops_vgg_robust"):
        model = el.load_model(name)
        classes = model(sources).argmax(dim=1)
        maps = el.relevance_map(gradient(model, sources, classes))
        result = el.manipulate(
            model, sources, maps.roll(3, 0), gradient, steps=40, lr=epsilon / 2, epsilon=epsilon,
            beta=(5.0, 100.0) if layers_with_kinks(model) else None, progress=False,
        )  # fmt: skip
        summary, before = result.summary(), el.metrics.pcc(maps, maps.roll(3, 0))
        kept[name] = summary.pcc_original.median()
        gained[name] = summary.pcc_target.median() - before.median().item()
    assert layers_with_kinks(el.load_model("crops_vgg_robust")) == []
    assert kept["crops_vgg"] < 0.4 and gained["crops_vgg"] > 0.5
    assert kept["crops_vgg_robust"] > 0.8 and gained["crops_vgg_robust"] < 0.35


def small_weights(name):
    return torch.load(small.CHECKPOINTS / f"{name}.pt", weights_only=True)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("method", ["Gradient", "LRP", "IntegratedGradients"])
def test_every_network_for_crops_can_be_explained(name, method):
    model, (images, labels) = el.load_model(name), el.load_crops("test")
    explainer = el.EXPLAINERS[method].make(points=3)
    maps = el.relevance_map(explainer(model, images[:4], labels[:4]))
    assert maps.isfinite().all()
    assert maps.std() > 0.1
