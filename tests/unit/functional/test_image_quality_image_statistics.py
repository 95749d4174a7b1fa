"""Numbers for too pale, too white, tinted."""

import pytest
import torch

from sci_plugins.functional.image_quality import clipped_share, color_cast, mean_brightness


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
