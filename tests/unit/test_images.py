import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

import explman_lite as el


@pytest.mark.parametrize("name", el.photo_names())
def test_photos_are_batches_of_one_in_the_unit_range(name):
    photo = el.load_photo(name, size=64)
    assert photo.shape == (1, 3, 64, 64)
    assert photo.dtype == torch.float32
    assert photo.min() >= 0
    assert photo.max() <= 1
    assert photo.std() > 0.1


def test_every_photo_has_its_licence_in_the_docstring():
    for name in el.photo_names():
        row = next(line for line in el.load_photo.__doc__.splitlines() if name in line.split()[:1])
        assert "CC" in row or "public domain" in row


def test_an_own_picture_is_cropped_in_its_middle(tmp_path):
    picture = Image.new("RGBA", (30, 10), "red")
    picture.paste("blue", (10, 0, 20, 10))
    picture.save(tmp_path / "own.png")
    photo = el.load_photo(tmp_path / "own.png", size=10)
    assert photo[0, :, 5, 5].tolist() == [0, 0, 1]
    assert photo.mean() == pytest.approx(1 / 3)


def test_an_own_picture_is_turned_as_its_camera_noted(tmp_path):
    picture, exif = Image.new("RGB", (10, 10), "red"), Image.Exif()
    picture.paste("blue", (0, 0, 5, 10))
    exif[ExifTags.Base.Orientation] = 6  # the left side of the file is the upper one
    picture.save(tmp_path / "own.png", exif=exif)
    photo = el.load_photo(tmp_path / "own.png", size=10)
    assert photo[0, :, 1, 8].tolist() == [0, 0, 1]
    assert photo[0, :, 8, 1].tolist() == [1, 0, 0]


def test_sixteen_bits_of_grey_keep_their_brightness(tmp_path):
    grey = np.full((8, 8), 65535 // 4, dtype=np.uint16)
    Image.fromarray(grey).save(tmp_path / "own.png")
    photo = el.load_photo(tmp_path / "own.png", size=8)
    torch.testing.assert_close(photo, torch.full((1, 3, 8, 8), 0.25), rtol=0, atol=1 / 255)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_lies_on_white(tmp_path, mode):
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).convert(mode).save(
        tmp_path / "own.png", transparency=0 if mode == "P" else None
    )
    assert (el.load_photo(tmp_path / "own.png", size=8) == 1).all()


def test_a_picture_beyond_all_bounds_is_refused(tmp_path, monkeypatch):
    Image.new("RGB", (8, 8)).save(tmp_path / "own.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 8)
    with pytest.raises(ValueError, match=r"own\.png is not an image that can be read.*exceeds"):
        el.load_photo(tmp_path / "own.png")


def test_an_unknown_photo_names_the_known_ones():
    with pytest.raises(ValueError, match=r"'dog'.*neither a file.*chelsea, china"):
        el.load_photo("dog")


def test_a_file_that_is_no_image_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(ValueError, match=r"notes\.txt is not an image"):
        el.load_photo(tmp_path / "notes.txt")


def test_size_must_be_positive():
    with pytest.raises(ValueError, match="at least 1 pixel"):
        el.load_photo("chelsea", size=0)


def test_text_target_is_a_target_map():
    target = el.text_target("this explanation was manipulated")
    assert target.shape == (1, 224, 224)
    assert target.min() == 0
    assert target.mean().item() == pytest.approx(1, abs=1e-5)
    rows = target[0].sum(dim=1) > 0
    columns = target[0].sum(dim=0) > 0
    assert columns.sum() > 0.8 * 224
    assert rows.sum() > 0.4 * 224


def test_text_target_keeps_line_breaks():
    one, two = el.text_target("a b")[0], el.text_target("a\nb")[0]
    height = [(m.sum(dim=1) > 0).nonzero().max() - (m.sum(dim=1) > 0).nonzero().min()
              for m in (one, two)]  # fmt: skip
    assert height[1] > height[0]


@pytest.mark.parametrize(("text", "message"), [("  ", "empty"), ("word " * 5000, "too long")])
def test_text_that_cannot_be_drawn_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        el.text_target(text, size=32)
