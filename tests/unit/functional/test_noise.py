"""The estimate against known noise: flat fields made here, photographs where they are at hand."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from sci_plugins.functional.low_light import darken
from sci_plugins.functional.noise import NoiseEstimate, blur, estimate_noise, finest_details
from sci_plugins.utils.images import read_image


def _flat(level: float, noise: float, size: tuple[int, int] = (240, 320), seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    linear = level + noise * torch.randn(1, 3, *size, generator=generator)
    return linear.clamp(0, 1) ** (1 / 2.2)


def _tensor(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize('level', [0.03, 0.1, 0.4])
@pytest.mark.parametrize('noise', [2e-4, 1e-3, 5e-3])
def test_flat_images_within_ten_percent(level: float, noise: float) -> None:
    found = estimate_noise(_flat(level, noise))
    assert float(found.linear) == pytest.approx(noise, rel=0.1)
    assert float(found.whiteness) == 1
    assert float(found.level) == pytest.approx(level ** (2 / 2.2), rel=0.05)


def test_sigma_is_the_spread_of_the_finest_detail() -> None:
    image = _flat(0.1, 1e-3)
    luma = (image**2 * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
    detail, _ = finest_details(luma)
    assert float(estimate_noise(image).sigma) == pytest.approx(float(detail.std()), rel=0.1)


def test_levels_add_up_to_the_image() -> None:
    luma = torch.rand(2, 1, 13, 17, dtype=torch.float64)
    fine, coarse = finest_details(luma)
    inside = (..., slice(3, -3), slice(3, -3))
    smooth = blur(blur(luma, 1), 2)
    torch.testing.assert_close((fine + coarse)[inside] + smooth, luma[inside])
    flat = finest_details(torch.full((1, 1, 5, 5), 0.3))  # also at the border
    torch.testing.assert_close(flat, (torch.zeros(1, 1, 5, 5),) * 2)


def test_blur_by_hand() -> None:
    point = torch.zeros(1, 1, 9, 9, dtype=torch.float64)
    point[0, 0, 4, 4] = 16
    expected = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]], dtype=torch.float64)
    torch.testing.assert_close(blur(point, 1)[0, 0, 2:5, 2:5], expected)
    torch.testing.assert_close(blur(point, 2)[0, 0, 0:5:2, 0:5:2], expected)
    torch.testing.assert_close(blur(torch.ones(1, 2, 5, 6), 2), torch.ones(1, 2, 1, 2))


def test_smooth_and_textured_images_are_not_white() -> None:
    rows = torch.linspace(0, 12, 96)
    waves = (0.5 + 0.2 * torch.sin(rows)[:, None] * torch.cos(rows)[None]).expand(1, 3, 96, 96)
    enlarged = F.interpolate(_flat(0.1, 3e-3, (48, 48)), scale_factor=2)
    for image in (waves, enlarged):
        assert float(estimate_noise(image).whiteness) == 0


def test_noise_of_the_brighter_half() -> None:
    """Shot noise is stronger there; the estimate of the whole is of the dark, where it is least."""
    dark, bright = _flat(0.01, 1e-3, (96, 96), 1), _flat(0.1, 4e-3, (96, 96), 2)
    estimate = estimate_noise(torch.cat([dark, bright], 3))
    for found, half in ((estimate.sigma, dark), (estimate.lit, bright)):
        torch.testing.assert_close(found, estimate_noise(half).sigma, rtol=0.1, atol=0)


@pytest.mark.parametrize(
    ('scale', 'least', 'most'), [(1, -0.1, 0.1), (1.5, 0.1, 1.0), (2, 0.3, 1.5)]
)
def test_an_enlarged_image_is_sharper_at_half_its_size(
    scale: float, least: float, most: float
) -> None:
    image = _flat(0.1, 3e-3, (120, 160))
    image = F.interpolate(image, scale_factor=scale, mode='bilinear')
    full, half = (estimate_noise(each).sharpness for each in (image, F.avg_pool2d(image, 2)))
    assert least < float((half / full).log()) < most


def test_each_image_by_itself() -> None:
    images = torch.cat([_flat(0.1, 1e-3, (40, 56), 1), _flat(0.02, 4e-3, (40, 56), 2)])
    together = estimate_noise(images)
    alone = [estimate_noise(image[None]) for image in images]
    for values, first, second in zip(together, *alone, strict=True):
        torch.testing.assert_close(values, torch.cat([first, second]))


@pytest.mark.parametrize('size', [(5, 5), (5, 40), (9, 7), (64, 8)])
def test_any_size_from_five(size: tuple[int, int]) -> None:
    for image in (_flat(0.1, 1e-3, size), torch.zeros(1, 3, *size), torch.ones(1, 3, *size)):
        assert all(torch.isfinite(values).all() for values in estimate_noise(image))
    assert float(estimate_noise(torch.zeros(1, 3, *size)).sigma) == 0


@pytest.mark.parametrize('exporting', [False, True])
def test_a_brighter_half_in_which_a_channel_is_black(
    exporting: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sky of saturated blue: nothing there is usable, so that the whole stands for it."""
    monkeypatch.setattr(torch.compiler, 'is_exporting', lambda: exporting)
    image = torch.cat([_flat(0.1, 1e-3, (150, 320), 1), _flat(0.01, 2e-3, (90, 320), 2)], 2)
    other = image.clone()
    image[:, 0, :150] = 0
    found = estimate_noise(torch.cat([image, other]))
    assert all(torch.isfinite(values).all() for values in found)
    assert found.lit[0] == found.sigma[0]
    assert float(found.linear[0]) == pytest.approx(2e-3, rel=0.1)
    assert found.lit[1] == estimate_noise(other).lit[0]


