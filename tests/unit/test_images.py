import re
from functools import partial

import numpy as np
import pytest
import skimage.io
import torch
from PIL import ExifTags, Image, ImageDraw, ImageFont, features

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


def test_what_has_more_than_eight_bits_is_turned_as_well(tmp_path):
    grey, exif = np.full((8, 8), 65535, dtype=np.uint16), Image.Exif()
    grey[:, 4:] = 0
    exif[ExifTags.Base.Orientation] = 6
    Image.fromarray(grey).save(tmp_path / "own.png", exif=exif)
    photo = el.load_photo(tmp_path / "own.png", size=8)
    assert (photo[0, 0, 1, 1].item(), photo[0, 0, 6, 6].item()) == (1, 0)


def ramp(dtype, white):
    return (np.linspace(0, 1, 64).reshape(8, 8) * white).astype(dtype)


DEPTHS = {
    "8 bits": (ramp(np.uint8, 255), {}),
    "16 bits": (ramp(np.uint16, 65535), {}),
    "12 bits in 16, by tag": (ramp(np.uint16, 4095), {281: 4095}),
    "32 bits": (ramp(np.int32, 2**31 - 1), {}),
    "12 bits in 32, by tag": (ramp(np.int32, 4095), {341: 4095}),
    "float": (ramp(np.float32, 1), {}),
    "float to 255, by tag": (ramp(np.float32, 255), {341: 255.0}),
}


@pytest.mark.parametrize(("pixels", "tags"), DEPTHS.values(), ids=DEPTHS)
def test_every_depth_keeps_its_brightness(tmp_path, pixels, tags):
    Image.fromarray(pixels).save(tmp_path / "own.tif", tiffinfo=tags)
    photo = el.load_photo(tmp_path / "own.tif", size=8)[0, 0]
    expected = torch.linspace(0, 1, 64).view(8, 8)
    torch.testing.assert_close(photo, expected, rtol=0, atol=1.01 / 255)


UNKNOWN = {
    "12 bits in 16": ramp(np.uint16, 4095),
    "8 bits in 32": ramp(np.int32, 255),
    "negative": ramp(np.int32, 2**31 - 1) - 5,
    "float to 255": ramp(np.float32, 255),
    "negative float": ramp(np.float32, 1) - 0.5,
    "NaN": ramp(np.float32, 1) * np.nan,
}


@pytest.mark.parametrize("pixels", UNKNOWN.values(), ids=UNKNOWN)
def test_a_picture_whose_white_nobody_knows_is_refused(tmp_path, pixels):
    Image.fromarray(pixels).save(tmp_path / "own.tif")
    with pytest.raises(ValueError, match=r"own\.tif' holds numbers from .*nothing says .* white"):
        el.load_photo(tmp_path / "own.tif")


@pytest.mark.parametrize("white", [65535, 4095])
def test_colours_of_sixteen_bits_keep_their_brightness_or_are_refused(tmp_path, white):
    colours = np.stack([ramp(np.uint16, white)] * 3, axis=2)
    skimage.io.imsave(tmp_path / "own.tif", colours, check_contrast=False)
    if white == 4095:
        with pytest.raises(ValueError, match=r"own\.tif"):
            el.load_photo(tmp_path / "own.tif", size=8)
    else:
        photo = el.load_photo(tmp_path / "own.tif", size=8)[0, 0]
        expected = torch.linspace(0, 1, 64).view(8, 8)
        torch.testing.assert_close(photo, expected, rtol=0, atol=1.01 / 255)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_a_black_picture_is_black(tmp_path, dtype):
    Image.fromarray(np.zeros((8, 8), dtype)).save(tmp_path / "own.tif")
    assert not el.load_photo(tmp_path / "own.tif", size=8).any()


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr"])
def test_every_mode_keeps_its_brightness(tmp_path, mode):
    picture = Image.new("RGB", (8, 8), "white")
    picture.paste("black", (0, 0, 4, 8))
    picture.convert(mode).save(tmp_path / "own.tif", compression="tiff_lzw")
    photo = el.load_photo(tmp_path / "own.tif", size=8)
    torch.testing.assert_close(photo[0, :, 4, 1], torch.zeros(3), rtol=0, atol=2 / 255)
    torch.testing.assert_close(photo[0, :, 4, 6], torch.ones(3), rtol=0, atol=2 / 255)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_lies_on_white(tmp_path, mode):
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).convert(mode).save(
        tmp_path / "own.png", transparency=0 if mode == "P" else None
    )
    assert (el.load_photo(tmp_path / "own.png", size=8) == 1).all()


