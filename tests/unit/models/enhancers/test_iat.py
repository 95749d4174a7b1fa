"""IAT: what holds for any weights; test_published compares it with its authors' outputs."""

import pytest
import torch

from sci_plugins.models.enhancers import IATEnhancer


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


@pytest.mark.parametrize('normalized', [False, True])
def test_with_a_branch_of_ones_only_colour_and_gamma_act(normalized: bool) -> None:
    enhancer = IATEnhancer(normalized).double()
    local, glob = enhancer.local_net, enhancer.global_net
    for end, bias in ((local.mul_end, 1.0), (local.add_end, 0.0)):
        torch.nn.init.zeros_(end[0].weight)
        torch.nn.init.constant_(end[0].bias, bias)
    glob.gamma_base.data.fill_(0.5)
    color = torch.tensor([[0.5, 0.25, 0], [0, 1, 0], [0, 0, 2]], dtype=torch.float64)
    glob.color_base.data.copy_(color)
    image = torch.rand(1, 3, 6, 8, dtype=torch.float64)
    seen = 2 * image - 1 if normalized else image
    red = 0.5 * seen[:, 0] + 0.25 * seen[:, 1]
    wanted = torch.stack([red, seen[:, 1], 2 * seen[:, 2]], 1).clamp(1e-8, 1).sqrt()
    torch.testing.assert_close(enhancer(image), wanted)