def test_no_gradient_and_half_precision() -> None:
    image = _flat(0.1, 5e-3, (64, 64))
    assert not estimate_noise(image.requires_grad_()).sigma.requires_grad
    assert estimate_noise(image.detach().bfloat16()).sigma.dtype == torch.float32


@pytest.mark.parametrize('shape', [(3, 8, 8), (1, 1, 8, 8), (1, 3, 4, 8)])
def test_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r'\(N, 3, H, W\)|5 x 5'):
        estimate_noise(torch.rand(shape))


@pytest.fixture(scope='module')
def photographs(shared_data: Path) -> list[np.ndarray]:
    paths = sorted((shared_data / 'data' / 'coco' / 'val2017').iterdir())
    return [read_image(path) for path in paths]


def _all(pictures: list[np.ndarray]) -> NoiseEstimate:
    found = [estimate_noise(_tensor(picture)) for picture in pictures]
    return NoiseEstimate(*(torch.cat(values) for values in zip(*found, strict=True)))


@pytest.mark.parametrize(('gain', 'noise'), [(0.05, 1e-3), (0.05, 5e-3), (0.02, 2e-3)])
def test_dark_photographs(photographs: list[np.ndarray], gain: float, noise: float) -> None:
    rng = np.random.default_rng(0)
    found = _all([darken(each, gain, noise, generator=rng) for each in photographs[:40]])
    error = (found.linear / noise - 1).abs()
    assert float((error <= 0.25).float().mean()) >= 0.9
    assert float((found.whiteness > 0.8).float().mean()) >= 0.95


def test_clean_photographs_are_not_white(photographs: list[np.ndarray]) -> None:
    assert int((_all(photographs).whiteness < 0.2).sum()) >= 0.9 * len(photographs)
    compressed = [_jpeg(each) for each in photographs[:40]]
    assert float((_all(compressed).whiteness < 0.2).float().mean()) >= 0.95


def test_dusk_is_not_white(shared_data: Path) -> None:
    frames = sorted((shared_data / 'data' / 'camvid' / 'train').glob('0001TP*'))[::4]
    assert float(_all([read_image(path) for path in frames]).whiteness.max()) < 0.2


def _jpeg(pixels: np.ndarray) -> np.ndarray:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, 'JPEG', quality=70)
    return np.asarray(Image.open(content))
