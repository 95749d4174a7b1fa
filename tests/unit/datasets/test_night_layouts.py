"""Folders of the sets as they are downloaded, and Cityscapes' ids."""

from pathlib import Path

import pytest

from sci_plugins.datasets.night_layouts import (
    TRAIN_ID_OF,
    acdc_pair,
    bdd100k_pair,
    choose,
    nightcity_pair,
)
from sci_plugins.errors import ConfigError

ROOT = Path('root')


def test_ids_are_those_of_cityscapes() -> None:
    """The table in the comments of Cityscapes' own scripts, written out."""
    table = {7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10}
    table |= {24: 11, 25: 12, 26: 13, 27: 14, 28: 15, 31: 16, 32: 17, 33: 18}
    counted = {number: train for number, train in TRAIN_ID_OF.items() if train != 255}
    assert counted == table
    assert set(TRAIN_ID_OF) == set(range(34))


def test_hidden_labels_are_none() -> None:
    assert acdc_pair(ROOT, 'night', 'test', False).labels is None
    assert acdc_pair(ROOT, 'night', 'val', True).labels is None
    assert acdc_pair(ROOT, 'fog', 'val', False).labels == ROOT / 'gt/fog/val'
    assert bdd100k_pair(ROOT, 'test').labels is None


def test_nightcity_fine_has_folders_of_its_own_or_the_originals(tmp_path: Path) -> None:
    assert nightcity_pair(tmp_path, 'val', 'fine').images == tmp_path / 'val/img'
    (tmp_path / 'images/val').mkdir(parents=True)
    pair = nightcity_pair(tmp_path, 'val', 'fine')
    assert pair.images == tmp_path / 'images/val'
    assert pair.label_of(pair.images / 'a.png') == tmp_path / 'label/val/a_trainIds.png'
    (tmp_path / 'val').mkdir()
    assert nightcity_pair(tmp_path, 'val', 'fine').labels == tmp_path / 'val/lbl'


def test_choices() -> None:
    known = ('a', 'b')
    assert choose('X', 'split', 'a', known) == ('a',)
    assert choose('X', 'split', ['b', 'a'], known) == ('b', 'a')
    for wrong in (None, (), 'c', ['a', 'c'], ['a', 'a']):
        with pytest.raises(ConfigError, match=r'X: split must be .* a, b; got'):
            choose('X', 'split', wrong, known)
