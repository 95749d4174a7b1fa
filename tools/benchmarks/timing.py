"""Time several variants in turn."""

import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from sci_plugins.utils.cli import text_table

WARM_UP = 3


@dataclass(frozen=True)
class Timing:
    """Milliseconds and minor page faults of one call; ``cpu_ms`` is of all its threads.

    A minor page fault is memory that the system has to map and clear; reused memory causes none.
    ``None`` if the system does not count them.
    """

    median_ms: float
    min_ms: float
    page_faults: int | None
    cpu_ms: float = math.nan


def time_in_turn(
    calls: Mapping[str, Callable[[], object]], runs: int, warm_up: int = WARM_UP
) -> dict[str, Timing]:
    """Time A B A B …, so that disturbances affect all variants alike.

    Args:
        calls: name -> call without arguments.
        runs: measured rounds.
        warm_up: rounds before them that are not measured.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    cpu: dict[str, list[float]] = {name: [] for name in calls}
    faults: dict[str, list[int]] = {name: [] for name in calls}
    for turn in range(warm_up + runs):
        for name, call in calls.items():
            faults_before, cpu_before = page_faults(), time.process_time()
            start = time.perf_counter()
            call()
            elapsed = time.perf_counter() - start
            if turn >= warm_up:
                cpu[name].append(time.process_time() - cpu_before)
                seconds[name].append(elapsed)
                faults[name].append(page_faults() - faults_before)
    return {
        name: Timing(
            statistics.median(values) * 1e3,
            min(values) * 1e3,
            round(statistics.median(faults[name])) if _resource else None,
            statistics.median(cpu[name]) * 1e3,
        )
        for name, values in seconds.items()
    }


try:
    import resource as _resource
except ImportError:  # not a Unix
    _resource = None  # type: ignore[assignment]


def page_faults() -> int:
    """Minor page faults of this process so far; 0 if they are not counted."""
    if _resource is None:
        return 0
    return _resource.getrusage(_resource.RUSAGE_SELF).ru_minflt


@contextmanager
def threads_set_to(number: int) -> Iterator[None]:
    """Let PyTorch use ``number`` CPU threads inside the context."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def to_table(timings: Mapping[str, Timing]) -> str:
    """A table with one row per variant."""
    rows = [
        (
            *(name, *told(timing), f'{timing.cpu_ms:,.2f} ms'),
            'not counted' if timing.page_faults is None else timing.page_faults,
        )
        for name, timing in timings.items()
    ]
    return text_table(('', 'median', 'fastest', 'CPU time', 'page faults a call'), rows)


def told(timing: Timing, places: int = 2) -> tuple[str, str]:
    """Median and fastest time with their unit."""
    return f'{timing.median_ms:,.{places}f} ms', f'{timing.min_ms:,.{places}f} ms'
