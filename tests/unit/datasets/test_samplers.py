"""Samples that depend on seed, epoch and index, and on nothing else."""

from itertools import islice
from typing import Any

import pytest
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.registry import DATA_SAMPLERS

from sci_plugins.datasets import samplers
from sci_plugins.datasets.samplers import Draw
from sci_plugins.errors import ConfigError


def build(name: str, size: int = 5, **options: Any) -> Any:
    options = dict(seed=3) | options
    return DATA_SAMPLERS.build(dict(type=f'sci_plugins.{name}', dataset=range(size), **options))


def test_the_order_is_mmengines() -> None:
    ours = [draw.index for draw in build('SeededSampler')]
    assert ours == list(DefaultSampler(range(5), seed=3))
    ours = [draw.index for draw in islice(build('SeededInfiniteSampler'), 12)]
    assert ours == list(islice(InfiniteSampler(range(5), seed=3), 12))


def test_each_epoch_draws_anew_and_the_same_when_repeated() -> None:
    sampler = build('SeededSampler')
    first = list(sampler)
    assert list(sampler) == first
    sampler.set_epoch(1)
    second = list(sampler)
    seeds = {draw.seed for draw in first + second}
    assert len(seeds) == 10
    sampler.set_epoch(0)
    assert list(sampler) == first


def test_another_seed_draws_otherwise() -> None:
    first, second = (list(build('SeededSampler', seed=seed, shuffle=False)) for seed in (3, 4))
    assert [d.index for d in first] == [d.index for d in second]
    assert not {d.seed for d in first} & {d.seed for d in second}


def test_an_infinite_one_has_the_epochs_of_a_finite_one() -> None:
    finite, infinite = build('SeededSampler'), build('SeededInfiniteSampler')
    draws = list(islice(infinite, 10))
    for epoch in range(2):
        finite.set_epoch(epoch)
        assert set(draws[5 * epoch : 5 * epoch + 5]) == set(finite)


def test_an_infinite_one_goes_on_where_it_was() -> None:
    whole = list(islice(build('SeededInfiniteSampler'), 12))
    resumed = build('SeededInfiniteSampler')
    if not hasattr(resumed, 'skip'):
        pytest.skip('this MMEngine fast-forwards the loader itself')
    resumed.skip(7)
    assert list(islice(resumed, 5)) == whole[7:]


@pytest.mark.parametrize('name', ['SeededSampler', 'SeededInfiniteSampler'])
def test_processes_share_what_one_would_draw(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = list(islice(build(name, size=6), 6))
    shares = []
    for rank in range(2):
        monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda r=rank: (r, 2))
        shares.append(list(islice(build(name, size=6), 3)))
    assert shares == [alone[0::2], alone[1::2]]


def test_a_draw_and_its_generator() -> None:
    assert Draw(3).generator() is None
    first, second = (Draw(3, seed=9).generator() for _ in range(2))
    assert torch.equal(torch.rand(4, generator=first), torch.rand(4, generator=second))


def test_related_seeds_give_unrelated_numbers() -> None:
    draws = [
        samplers._draw(seed, epoch, index)
        for seed in range(4)
        for epoch in range(8)
        for index in range(32)
    ]
    values = torch.stack([torch.rand((), generator=draw.generator()) for draw in draws])
    assert len(values.unique()) > 1000
    assert float(values.mean()) == pytest.approx(0.5, abs=0.04)
    neighbours = torch.corrcoef(torch.stack([values[:-1], values[1:]]))[0, 1]
    assert abs(float(neighbours)) < 0.1


@pytest.mark.parametrize('name', ['SeededSampler', 'SeededInfiniteSampler'])
def test_a_seed_that_is_none(name: str) -> None:
    with pytest.raises(ConfigError, match=f'{name}: seed must be at least 0, got -1'):
        build(name, seed=-1)
