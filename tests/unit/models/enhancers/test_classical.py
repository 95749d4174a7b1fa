"""Baselines against OpenCV, plain arithmetic, and what they are for."""

import cv2
import numpy as np
import pytest
import torch

from sci_plugins.errors import ConfigError
from sci_plugins.models.enhancers import (
    CLAHEEnhancer,
    GammaEnhancer,
    HistogramEqualizationEnhancer,
    IdentityEnhancer,
    MeanMatchEnhancer,
    build_enhancer,
)


def _photo(rng: np.random.Generator) -> np.ndarray:
    """A dark RGB photograph, ``(48, 64, 3)`` uint8: smooth, coloured, a little noise."""
    columns = np.linspace(5, 70, 64)[None, :, None] * np.array([1.0, 0.8, 0.5])
    noisy = columns + np.linspace(0, 20, 48)[:, None, None] + rng.normal(0, 2, (48, 64, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8)


def _to_tensor(photo: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 255


def _to_array(image: torch.Tensor) -> np.ndarray:
    return (image[0] * 255).round().permute(1, 2, 0).numpy().astype(np.uint8)


def test_identity_is_the_identity() -> None:
    image = torch.rand(2, 3, 5, 6)
    assert torch.equal(IdentityEnhancer()(image), image)


@pytest.mark.parametrize('gamma', [0.4, 1.0, 2.5])
def test_gamma_is_a_power(gamma: float) -> None:
    image = torch.rand(2, 3, 5, 6, dtype=torch.float64)
    expected = np.power(image.numpy(), gamma)
    np.testing.assert_allclose(GammaEnhancer(gamma)(image).numpy(), expected, atol=1e-12)


def test_gamma_brightens_by_default() -> None:
    image = torch.full((1, 3, 2, 2), 0.1)
    assert float(GammaEnhancer()(image).mean()) == pytest.approx(0.1 ** (1 / 2.2))


def test_gamma_gradcheck_away_from_the_clamp() -> None:
    image = torch.rand(1, 3, 3, 4, dtype=torch.float64) * 0.8 + 0.1
    image.requires_grad_()
    assert torch.autograd.gradcheck(GammaEnhancer(0.4), image)


@pytest.mark.parametrize('clip_limit', [1.0, 2.0, 8.0])
@pytest.mark.parametrize('tile_grid', [(8, 8), (2, 4)])
def test_clahe_is_opencv_s_on_lightness(
    rng: np.random.Generator, clip_limit: float, tile_grid: tuple[int, int]
) -> None:
    photo = _photo(rng)
    lab = cv2.cvtColor(photo, cv2.COLOR_RGB2LAB)
    lightness = cv2.createCLAHE(clip_limit, tile_grid).apply(lab[..., 0].copy())
    expected = cv2.cvtColor(np.dstack([lightness, lab[..., 1:]]), cv2.COLOR_LAB2RGB)
    found = CLAHEEnhancer(clip_limit, tile_grid)(_to_tensor(photo))
    np.testing.assert_array_equal(_to_array(found), expected)


def test_histogram_equalisation_is_opencv_s_on_lightness(rng: np.random.Generator) -> None:
    photo = _photo(rng)
    lab = cv2.cvtColor(photo, cv2.COLOR_RGB2LAB)
    lightness = cv2.equalizeHist(lab[..., 0].copy())
    expected = cv2.cvtColor(np.dstack([lightness, lab[..., 1:]]), cv2.COLOR_LAB2RGB)
    found = HistogramEqualizationEnhancer()(_to_tensor(photo))
    np.testing.assert_array_equal(_to_array(found), expected)


@pytest.mark.parametrize('name', ['clahe', 'histeq', 'gamma', 'exposure/0.4'])
def test_dark_pictures_get_brighter_and_keep_their_hue(rng: np.random.Generator, name: str) -> None:
    image = _to_tensor(_photo(rng))
    enhanced = build_enhancer(name)(image)
    assert float(enhanced.mean()) > 1.2 * float(image.mean())
    red, green, blue = enhanced.mean((0, 2, 3)).tolist()
    assert red > green > blue  # the photograph is orange: RGB and BGR are not mixed up


def test_a_number_of_numpy() -> None:
    image = torch.rand(1, 3, 4, 4)
    wanted = GammaEnhancer(0.5)(image)
    for kind in (np.float32, np.float64):
        torch.testing.assert_close(GammaEnhancer(kind(0.5))(image), wanted)


@pytest.mark.parametrize('gamma', [0, -1, float('nan'), float('inf'), '0.4', None, [0.4], True])
def test_gamma_out_of_range(gamma: object) -> None:
    with pytest.raises(ConfigError, match='gamma must be') as caught:
        GammaEnhancer(gamma)  # type: ignore[arg-type]
    assert repr(gamma) in str(caught.value)


@pytest.mark.parametrize(
    'settings',
    [
        dict(clip_limit=0),
        dict(clip_limit=-2.0),
        dict(clip_limit=float('nan')),
        dict(tile_grid=(0, 8)),
        dict(tile_grid=(8,)),
        dict(tile_grid=(8, 8, 8)),
        dict(tile_grid=8),
        dict(tile_grid=(8.5, 8)),
        dict(clip_limit='2'),
    ],
)
def test_clahe_out_of_range(settings: dict) -> None:
    with pytest.raises(ConfigError, match='CLAHEEnhancer'):
        CLAHEEnhancer(**settings)


def test_clahe_takes_a_list_as_configs_write_it(rng: np.random.Generator) -> None:
    image = _to_tensor(_photo(rng))
    expected = CLAHEEnhancer(2.0, (4, 2))(image)
    assert torch.equal(CLAHEEnhancer(2.0, [4, 2])(image), expected)  # type: ignore[arg-type]


def test_settings_show_in_repr() -> None:
    assert 'gamma=0.4' in repr(GammaEnhancer(0.4))
    assert 'clip_limit=3' in repr(CLAHEEnhancer(3))


def test_mean_match_is_the_inverse_of_a_shorter_exposure() -> None:
    image = torch.rand(2, 3, 20, 30, dtype=torch.float64) * 0.5
    image *= (0.3 / (image.mean((2, 3)) @ image.new_tensor([0.299, 0.587, 0.114])))[
        :, None, None, None
    ]
    image = image.clamp(0, 1)
    gains = torch.tensor([0.5, 0.1], dtype=torch.float64)[:, None, None, None]
    enhanced = MeanMatchEnhancer(target=0.3)(image * gains)
    torch.testing.assert_close(enhanced, image, rtol=1e-6, atol=1e-9)


def test_mean_match_leaves_bright_images_and_does_not_blow_up_black_ones() -> None:
    bright = torch.rand(1, 3, 8, 8) * 0.2 + 0.6
    assert torch.equal(build_enhancer('exposure/0.4')(bright), bright)
    assert float(MeanMatchEnhancer()(torch.zeros(1, 3, 4, 4)).max()) == 0
    faint = torch.full((1, 3, 4, 4), 0.001)
    assert float(MeanMatchEnhancer(0.4, 20)(faint).mean()) == pytest.approx(0.02)


def test_mean_match_treats_each_image_by_itself() -> None:
    images = torch.stack([torch.full((3, 4, 4), value) for value in (0.02, 0.1, 0.5)])
    lumas = MeanMatchEnhancer(0.4, 100)(images).mean((1, 2, 3))
    torch.testing.assert_close(lumas, torch.tensor([0.4, 0.4, 0.5]))


def test_mean_match_gradcheck() -> None:
    image = torch.rand(2, 3, 3, 4, dtype=torch.float64) * 0.2 + 0.01
    image.requires_grad_()
    assert torch.autograd.gradcheck(MeanMatchEnhancer(0.3), image)


@pytest.mark.parametrize(
    'options', [dict(target=0), dict(target=1), dict(target='x'), dict(max_gain=0.5)]
)
def test_mean_match_out_of_range(options: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        MeanMatchEnhancer(**options)
