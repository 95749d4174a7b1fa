"""One variant against the base, from confusion matrices kept image by image."""

import json

import numpy as np
import pytest

from sci_plugins.errors import ConfigError, DataError
from sci_plugins.evaluation import analysis as module
from sci_plugins.evaluation.analysis import VariantAnalysis, analyse
from sci_plugins.evaluation.segmentation_records import SegmentationRecords

IDS = [f'image{number}' for number in range(9)]


def _records(seed: int, ids: list[str] = IDS) -> SegmentationRecords:
    matrices = np.random.default_rng(seed).integers(1, 50, (len(ids), 2, 2))
    return SegmentationRecords(ids, matrices, ('a', 'b'))


def _without(records: SegmentationRecords, index: int) -> float:
    kept = [place for place in range(len(records.ids)) if place != index]
    ids = [records.ids[place] for place in kept]
    left = SegmentationRecords(ids, records.matrices[kept], records.classes)
    return left.metrics()['mIoU']


def test_effects_are_what_leaving_an_image_out_changes() -> None:
    base, other = _records(0), _records(1)
    found = analyse(base, other, base_name='none', changed=9)
    effects = {each.image: each.effect for each in found.gained + found.lost}
    for index, name in enumerate(IDS):
        left = _without(other, index) - _without(base, index)
        assert effects[name] == pytest.approx(found.main.delta - left)
    assert all(each.effect > 0 for each in found.gained)
    assert all(each.effect < 0 for each in found.lost)


def test_thirds_are_the_numbers_of_their_images(monkeypatch: pytest.MonkeyPatch) -> None:
    base, other = _records(0), _records(1)
    luma = {name: number / 10 for number, name in enumerate(IDS)}
    found = analyse(base, other, base_name='none', brightness=luma)
    darkest = found.groups['brightness'][0]
    alone = SegmentationRecords(IDS[:3], base.matrices[:3], base.classes)
    assert darkest.base == pytest.approx(alone.metrics()['mIoU'])
    assert darkest.images == 3
    again = VariantAnalysis.from_dict(json.loads(json.dumps(found.to_dict())))
    assert again == found
    monkeypatch.setattr(module, '_CHUNK', 2)
    assert analyse(base, other, base_name='none', brightness=luma) == found


def test_bad_input() -> None:
    with pytest.raises(DataError, match='same images'):
        analyse(_records(0), _records(1, IDS[:4]), base_name='none')
    with pytest.raises(ConfigError, match="no metric 'AP'"):
        analyse(_records(0), _records(1), base_name='none', metric='AP')
