"""Zero-DCE and Zero-DCE++ against their formula."""

from pathlib import Path

import pytest
import torch

from sci_plugins.errors import ConfigError
from sci_plugins.models.enhancers import ZeroDCEEnhancer, save_enhancer


def _constant(enhancer: ZeroDCEEnhancer, r: float) -> ZeroDCEEnhancer:
    """The same curves for every pixel."""
    for value in enhancer.parameters():
        value.data.zero_()
    last = enhancer.e_conv7.point_conv if enhancer.separable else enhancer.e_conv7
    last.bias.data.fill_(float(torch.atanh(torch.tensor(r, dtype=torch.float64))))
    return enhancer


@pytest.mark.parametrize(('separable', 'scale'), [(False, 1), (True, 1), (True, 12), (False, 4)])
@pytest.mark.parametrize('size', [(24, 36), (25, 31), (7, 40), (1, 1)])
def test_eight_curves(separable: bool, scale: int, size: tuple[int, int]) -> None:
    enhancer = _constant(ZeroDCEEnhancer(separable, scale), -0.4).double()
    image = torch.rand(2, 3, *size, dtype=torch.float64)
    wanted = image
    for _ in range(8):
        wanted = wanted - 0.4 * (wanted * wanted - wanted)
    torch.testing.assert_close(enhancer(image), wanted)


def test_sizes_of_the_networks() -> None:
    counts = [
        sum(value.numel() for value in ZeroDCEEnhancer(separable).parameters())
        for separable in (False, True)
    ]
    assert counts == [79_416, 10_561]


def test_a_scale_out_of_range_is_refused() -> None:
    for scale in (0, 65):
        with pytest.raises(ConfigError, match='scale'):
            ZeroDCEEnhancer(scale=scale)


def test_weights_below_the_normal_numbers_become_zero(tmp_path: Path) -> None:
    """The authors' file is full of them, and processors are many times slower with them."""
    enhancer = ZeroDCEEnhancer()
    first = next(enhancer.parameters())
    first.data.fill_(1e-39)
    first.data[0] = 0.5
    save_enhancer(enhancer, tmp_path / 'x.pth')
    found = next(ZeroDCEEnhancer(weights=str(tmp_path / 'x.pth')).parameters())
    assert (found[0] == 0.5).all()
    assert (found[1:] == 0).all()
