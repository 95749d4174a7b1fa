"""Decisions of the adaptive stage: rounded for files, told, and their distribution."""

from dataclasses import replace

import pytest
import torch

from sci_plugins.evaluation.decisions import Decisions, ImageDecision, decided_cells
from sci_plugins.models.enhancers import AdaptiveSCIEnhancer

OFF = ImageDecision(1.0, 0.0, [0.0] * 4, 0.5, 0.0)
DARK = ImageDecision(3.123456789, 0.25, [1.0, 0.5, 0.0, 0.0], 0.0625, 0.004)


def _decisions(gains: list[float], exponents: list[float] | None = None) -> Decisions:
    found = {
        place: replace(DARK, gain=gain, exponent=(exponents or [0.1] * len(gains))[place])
        for place, gain in enumerate(gains)
    }
    kept = Decisions.of([f'{place}.png' for place in range(len(gains))], found)
    assert kept is not None
    return kept


def test_the_decision_of_a_batch_s_image() -> None:
    torch.manual_seed(0)
    stage = AdaptiveSCIEnhancer().eval()
    images = torch.rand(2, 3, 24, 32) * torch.tensor([0.1, 0.9]).view(2, 1, 1, 1)
    decision = stage.decide(images)
    for index in range(2):
        found = ImageDecision.of(decision, index)
        alone = stage.decide(images[index : index + 1])
        assert found.gain == pytest.approx(float(alone.gain.detach()), rel=1e-5)
        assert found.exponent == pytest.approx(float(alone.exponent.detach()), rel=1e-5)
        assert found.strengths == pytest.approx(alone.strengths[0].tolist(), rel=1e-4, abs=1e-6)
        assert found.light == pytest.approx(float(alone.light.mean))
        assert found.noise == pytest.approx(float(alone.noise.linear))


def test_off_needs_all_three() -> None:
    assert OFF.off
    others = (dict(gain=1.0001), dict(exponent=1e-9), dict(strengths=[0.0, 0, 0, 1e-9]))
    assert not any(replace(OFF, **change).off for change in others)


def test_words() -> None:
    assert decided_cells(0.25, 3.123, [1, 0.5, 0, 0]) == ['0.25', '3.12', '1.0 0.5 0.0 0.0']
    assert decided_cells(0.0, 1.0, [0.0] * 4) == ['off', '', '']
    assert OFF.told == 'light 0.500, noise 0.00000; off, the image stays as it is'
    assert DARK.told == (
        'light 0.062, noise 0.00400; gain 3.12, exponent 0.25, strengths 1.0 0.5 0.0 0.0'
    )


def test_kept_in_the_order_of_the_set_with_five_digits() -> None:
    kept = Decisions.of(['a', 'b', 'c'], {2: DARK, 0: OFF})
    assert kept is not None
    assert kept.images == ['a', 'c']
    assert kept.fits
    assert kept.off == 1
    assert kept[0] == OFF
    assert kept[1] == replace(DARK, gain=3.1235)


def test_blocks_of_jpeg() -> None:
    pressed = replace(DARK, blocks=0.75)
    assert pressed.told.startswith('light 0.062, noise 0.00400, blocks of JPEG 0.75; gain')
    kept = Decisions.of(['a', 'b'], {0: OFF, 1: pressed})
    assert kept is not None
    assert kept[1].blocks == 0.75
    assert kept.columns['blocks of JPEG'] == [0.0, 0.75]
    older = replace(kept, blocks=[])
    assert older.fits
    assert older[1].blocks == 0
    assert 'blocks of JPEG' not in older.columns
    assert not replace(kept, blocks=[0.5]).fits


def test_rounding_switches_nothing_off() -> None:
    nearly = replace(OFF, gain=1.0000001, strengths=[0.0, 0.0, 0.0, 1e-9])
    kept = Decisions.of(['a'], {0: nearly})
    assert kept is not None
    assert kept[0] == nearly
    assert kept.off == 0


def test_nothing_to_keep() -> None:
    assert Decisions.of(['a'], {}) is None
    assert Decisions.of([], {0: OFF}) is None  # images without names


def test_columns_hold_every_value() -> None:
    kept = Decisions.of(['a', 'b'], {0: OFF, 1: DARK})
    assert kept is not None
    assert kept.columns == {
        'light (mean luma)': [0.5, 0.0625],
        'noise (linear light)': [0.0, 0.004],
        'gain': [1.0, 3.1235],
        'exponent': [0.0, 0.25],
        'strength of level 1': [0.0, 1.0],
        'strength of level 2': [0.0, 0.5],
        'strength of level 3': [0.0, 0.0],
        'strength of level 4': [0.0, 0.0],
    }


@pytest.mark.parametrize(
    ('gains', 'wanted'),
    [
        ([3, 1, 5, 2, 4], {'lowest gain': 1, 'middle gain': 0, 'highest gain': 2}),
        ([2, 1], {'lowest gain': 1, 'highest gain': 0}),
        ([2], {'lowest gain': 0}),
    ],
)
def test_examples(gains: list[float], wanted: dict[str, int]) -> None:
    assert _decisions(gains).examples() == wanted


def test_of_the_same_gain_the_exponent_decides() -> None:
    found = _decisions([1, 1, 1], [0.2, 0.3, 0.1]).examples()
    assert found == {'lowest gain': 2, 'middle gain': 0, 'highest gain': 1}


@pytest.mark.parametrize(
    'damage', [dict(gain=[1.0]), dict(noise=[]), dict(strengths=[[0.0] * 4, [0.0] * 3])]
)
def test_lists_of_other_lengths_do_not_fit(damage: dict) -> None:
    assert not replace(_decisions([1, 2]), **damage).fits
