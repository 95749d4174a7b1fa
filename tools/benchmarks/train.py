"""SCI's training step: this implementation against a plain one."""

import copy
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks.memory import Memory, measure_memory
from benchmarks.plain_training import plain_loss
from benchmarks.timing import Timing, threads_set_to, time_in_turn, to_table
from sci_plugins.errors import ConfigError, check_at_least
from sci_plugins.models.learners import SelfCalibratedLearner
from sci_plugins.utils.machine import describe_machine, machine_line

PLAIN, OURS, COMPILED = 'plain', 'ours', 'ours, compiled'
#: Convolution biases in front of a BatchNorm: their true gradient is 0.
WITHOUT_EFFECT = (
    'estimator.block_conv.bias',
    'calibrator.in_conv.bias',
    'calibrator.block_conv1.bias',
    'calibrator.block_conv2.bias',
)
_COMPILERS = ('c++', 'g++', 'clang++')
_LossFunction = Callable[[SelfCalibratedLearner, Tensor], Tensor]


@dataclass(frozen=True)
class Difference:
    """Between the plain implementation and another one.

    ``loss`` is relative; ``gradient`` is the largest over all parameters, each relative to its
    largest entry; ``zero_gradient`` is the largest entry, on either side, of the four biases whose
    true gradient is 0.
    """

    loss: float
    gradient: float
    zero_gradient: float


@dataclass(frozen=True)
class TrainResult:
    """Times, memory and differences of whole training steps."""

    machine: dict[str, Any]
    shape: tuple[int, int, int, int]
    timings: dict[str, Timing]
    ratios: dict[str, float]
    ratios_of_fastest: dict[str, float]
    memory: dict[str, Memory] | None
    differences: dict[str, Difference]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def to_text(self) -> str:
        size = 'x'.join(map(str, self.shape))
        lines = [
            machine_line(self.machine),
            f'SCI training step (forward, loss, backward, clipping, Adam), {size}',
            to_table(self.timings),
        ]
        lines += [f'{name}: {ratio:.1f} times faster' for name, ratio in self.ratios.items()]
        lines += self._memory_lines()
        lines += [
            f'{name}: loss differs by {each.loss:.1e}, gradients by {each.gradient:.1e} '
            f'(where the true one is 0: at most {each.zero_gradient:.1e})'
            for name, each in self.differences.items()
        ]
        return '\n'.join(lines)

    def _memory_lines(self) -> list[str]:
        if self.memory is None:
            return ['peak memory: not reported by this system']
        plain = self.memory[PLAIN]
        return [
            f'{name}: peak memory {each.above_imports:.0f} MB above the imports '
            f'({each.above_imports / plain.above_imports:.2f} of the plain one), '
            f'{each.above_torch:.0f} MB above torch alone '
            f'({each.above_torch / plain.above_torch:.2f})'
            for name, each in self.memory.items()
        ]


