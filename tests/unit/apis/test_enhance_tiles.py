"""Tiles: no seams, no more memory than a tile, truncation, grey, illumination."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sci_plugins.apis.enhance import enhance_pixels, split
from sci_plugins.errors import ConfigError, DataError
from sci_plugins.functional.kernels import sci_fused
from sci_plugins.models.enhancers import (
    BaseEnhancer,
    CLAHEEnhancer,
    GammaEnhancer,
    IdentityEnhancer,
    SCIEnhancer,
    build_enhancer,
)


def vivid_sci(layers: int = 1, channels: int = 3) -> SCIEnhancer:
    """SCI whose every layer moves the result visibly, unlike freshly made ones."""
    sci = SCIEnhancer(layers=layers, channels=channels).eval()
    for name, parameter in sci.named_parameters():
        if 'norm' not in name:
            nn.init.normal_(parameter, 0, 0.5)
    sci.block_norm.running_mean.fill_(0.2)  # type: ignore[union-attr]
    sci.block_norm.running_var.fill_(0.5)  # type: ignore[union-attr]
    nn.init.uniform_(sci.block_norm.weight, 0.5, 1)
    nn.init.normal_(sci.block_norm.bias, 0, 0.5)
    return sci


class Recorder(BaseEnhancer):
    """Remembers the sizes that it is given."""

    def __init__(self, radius: int | None) -> None:
        super().__init__()
        self.radius = radius
        self.sizes: list[tuple[int, ...]] = []

    @property
    def receptive_radius(self) -> int | None:
        return self.radius

    def forward(self, image: Tensor) -> Tensor:
        self.sizes.append(tuple(image.shape))
        return image


@pytest.mark.parametrize('layers', [0, 1, 2])
@pytest.mark.parametrize('channels', [3, 5])
def test_tiles_have_no_seams(rng: np.random.Generator, layers: int, channels: int) -> None:
    sci = vivid_sci(layers, channels)
    pixels = rng.random((50, 41, 3), dtype=np.float32)
    whole = enhance_pixels(sci, pixels, tile=64, illumination=True)
    tiled = enhance_pixels(sci, pixels, tile=16, illumination=True)
    assert whole.illumination is not None
    np.testing.assert_allclose(tiled.image, whole.image, atol=1e-5)
    np.testing.assert_allclose(tiled.illumination, whole.illumination, atol=1e-5)


@pytest.mark.parametrize('dtype', ['uint8', 'uint16'])
def test_tiled_integers_differ_by_one_level_at_most(rng: np.random.Generator, dtype: str) -> None:
    sci = vivid_sci()
    pixels = rng.integers(0, np.iinfo(dtype).max, (70, 90, 3), dtype=dtype)
    whole = enhance_pixels(sci, pixels, tile=128).image.astype(int)
    tiled = enhance_pixels(sci, pixels, tile=32).image.astype(int)
    assert np.abs(whole - tiled).max() <= 1
    assert (whole == tiled).mean() > (0.999 if dtype == 'uint8' else 0.95)


def test_a_smaller_overlap_would_show(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    sci = vivid_sci()
    pixels = rng.random((50, 41, 3), dtype=np.float32)
    whole = enhance_pixels(sci, pixels, tile=64).image
    monkeypatch.setattr(SCIEnhancer, 'receptive_radius', sci.receptive_radius - 1)
    tiled = enhance_pixels(sci, pixels, tile=16).image
    assert np.abs(tiled - whole).max() > 1e-3


def test_whole_image_is_what_the_enhancer_gives(rng: np.random.Generator) -> None:
    sci = vivid_sci()
    pixels = rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)
    batch = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        expected = sci.illuminate(batch)
    given = enhance_pixels(sci, pixels, illumination=True)
    for array, tensor in zip(given, expected, strict=True):
        exact = tensor[0].permute(1, 2, 0).numpy() * 255
        assert (array <= exact + 1e-3).all()  # truncated
        assert (array > exact - 1 - 1e-3).all()


@pytest.mark.parametrize(('height', 'width'), [(1, 1), (1, 100), (33, 47), (32, 32)])
@pytest.mark.parametrize('radius', [0, 3, None])
def test_split_covers_each_pixel_once(height: int, width: int, radius: int | None) -> None:
    count = np.zeros((height, width), int)
    for part in split(height, width, 16, radius):
        count[part.inner] += 1
        outer = count[part.outer]
        assert outer[part.crop].shape == count[part.inner].shape
        assert np.shares_memory(outer[part.crop], count[part.inner])
    assert (count == 1).all()


def test_no_piece_is_larger_than_a_tile_and_its_overlap() -> None:
    recorder = Recorder(radius=3)
    enhance_pixels(recorder, np.zeros((100, 130, 3), np.uint8), tile=32)
    assert len(recorder.sizes) == 4 * 5
    assert max(size[2] for size in recorder.sizes) == 32 + 2 * 3
    assert max(size[3] for size in recorder.sizes) == 32 + 2 * 3


def test_an_enhancer_of_the_whole_image_is_not_tiled() -> None:
    recorder = Recorder(radius=None)
    enhance_pixels(recorder, np.zeros((100, 130, 3), np.uint8), tile=32)
    assert recorder.sizes == [(1, 3, 100, 130)]


def test_receptive_radius_of_each_enhancer() -> None:
    assert [SCIEnhancer(layers=n).receptive_radius for n in (0, 1, 3)] == [2, 3, 5]
    assert IdentityEnhancer().receptive_radius == 0
    assert GammaEnhancer().receptive_radius == 0
    assert CLAHEEnhancer().receptive_radius is None
    assert build_enhancer('histeq').receptive_radius is None


def test_integers_are_truncated_not_rounded() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    given = enhance_pixels(GammaEnhancer(gamma=0.5), pixels).image
    exact = 255 * np.sqrt(pixels / 255)
    inner = np.abs(exact - exact.round()) > 1e-3  # elsewhere float32 may fall short
    np.testing.assert_array_equal(given[inner], np.floor(exact[inner]))
    assert (given != exact.round()).any()


@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize('dtype', ['uint8', 'uint16', 'float32'])
def test_identity_changes_no_value(channels: int, dtype: str) -> None:
    values = np.arange(65536).reshape(256, 256, 1).repeat(channels, axis=2)
    pixels = {
        'uint8': (values >> 8).astype(np.uint8),
        'uint16': values.astype(np.uint16),
        'float32': (values / 65535).astype(np.float32),
    }[dtype]
    given = enhance_pixels(IdentityEnhancer(), pixels).image
    assert given.dtype == dtype
    np.testing.assert_array_equal(given, pixels)


def test_grey_is_the_luma_of_the_enhanced_colours(rng: np.random.Generator) -> None:
    sci = vivid_sci()
    grey = rng.random((20, 24, 1), dtype=np.float32)
    colour = enhance_pixels(sci, grey.repeat(3, axis=2)).image
    assert np.ptp(colour, axis=2).max() > 0.05  # the channels do part
    given = enhance_pixels(sci, grey)
    assert given.image.shape == (20, 24, 1)
    expected = colour @ np.float32([0.299, 0.587, 0.114])
    np.testing.assert_allclose(given.image[..., 0], expected, atol=1e-6)


def test_illumination_of_grey_is_rgb(rng: np.random.Generator) -> None:
    grey = rng.random((5, 6, 1), dtype=np.float32)
    given = enhance_pixels(vivid_sci(), grey, illumination=True)
    assert given.illumination is not None
    assert given.illumination.shape == (5, 6, 3)


def test_another_dtype_may_be_asked_for() -> None:
    white = np.full((2, 2, 3), 65535, np.uint16)
    given = enhance_pixels(IdentityEnhancer(), white, dtype=np.uint8).image
    assert given.dtype == np.uint8
    assert (given == 255).all()


def test_reversed_and_read_only_pixels(rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 256, (6, 7, 3), dtype=np.uint8)
    view = pixels[::-1, :, ::-1]
    view.flags.writeable = False
    np.testing.assert_array_equal(enhance_pixels(IdentityEnhancer(), view).image, view)


@pytest.mark.parametrize('name', ['none', 'gamma', 'clahe', 'histeq'])
@pytest.mark.parametrize('shape', [(1, 1, 3), (1, 1, 1), (2, 300, 3)])
def test_tiny_and_thin_images(name: str, shape: tuple[int, ...]) -> None:
    pixels = np.full(shape, 40, np.uint8)
    assert enhance_pixels(build_enhancer(name), pixels).image.shape == shape
    assert enhance_pixels(vivid_sci(), pixels).image.shape == shape


def test_illumination_of_an_enhancer_without_any() -> None:
    with pytest.raises(ConfigError, match='GammaEnhancer has no illumination map'):
        enhance_pixels(GammaEnhancer(), np.zeros((2, 2, 3), np.uint8), illumination=True)


def test_an_enhancer_that_gives_nan() -> None:
    sci = vivid_sci()
    nn.init.constant_(sci.out_conv.weight, float('nan'))
    with pytest.raises(DataError, match='the enhancer returned NaN'):
        enhance_pixels(sci, np.zeros((4, 4, 3), np.uint8))


def test_on_each_device(device: torch.device, rng: np.random.Generator) -> None:
    sci = vivid_sci()
    pixels = rng.integers(0, 256, (40, 30, 3), dtype=np.uint8)
    on_cpu = enhance_pixels(sci, pixels, tile=16).image.astype(int)
    given = enhance_pixels(sci.to(device), pixels, tile=16, device=device).image
    assert np.abs(on_cpu - given).max() <= 1


def test_bytes_in_one_pass(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Like tile by tile; a decoder's array may be read-only, or run backwards."""
    pytest.importorskip('llvmlite')
    monkeypatch.setattr(sci_fused, 'MIN_PIXELS', 1)
    monkeypatch.delenv(sci_fused.SWITCH, raising=False)
    sci_fused.make(sci_fused.BYTES)
    sci, seen = vivid_sci(), []
    call = sci_fused.pack
    monkeypatch.setattr(sci_fused, 'pack', lambda *a, **how: (seen.append(how), call(*a, **how))[1])
    pixels = rng.integers(0, 256, (60, 70, 3), dtype=np.uint8)
    read_only = pixels.copy()
    read_only.flags.writeable = False
    for each in (pixels, read_only, pixels[::-1], pixels[..., ::-1]):
        before, passes = each.copy(), len(seen)
        one = enhance_pixels(sci, each).image
        assert [how['scale'] for how in seen[passes:]] == [255.0]
        image = torch.from_numpy(each / 255).permute(2, 0, 1)[None]
        exact = copy.deepcopy(sci).double()(image)[0].permute(1, 2, 0).detach().numpy() * 255
        clear = np.abs(exact - exact.round()) > 1e-3  # elsewhere rounding decides
        assert clear.mean() > 0.1
        assert (one == exact.astype(np.uint8))[clear].all()
        assert np.abs(one - exact).max() < 1.001
        assert (each == before).all()
    sci.in_conv.weight.data[0, 0, 0, 0] = torch.nan
    with pytest.raises(DataError, match='NaN'):
        enhance_pixels(sci, pixels)
