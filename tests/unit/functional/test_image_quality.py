"""EME, entropy, lightness order, colour cast against their definitions."""

import math

import numpy as np
import pytest
import torch
from skimage.measure import shannon_entropy

from sci_plugins.functional import image_quality
from sci_plugins.functional.image_quality import (
    clipped_share,
    color_cast,
    discrete_entropy,
    eme,
    gray_levels,
    lightness_order_error,
    mean_brightness,
    to_levels,
)


def photograph(height: int = 21, width: int = 34, count: int = 1) -> torch.Tensor:
    smooth = torch.linspace(0.05, 0.8, height * width).view(1, 1, height, width)
    return (smooth + 0.2 * torch.rand(count, 3, height, width)).clamp(0, 1)


def gray_by_hand(image: torch.Tensor) -> np.ndarray:
    red, green, blue = np.floor(image[0].numpy() * np.float32(255))
    return np.rint(np.float32(0.299) * red + 0.587 * green + 0.114 * blue)


def test_levels_are_those_of_a_file() -> None:
    levels = torch.arange(256.0)
    assert torch.equal(to_levels(levels / 255), levels)
    values = torch.tensor([-1.0, 0.999 / 255, 0.5, 254.99 / 255, 7.0])
    assert to_levels(values).tolist() == [0, 0, 127, 254, 255]


def test_gray() -> None:
    image = photograph()
    np.testing.assert_array_equal(gray_levels(image)[0].numpy(), gray_by_hand(image))


def test_eme_by_hand() -> None:
    image = photograph()
    gray, total = gray_by_hand(image), []
    for top in (0, 8):
        for left in (0, 8, 16, 24):
            block = gray[top : top + 8, left : left + 8]
            total.append(20 * math.log(block.max() / block.min()))
    assert gray.min() > 0
    assert float(eme(image)) == pytest.approx(sum(total) / 8, rel=1e-5)


def test_eme_of_two_blocks() -> None:
    image = torch.full((1, 3, 8, 16), 10 / 255)
    assert float(eme(image)) == 0
    image[..., 3, 12] = 20 / 255
    assert float(eme(image)) == pytest.approx(10 * math.log(2), rel=1e-6)
    image[..., 5, 9] = 0  # a block that holds level 0 counts nothing
    assert float(eme(image)) == 0


def test_eme_leaves_the_remainder_out() -> None:
    image = torch.full((1, 3, 10, 9), 10 / 255)
    image[..., 8:, :] = 1
    image[..., 8] = 1
    assert float(eme(image)) == 0


def test_entropy_by_another_library() -> None:
    image = photograph(40, 50)
    wanted = shannon_entropy(gray_by_hand(image))
    assert float(discrete_entropy(image)) == pytest.approx(wanted, rel=1e-5)


def test_entropy_of_one_and_of_all_levels() -> None:
    assert float(discrete_entropy(torch.full((1, 3, 4, 4), 0.3))) == 0
    ramp = (torch.arange(256.0) / 255).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    assert float(discrete_entropy(ramp)) == pytest.approx(8)


def test_lightness_order_by_hand() -> None:
    """Images of less than 50 pixels are not sampled: every pair counts."""
    first, second = photograph(6, 9), photograph(6, 9).flip(-1)
    one, other = (np.floor(255 * x[0].numpy()).max(0).ravel() for x in (first, second))
    count = sum((one[x] >= one[y]) != (other[x] >= other[y]) for x in range(54) for y in range(54))
    value = lightness_order_error(first, second)
    assert float(value) == pytest.approx(count / 54)
    assert float(lightness_order_error(second, first)) == pytest.approx(count / 54)


def test_two_pixels_that_change_places() -> None:
    first = torch.tensor([0.1, 0.5]).view(1, 1, 1, 2).expand(1, 3, 1, 2)
    assert float(lightness_order_error(first.flip(-1), first)) == 1
    equal = torch.full_like(first, 0.5)  # one of the two comparisons changes
    assert float(lightness_order_error(equal, first)) == 0.5


def test_a_map_that_keeps_the_order_scores_nothing() -> None:
    levels = to_levels(photograph(120, 130) * 0.4)
    curve = torch.randperm(256)[:103].sort().values / 255  # rising, and far from linear
    image = levels / 255
    assert float(lightness_order_error(image, image)) == 0
    assert float(lightness_order_error(curve[levels.long()], image)) == 0
    assert float(lightness_order_error(1 - image, image)) > 1000


def test_sampling_and_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = photograph(100, 150), photograph(100, 150)
    assert image_quality._sample(first, 50).shape == (1, 50 * 75)
    whole = float(lightness_order_error(first, second))
    monkeypatch.setattr(image_quality, '_ROWS', 999)
    assert float(lightness_order_error(first, second)) == whole
    assert 0 < whole < 50 * 75


@pytest.mark.parametrize(
    'measure', [eme, discrete_entropy, lambda x: lightness_order_error(x, x.flip(-1))]
)
def test_batches_are_images_one_by_one(measure) -> None:
    images = photograph(count=3)
    alone = torch.cat([measure(image[None]) for image in images])
    assert measure(images).shape == (3,)
    torch.testing.assert_close(measure(images), alone)


def test_mistakes() -> None:
    image = photograph()
    for measure in (eme, discrete_entropy, gray_levels):
        with pytest.raises(ValueError, match=r'must have shape \(N, 3, H, W\)'):
            measure(image[0])
    with pytest.raises(ValueError, match='at least 8 x 8 pixels'):
        eme(image[..., :7])
    with pytest.raises(ValueError, match='the same shape'):
        lightness_order_error(image, image[..., 1:])


def test_brightness() -> None:
    image = torch.zeros(2, 3, 2, 2)
    image[1] = 0.5
    assert mean_brightness(image).tolist() == [0, 0.5]


def test_a_pixel_is_clipped_if_any_channel_is() -> None:
    image = torch.full((3, 2, 4), 0.99)
    image[0, 0, 0] = 1.0
    image[:, 1, 1] = 1.0
    image[2, 0, 3] = 254.6 / 255
    assert float(clipped_share(image)) == 3 / 8


def test_cast() -> None:
    grey = torch.full((3, 4, 4), 0.2)
    assert float(color_cast(grey, 3 * grey)) == pytest.approx(0, abs=1e-6)
    red = grey.clone()
    red[0] = 0.8  # means .8 .2 .2, of all .4: balance 2, .5, .5
    assert float(color_cast(grey, red)) == pytest.approx(1)
    assert float(color_cast(red, red)) == 0
    assert color_cast(torch.stack([grey, red]), torch.stack([red, red])).shape == (2,)


def test_a_black_image_has_no_balance() -> None:
    black = torch.zeros(3, 2, 2)
    assert bool(torch.isnan(color_cast(black, black)))
