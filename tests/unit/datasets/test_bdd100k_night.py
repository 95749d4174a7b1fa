"""BDD100K's images by the time of day that its label files give."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sci_plugins.errors import ConfigError, DataError
from sci_plugins.registry import DATASETS

pytest.importorskip('mmseg')


@pytest.fixture
def root(tmp_path: Path, make: SimpleNamespace) -> Path:
    """Images 0 to 4: night, daytime, night, dawn/dusk, in no label file."""
    return make.write_bdd100k(tmp_path)


def _build(root: Path, **settings: Any) -> Any:
    cfg = dict(type='sci_plugins.BDD100KNightDataset', data_root=str(root), split='val')
    return DATASETS.build(cfg | settings)


def _numbers(dataset: Any) -> list[int]:
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    return [int(info['clip'][2:8], 16) for info in infos]


def test_night_by_default(root: Path) -> None:
    assert _numbers(_build(root)) == [0, 2]


def test_other_times(root: Path) -> None:
    assert _numbers(_build(root, timeofday=('daytime', 'dawn/dusk'))) == [1, 3]


def test_a_list_needs_no_label_files(root: Path) -> None:
    for path in root.glob('labels/det_20/*'):
        path.unlink()
    (root / 'mine.txt').write_text('7d000004-00000000\n7d000001-00000000.jpg\n')
    assert _numbers(_build(root, ann_file='mine.txt')) == [1, 4]


def test_labels_are_train_ids(root: Path, make: SimpleNamespace) -> None:
    from mmseg.datasets.transforms import LoadAnnotations

    label = LoadAnnotations()(_build(root)[1])['gt_seg_map']
    np.testing.assert_array_equal(label, make.frame(42, 8, make.TRAIN_IDS)[1])


def test_label_files_of_ones_own(root: Path) -> None:
    """Night images of even number stand in the file of val."""
    assert _numbers(_build(root, attributes='labels/det_20/det_val.json')) == [0, 2]
    with pytest.raises(DataError, match=r'none of the 5 .* is night .*1 daytime, 1 dawn'):
        _build(root, attributes=['labels/det_20/det_train.json'])


def test_wrong_choices(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"timeofday must be .*; got 'evening'"):
        _build(root, timeofday='evening')
    with pytest.raises(ConfigError, match='split must be'):
        _build(root, split=None)
    (root / 'labels/sem_seg/masks/val/7d000002-00000000.png').unlink()
    with pytest.raises(DataError, match=r'7d000002-00000000\.jpg: has no label map'):
        _build(root)
