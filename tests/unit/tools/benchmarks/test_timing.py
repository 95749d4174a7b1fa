"""Order and statistics of the timings, with a clock of our own."""

import pytest
import torch

from benchmarks import timing
from benchmarks.timing import threads_set_to, time_in_turn, to_table
from sci_plugins.utils.machine import describe_machine, machine_line


class _Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def process_time(self) -> float:
        return 2 * self.now  # two threads


def test_times_in_turn_and_leaves_out_the_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, order = _Clock(), []
    monkeypatch.setattr(timing, 'time', clock)
    slow = iter([99.0] * timing.WARM_UP + [0.004, 0.001, 0.009])

    def first() -> None:
        order.append('a')
        clock.now += next(slow)

    def second() -> None:
        order.append('b')
        clock.now += 0.002

    result = time_in_turn({'a': first, 'b': second}, runs=3)
    assert order == ['a', 'b'] * (timing.WARM_UP + 3)
    assert result['a'].median_ms == pytest.approx(4.0)
    assert result['a'].min_ms == pytest.approx(1.0)
    assert result['a'].cpu_ms == pytest.approx(8.0)
    assert '8.00 ms' in to_table(result)
    assert result['b'].median_ms == pytest.approx(2.0)


def test_counts_page_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    count = 0

    def fault() -> None:
        nonlocal count
        count += 7

    monkeypatch.setattr(timing, 'page_faults', lambda: count)
    result = time_in_turn({'fault': fault, 'none': lambda: None}, runs=2)
    if result['none'].page_faults is None:
        pytest.skip('this system does not count page faults')
    assert (result['fault'].page_faults, result['none'].page_faults) == (7, 0)
    assert to_table(result).splitlines()[1].endswith('  7')


def test_without_page_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, '_resource', None)
    result = time_in_turn({'x': lambda: None}, runs=1)
    assert result['x'].page_faults is None
    assert 'not counted' in to_table(result)


def test_threads_are_set_back() -> None:
    before = torch.get_num_threads()
    seen = []

    def work() -> None:
        with threads_set_to(before + 1):
            seen.append(torch.get_num_threads())
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert seen == [before + 1]
    assert torch.get_num_threads() == before


def test_the_machine_in_one_line() -> None:
    line = machine_line(describe_machine())
    assert torch.__version__ in line
    assert f'{torch.get_num_threads()} threads' in line
    assert '\n' not in line
