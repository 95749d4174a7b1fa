"""Cost of each architecture: parameters, multiply-accumulates, time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from benchmarks.timing import Timing, threads_set_to, time_in_turn, told
from sci_plugins.errors import check_at_least
from sci_plugins.models.enhancers import RetinexEnhancer, RUASEnhancer, SCIEnhancer
from sci_plugins.utils.cli import text_table
from sci_plugins.utils.machine import describe_machine, machine_line

#: The chains of SCI's paper, one 3x3 convolution per hyphen, and another estimator.
ARCHITECTURES: Mapping[str, Callable[[], RetinexEnhancer]] = {
    '3-3': lambda: SCIEnhancer(layers=0, channels=None),
    '3-3-3': lambda: SCIEnhancer(layers=0, channels=3),
    '3-3-3-3': lambda: SCIEnhancer(layers=1, channels=3),
    '3-8-8-3': lambda: SCIEnhancer(layers=1, channels=8),
    '3-16-16-3': lambda: SCIEnhancer(layers=1, channels=16),
    'RUAS-1': lambda: RUASEnhancer(iterations=1),
    'RUAS-3': lambda: RUASEnhancer(iterations=3),
}


@dataclass(frozen=True)
class Cost:
    """Effective parameters, operations and time of one architecture."""

    parameters: int
    macs: int
    fast_path: bool
    timing: Timing


@dataclass(frozen=True)
class CostResult:
    """Costs of all architectures for one image of ``size`` (height, width)."""

    machine: dict[str, Any]
    size: tuple[int, int]
    costs: dict[str, Cost]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def to_text(self) -> str:
        height, width = self.size
        head = ('', 'parameters', 'GMACs', 'median', 'fastest', 'fast path')
        table = text_table(head, [_row(name, cost) for name, cost in self.costs.items()])
        title = f'one image, {width}x{height} float32, without gradients'
        return '\n'.join([machine_line(self.machine), title, table])


def _row(name: str, cost: Cost) -> tuple[object, ...]:
    fast = 'yes' if cost.fast_path else 'no'
    return name, cost.parameters, f'{cost.macs / 1e9:.4f}', *told(cost.timing), fast


def benchmark_cost(
    height: int = 400, width: int = 600, threads: int = 2, runs: int = 30
) -> CostResult:
    """Count and time all of :data:`ARCHITECTURES`, in turn, on a random dark image.

    Args:
        height, width: size of the image in pixels.
        threads: CPU threads.
        runs: measured rounds.

    Raises:
        ConfigError: if a number is below 1.
    """
    check_at_least(1, most=100_000, height=height, width=width, threads=threads, runs=runs)
    enhancers = {name: make().eval() for name, make in ARCHITECTURES.items()}
    image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    image *= 0.3
    with torch.no_grad(), threads_set_to(threads):
        calls = {name: _call(each, image) for name, each in enhancers.items()}
        timings = time_in_turn(calls, runs)
        folds = {name: _folds(each, image) for name, each in enhancers.items()}
        machine = describe_machine()
    costs = {
        name: Cost(
            parameters=count_parameters(each),
            macs=count_macs(each, height, width),
            fast_path=folds[name],
            timing=timings[name],
        )
        for name, each in enhancers.items()
    }
    return CostResult(machine, (height, width), costs)


def _call(enhancer: RetinexEnhancer, image: torch.Tensor) -> Callable[[], object]:
    return lambda: enhancer(image)


def _folds(enhancer: RetinexEnhancer, image: torch.Tensor) -> bool:
    return isinstance(enhancer, SCIEnhancer) and enhancer.folds(image)


def count_parameters(enhancer: RetinexEnhancer) -> int:
    """Number of parameters that the illumination depends on.

    A chain may skip the residual block, whose parameters then do not count.
    """
    parameters = list(enhancer.parameters())
    with torch.enable_grad():
        light = enhancer.estimate_illumination(torch.rand(1, 3, 8, 8))
        used = torch.autograd.grad(light.sum(), parameters, allow_unused=True)
    return sum(
        value.numel()
        for value, gradient in zip(parameters, used, strict=True)
        if gradient is not None
    )


class _Counter(TorchFunctionMode):
    """Counts the operations of convolutions and ReLUs inside the context."""

    def __init__(self) -> None:
        super().__init__()
        self.macs = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is F.conv2d:
            weight, bias = args[1], args[2]
            each = weight[0].numel() + (0 if bias is None else 1)
            self.macs += result.numel() * each
        elif func in (F.relu, torch.relu):
            self.macs += result.numel()
        return result


def count_macs(enhancer: RetinexEnhancer, height: int, width: int) -> int:
    """Operations of the illumination of one image, counted as SCI's paper does.

    A multiply-accumulate for each weight a convolution applies, one for each bias it adds and one
    for each value of a ReLU. BatchNorm, which can be folded into the convolution in front of it,
    the sigmoid, sums, maxima and divisions are left out.

    Args:
        enhancer: in eval mode; counted while it runs layer by layer.
        height, width: size of the image in pixels.
    """
    # With gradients, because SCI's fast path bypasses the layers.
    with torch.enable_grad(), _Counter() as counter:
        enhancer.estimate_illumination(torch.rand(1, 3, height, width))
    return counter.macs
