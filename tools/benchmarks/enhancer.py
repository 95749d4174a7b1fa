"""SCI's estimator, fast against plain, and the adaptive stage beside it."""

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.timing import Timing, threads_set_to, time_in_turn, to_table
from sci_plugins.apis.enhance import enhance_pixels
from sci_plugins.errors import check_at_least
from sci_plugins.functional.kernels.sci_fused import KINDS, PASSES, SWITCH, make
from sci_plugins.models.enhancers import AdaptiveSCIEnhancer, SCIEnhancer
from sci_plugins.models.enhancers.adaptive import statistics_of
from sci_plugins.utils.machine import describe_machine, machine_line


@dataclass(frozen=True)
class EnhancerResult:
    """Times of plain and fast SCI, their ratios, and the largest difference of their images.

    ``timings`` also holds fast SCI from 8 bits to 8 bits, and by PyTorch alone; and the adaptive
    stage's: with all that it has, without shrinkage, off, its statistics alone, and all by PyTorch;
    ``adaptive`` and ``adaptive_cpu`` their ratios to fast SCI's, in wall and CPU time.
    """

    machine: dict[str, Any]
    shape: tuple[int, int, int, int]
    timings: dict[str, Timing]
    ratio: float
    ratio_of_fastest: float
    ratio_of_cpu: float
    max_difference: float
    adaptive: dict[str, float]
    adaptive_cpu: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def to_text(self) -> str:
        size = 'x'.join(map(str, self.shape))
        return '\n'.join(
            [
                machine_line(self.machine),
                f'SCIEnhancer, {size} float32, without gradients',
                to_table(self.timings),
                f'{self.ratio:.1f} times faster (by the fastest runs: '
                f'{self.ratio_of_fastest:.1f}, by CPU time: {self.ratio_of_cpu:.1f}), '
                'largest difference '
                f'{self.max_difference:.1e}',
                'of the time of ours (of its CPU time): '
                + ', '.join(
                    f'{name} {ratio:.1f} ({self.adaptive_cpu[name]:.1f})'
                    for name, ratio in self.adaptive.items()
                ),
            ]
        )


def plain_enhance(enhancer: SCIEnhancer, image: Tensor) -> Tensor:
    """SCI as in the authors' code: layer by layer, BatchNorm not folded.

    Args:
        enhancer: provides the layers; its forward is not called.
        image: ``(N, 3, H, W)``, RGB in [0, 1].

    Source: ``EnhanceNetwork`` of github.com/vis-opt-group/SCI.
    """
    features = F.relu(enhancer.in_conv(image))
    for _ in range(enhancer.layers):
        block = F.relu(enhancer.block_norm(enhancer.block_conv(features)))
        features = features + block
    illumination = torch.sigmoid(enhancer.out_conv(features)) + image
    illumination = torch.clamp(illumination, 0.0001, 1)
    return torch.clamp(image / illumination, 0, 1)


def benchmark_enhancer(
    height: int = 720,
    width: int = 1080,
    batch: int = 1,
    threads: int = 2,
    runs: int = 30,
    weights: str | None = None,
) -> EnhancerResult:
    """Time the plain implementation and ours in turn, on random dark images.

    Args:
        height, width: size of the images in pixels.
        batch: images per call.
        threads: CPU threads.
        runs: measured rounds.
        weights: as in :class:`SCIEnhancer`; random ones if ``None``, since the time does not depend
            on them.

    Raises:
        ConfigError: if a number is below 1 or the weights are not known.
    """
    check_at_least(
        1, most=100_000, height=height, width=width, batch=batch, threads=threads, runs=runs
    )
    source = torch.Generator().manual_seed(0)
    enhancer = SCIEnhancer(weights=weights).eval()
    if weights is None:
        randomize(enhancer, source)
    image = torch.rand(batch, 3, height, width, generator=source) * 0.3  # its noise is white
    with torch.no_grad(), threads_set_to(threads):
        make(*KINDS, PASSES)
        difference = (plain_enhance(enhancer, image) - enhancer(image)).abs().max()
        pixels = image.mul(255).byte().permute(0, 2, 3, 1).contiguous().numpy()
        calls: dict[str, Callable[[], object]] = {
            'plain': lambda: plain_enhance(enhancer, image),
            'ours': lambda: enhancer(image),
            'ours, uint8 to uint8': lambda: [enhance_pixels(enhancer, each) for each in pixels],
            'ours, PyTorch alone': unfused(lambda: enhancer(image)),
        }
        timings = time_in_turn(calls | _adaptive_calls(image), runs)
        machine = describe_machine()
    plain, ours = timings['plain'], timings['ours']
    stages = {name: timing for name, timing in timings.items() if name not in calls}
    return EnhancerResult(
        machine=machine,
        shape=(batch, 3, height, width),
        timings=timings,
        ratio=plain.median_ms / ours.median_ms,
        ratio_of_fastest=plain.min_ms / ours.min_ms,
        ratio_of_cpu=plain.cpu_ms / ours.cpu_ms,
        max_difference=float(difference),
        adaptive={name: each.median_ms / ours.median_ms for name, each in stages.items()},
        adaptive_cpu={name: each.cpu_ms / ours.cpu_ms for name, each in stages.items()},
    )


def unfused(call: Callable[[], object]) -> Callable[[], object]:
    """The call without the fused kernels."""

    def plain() -> object:
        with patch.dict(os.environ, {SWITCH: '0'}):
            return call()

    return plain


def _adaptive_calls(image: Tensor) -> dict[str, Callable[[], object]]:
    """The adaptive stage, made to decide the same whatever the image."""
    stages = {
        'adaptive': adaptive_stage(0, 0, 0),
        'without shrinkage': adaptive_stage(0, CLOSED, 0),
        'off': adaptive_stage(CLOSED, CLOSED, CLOSED),
    }
    calls: dict[str, Callable[[], object]] = {
        name: partial(stage, image) for name, stage in stages.items()
    }
    return calls | {
        'statistics': partial(statistics_of, image),
        'adaptive, PyTorch alone': unfused(calls['adaptive']),
    }


#: Before the sigmoid: off.
CLOSED = -20.0


def adaptive_stage(exponent: float, strength: float, gain: float) -> AdaptiveSCIEnhancer:
    """A stage that decides the same for every image, from values before the sigmoid."""
    stage = AdaptiveSCIEnhancer().eval()
    with torch.no_grad():
        stage.controller.out.weight.zero_()
        stage.controller.out.bias.copy_(torch.tensor([exponent, *[strength] * 4, gain]))
    return stage


def randomize(enhancer: SCIEnhancer, source: torch.Generator) -> None:
    """Give every weight and statistic a value with a visible effect."""
    for name, value in enhancer.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.randn(value.shape, generator=source) * 0.3)
            if name.endswith('running_var'):
                value.abs_().add_(0.2)