def benchmark_train(
    height: int = 400,
    width: int = 600,
    batch: int = 1,
    threads: int = 2,
    runs: int = 5,
    weights: str | None = None,
    compile: bool = False,  # noqa: A002
) -> TrainResult:
    """Time whole training steps in turn, and measure the memory of each separately.

    Args:
        height, width: size of the images in pixels.
        batch: images per step.
        threads: CPU threads.
        runs: measured rounds.
        weights: as in :class:`SelfCalibratedLearner`; the authors' initialisation if ``None``.
        compile: also time our step through ``torch.compile``.

    Raises:
        ConfigError: if a number is below 1, the weights are not known, or there is no C++ compiler
            to compile with.
    """
    check_at_least(
        1, most=100_000, height=height, width=width, batch=batch, threads=threads, runs=runs
    )
    if compile:
        _check_compiler()
    shape = (batch, 3, height, width)
    names = [PLAIN, OURS, *([COMPILED] if compile else [])]
    memory = {
        name: measure_memory(__name__, 'run_steps', name=name, shape=shape, threads=threads)
        for name in names
    }
    with threads_set_to(threads):
        learner, image = _start(shape, weights)
        steps = {name: _Step(name, copy.deepcopy(learner), image) for name in names}
        differences = {name: _compare(steps[PLAIN], steps[name]) for name in names if name != PLAIN}
        small = _start((batch, 3, max(3, height // 4), max(3, width // 4)), weights)
        differences[f'{OURS}, float64, a quarter of the size'] = _compare(
            *(_Step(name, small[0].double(), small[1].double()) for name in (PLAIN, OURS))
        )
        timings = time_in_turn(steps, runs)
        machine = describe_machine()
    return TrainResult(
        machine=machine,
        shape=shape,
        timings=timings,
        ratios=_ratios({name: each.median_ms for name, each in timings.items()}),
        ratios_of_fastest=_ratios({name: each.min_ms for name, each in timings.items()}),
        memory=None if None in memory.values() else memory,  # type: ignore[arg-type]
        differences=differences,
    )


def _ratios(times: dict[str, float]) -> dict[str, float]:
    return {name: times[PLAIN] / time for name, time in times.items() if name != PLAIN}


def run_steps(name: str, shape: tuple[int, int, int, int], threads: int, steps: int = 3) -> None:
    """Train for a few steps, in a process whose memory is measured."""
    with threads_set_to(threads):
        step = _Step(name, *_start(shape, None))
        for _ in range(steps):
            step()


class _Step:
    """Forward, loss, backward, clipping and Adam, as in the authors' recipe."""

    def __init__(self, name: str, learner: SelfCalibratedLearner, image: Tensor) -> None:
        self.learner = learner
        self.image = image
        loss: _LossFunction = plain_loss if name == PLAIN else _our_loss
        self.loss = torch.compile(loss) if name == COMPILED else loss
        self.parameters = list(learner.parameters())
        self.optimizer = torch.optim.Adam(self.parameters, lr=3e-4, weight_decay=3e-4)

    def __call__(self) -> None:
        self.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 5.0)
        self.optimizer.step()

    def backward(self) -> tuple[float, dict[str, Tensor]]:
        """The loss and all gradients."""
        self.optimizer.zero_grad()
        loss = self.loss(self.learner, self.image)
        loss.backward()
        grads = {name: each.grad for name, each in self.learner.named_parameters()}
        return loss.item(), grads


def _our_loss(learner: SelfCalibratedLearner, image: Tensor) -> Tensor:
    losses = learner(image, mode='loss')
    return losses['loss_fidelity'] + losses['loss_smoothness']


def _start(
    shape: tuple[int, int, int, int], weights: str | None
) -> tuple[SelfCalibratedLearner, Tensor]:
    """A network in train mode and dark images, the same for every variant."""
    torch.manual_seed(0)
    learner = SelfCalibratedLearner(weights=weights).train()
    return learner, torch.rand(shape) * 0.3


def _compare(plain: _Step, other: _Step) -> Difference:
    (want, wanted), (got, grads) = (
        (loss, {name: grad.clone() for name, grad in grads.items()})
        for loss, grads in (plain.backward(), other.backward())
    )
    gradient = zero = 0.0
    for name, theirs in wanted.items():
        ours = grads[name]
        if name in WITHOUT_EFFECT:
            zero = max(zero, float(ours.abs().max()), float(theirs.abs().max()))
        else:
            error = (ours - theirs).abs().max() / theirs.abs().max()
            gradient = max(gradient, float(error))
    return Difference(abs(got - want) / abs(want), gradient, zero)


def _check_compiler() -> None:
    chosen = os.environ.get('CXX')
    if not any(map(shutil.which, [chosen] if chosen else _COMPILERS)):
        raise ConfigError(
            'compile: torch.compile needs a C++ compiler, but found none: install '
            f'{" or ".join(_COMPILERS[1:])}, or set CXX to one'
        )
