"""IAT against its authors' outputs, and what holds for any weights."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sci_plugins.models.enhancers import IATEnhancer, build_enhancer
from tests.unit.models.enhancers.test_zero_dce import RIVALS


def test_size_of_the_network() -> None:
    assert sum(value.numel() for value in IATEnhancer().parameters()) == 91_154


def test_colour_and_gamma_are_each_image_s_own() -> None:
    torch.manual_seed(0)
    enhancer = IATEnhancer().double().train()
    torch.nn.init.normal_(enhancer.global_net.gamma_linear.weight)
    images = torch.rand(2, 3, 9, 12, dtype=torch.float64)
    images[1] *= 0.1
    alone = torch.cat([enhancer(each[None]) for each in images])
    torch.testing.assert_close(enhancer(images), alone)
    gammas, _ = enhancer.global_net(images)
    assert float((gammas[0] - gammas[1]).abs()) > 1e-3


def test_with_a_branch_of_ones_only_colour_and_gamma_act() -> None:
    enhancer = IATEnhancer().double()
    local, glob = enhancer.local_net, enhancer.global_net
    for end, bias in ((local.mul_end, 1.0), (local.add_end, 0.0)):
        torch.nn.init.zeros_(end[0].weight)
        torch.nn.init.constant_(end[0].bias, bias)
    glob.gamma_base.data.fill_(0.5)
    color = torch.tensor([[0.5, 0.25, 0], [0, 1, 0], [0, 0, 2]], dtype=torch.float64)
    glob.color_base.data.copy_(color)
    image = torch.rand(1, 3, 6, 8, dtype=torch.float64)
    red = 0.5 * image[:, 0] + 0.25 * image[:, 1]
    wanted = torch.stack([red, image[:, 1], 2 * image[:, 2]], 1).clamp(1e-8, 1).sqrt()
    torch.testing.assert_close(enhancer(image), wanted)


@pytest.mark.parametrize(
    ('name', 'golden'),
    [
        ('iat/lol', 'iat_lol_v1'),
        ('iat/lol-v2', 'iat_lol_v2_normalized_input'),
        ('iat/exposure', 'iat_exposure'),
    ],
)
def test_the_authors_outputs(
    shared_data: Path,
    monkeypatch: pytest.MonkeyPatch,
    check_golden: Callable[..., None],
    name: str,
    golden: str,
) -> None:
    monkeypatch.setenv('SCI_PLUGINS_WEIGHTS', str(shared_data / RIVALS))
    check_golden(build_enhancer(name), golden)
