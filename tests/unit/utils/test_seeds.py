"""Other people's random numbers: the same for a seed, and ours untouched."""

import random

import numpy as np
import pytest
import torch

from sci_plugins.utils.seeds import seeded


def _draw() -> tuple[float, ...]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_the_same_for_a_seed_and_nothing_is_left_of_it() -> None:
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = _draw(), _draw()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    found = [_draw()]
    with seeded(5):
        first = _draw()
    with seeded(5):
        assert _draw() == first
    with seeded(2**32 - 1):
        others = zip(_draw(), first, strict=True)
        assert all(one != other for one, other in others)
    found.append(_draw())
    assert tuple(found) == expected


def _fail() -> None:
    with seeded(3):
        random.random()
        raise KeyError


def test_an_error_leaves_nothing_either() -> None:
    before = random.getstate(), torch.get_rng_state()
    with pytest.raises(KeyError):
        _fail()
    assert random.getstate() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


def test_a_gpu_that_is_used_later_is_not_seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    queued: list[object] = []
    monkeypatch.setattr(torch.cuda, 'manual_seed_all', queued.append)
    torch.manual_seed(0)
    assert queued
    queued.clear()
    with seeded(4):
        pass
    assert not queued