def test_of_pictures_that_move_the_first_one_counts(tmp_path):
    first, second = (Image.new("L", (8, 8), shade) for shade in (255, 0))
    first.save(tmp_path / "own.gif", save_all=True, append_images=[second])
    assert (el.load_photo(tmp_path / "own.gif", size=8) == 1).all()


def test_ink_of_a_jpeg_is_not_light(tmp_path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "own.jpg")
    red = torch.tensor([1.0, 0.0, 0.0])
    photo = el.load_photo(tmp_path / "own.jpg", size=8)
    torch.testing.assert_close(photo[0, :, 4, 4], red, rtol=0, atol=3 / 255)


def test_a_picture_beyond_all_bounds_is_refused(tmp_path, monkeypatch):
    Image.new("RGB", (8, 8)).save(tmp_path / "own.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 8)
    with pytest.raises(ValueError, match=r"own\.png' has more than the 8 pixels"):
        el.load_photo(tmp_path / "own.png")


def test_an_unknown_photo_names_the_known_ones():
    with pytest.raises(ValueError, match=r"'dog'.*neither a file.*chelsea, china"):
        el.load_photo("dog")


def test_a_file_that_is_no_image_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(ValueError, match=r"notes\.txt' is not an image"):
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


@pytest.mark.parametrize(
    ("one", "other"), [("жук", "мир"), ("λόγος", "μῦθος"), ("Größe", "Grüße"), ("😀", "😱")]
)
def test_different_sentences_are_drawn_differently(one, other):
    drawn = [el.text_target(text, size=64) for text in (one, other)]
    assert el.metrics.pcc(*drawn).item() < 0.9


def test_the_letters_of_another_alphabet_are_those_of_the_font():
    """What looks the same in both alphabets is drawn the same."""
    cyrillic, mixed = "СОРТ ж", "COPT ж"
    assert torch.equal(el.text_target(cyrillic, size=64), el.text_target(mixed, size=64))


def test_plain_text_is_set_in_pillows_own_font():
    """The recorded attacks have such targets."""

    def drawn(font_size):
        canvas = Image.new("L", (64, 64))
        font = ImageFont.load_default(font_size)
        ImageDraw.Draw(canvas).text((32, 32), "no", fill=255, font=font, anchor="mm")
        return torch.from_numpy(np.asarray(canvas) > 0)

    found = el.text_target("no", size=64)[0] > 0
    assert any(torch.equal(found, drawn(font_size)) for font_size in range(8, 99))


def test_every_kind_of_space_is_one():
    expected = el.text_target("a b\nc", size=64)
    for text in ("a\tb\nc", "a b\r\nc", "a\u00a0b\nc"):
        assert el.text_target(text, size=64).shape == expected.shape
    assert torch.equal(el.text_target("a\tb\nc", size=64), expected)


@pytest.mark.parametrize("text", ["解释", "no 说明", "धर्म", "🦄", "a\x07b", "ok\ue000"])
def test_characters_that_no_font_at_hand_can_draw_are_named(text):
    unknown = next(sign for sign in text if sign not in "no aokb")
    with pytest.raises(ValueError, match=f"cannot draw.*{re.escape(repr(unknown))}"):
        el.text_target(text)


def test_text_from_right_to_left_needs_a_library(monkeypatch):
    assert el.text_target("שלום", size=64).mean().item() == pytest.approx(1, abs=1e-5)
    monkeypatch.setattr(features, "check", lambda name: False)
    with pytest.raises(ValueError, match="right to left"):
        el.text_target("שלום", size=64)


@pytest.mark.parametrize(
    "make", [lambda size: el.load_photo("chelsea", size), partial(el.text_target, "no")]
)
@pytest.mark.parametrize("size", [0, -3, 8.0, True, "8", None])
def test_a_size_that_is_none_is_refused(make, size):
    with pytest.raises(
        ValueError, match=f"size must be an integer of at least 1 pixel, got {size}"
    ):
        make(size=size)
    assert make(size=np.int64(32)).shape[-1] == 32


def test_a_text_must_be_a_string():
    with pytest.raises(TypeError, match="text must be a string, got int"):
        el.text_target(7)


@pytest.mark.parametrize(("text", "message"), [("  ", "empty"), ("word " * 5000, "too long")])
def test_text_that_cannot_be_drawn_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        el.text_target(text, size=32)
