import pytest
import torch

import explman_lite as el
from explman_lite.networks import small


def test_splits_share_no_digit_and_hold_all_classes():
    train, test = el.load_digits("train"), el.load_digits("test")
    assert train[0].shape == (1437, 1, 32, 32)
    assert test[0].shape == (360, 1, 32, 32)
    for images, labels in (train, test):
        assert images.dtype == torch.float32
        assert images.min() >= 0
        assert images.max() <= 1
        assert labels.unique().tolist() == list(range(10))
    everything = torch.cat([train[0], test[0]]).flatten(1)
    assert len(everything.unique(dim=0)) == 1797


def test_unknown_split_is_refused():
    with pytest.raises(ValueError, match="'test' or 'train', got 'all'"):
        el.load_digits("all")


def test_digits_vgg_reads_98_percent_of_digits_it_never_saw():
    images, labels = el.load_digits("test")
    with torch.inference_mode():
        accuracy = (el.load_model("digits_vgg")(images).argmax(dim=1) == labels).double().mean()
    assert accuracy >= 0.98
    assert el.class_names("digits_vgg") == list("0123456789")


def test_the_checkpoint_is_small():
    assert (small.CHECKPOINTS / "digits_vgg.pt").stat().st_size < 2e6
