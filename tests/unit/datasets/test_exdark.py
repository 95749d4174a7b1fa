"""ExDark's layout through mmdet's base class."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sci_plugins.errors import ConfigError, DataError
from sci_plugins.registry import DATASETS
from sci_plugins.utils.images import write_image

pytest.importorskip('mmdet')
text_labels = importlib.import_module('sci_plugins.datasets.text_labels')
TAIL = ' 0 0 0 0 0 0 0\n'
FILES = {
    'Bicycle/2015_00001.png': ['Bicycle 2 3 10 8', 'People 5 5 4 4'],
    'Cup/2015_04000.jpg': [],
    'Table/2015_07000.JPEG': ['Table 0 0 0 5', 'Table 1 1 5 5'],
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    lines = ['Name | Class | Light | In/Out | Train/Val/Test']
    for number, (name, objects) in enumerate(FILES.items(), start=1):
        path = tmp_path / 'ExDark' / name
        path.parent.mkdir(parents=True)
        write_image(path, np.zeros((20, 30, 3), np.uint8))
        annotation = tmp_path / f'ExDark_Annno/{name}.txt'
        annotation.parent.mkdir(parents=True)
        text = ''.join(line + TAIL for line in objects)
        annotation.write_text('% bbGt version=3\n' + text)
        lines.append(f'{path.name} {number} 1 1 {number}')
    (tmp_path / 'imageclasslist.txt').write_text('\r\n'.join(lines))
    return tmp_path


def _build(root: Path, **settings: Any) -> Any:
    # Serializing collects garbage, which takes most of a test's time.
    cfg = dict(type='sci_plugins.ExDarkDataset', data_root=str(root), serialize_data=False)
    return DATASETS.build(cfg | settings)


def _ids(dataset: Any) -> list[str]:
    return [dataset.get_data_info(index)['img_id'] for index in range(len(dataset))]


def test_records_are_what_mmdet_expects(root: Path) -> None:
    dataset = _build(root)
    assert _ids(dataset) == ['2015_00001', '2015_04000', '2015_07000']
    assert len(dataset.metainfo['classes']) == len(dataset.metainfo['palette']) == 12
    record = dataset.get_data_info(0)
    assert record['img_path'] == str(root / 'ExDark/Bicycle/2015_00001.png')
    assert (record['width'], record['height']) == (30, 20)
    assert record['instances'] == [
        dict(bbox=[2, 3, 12, 11], bbox_label=0, ignore_flag=0),
        dict(bbox=[5, 5, 9, 9], bbox_label=10, ignore_flag=0),
    ]
    assert dataset.get_data_info(1)['instances'] == []


def test_boxes_go_through_mmdets_pipeline(root: Path) -> None:
    pipeline = [
        dict(type='mmdet.LoadImageFromFile'),
        dict(type='mmdet.LoadAnnotations', with_bbox=True),
        dict(type='mmdet.PackDetInputs', meta_keys=('img_id',)),
    ]
    sample = _build(root, pipeline=pipeline)[0]['data_samples']
    assert sample.gt_instances.bboxes.tensor.tolist() == [[2, 3, 12, 11], [5, 5, 9, 9]]
    assert sample.gt_instances.labels.tolist() == [0, 10]


def test_empty_boxes_are_ignored_aloud(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(text_labels, 'print_log', lambda text, **_: said.append(text))
    instances = _build(root).get_data_info(2)['instances']
    assert [instance['ignore_flag'] for instance in instances] == [1, 0]
    assert said == ['ExDark: ignored 1 empty boxes']


@pytest.mark.parametrize(
    ('split', 'ids'),
    [
        ('train', ['2015_00001']),
        ('test', ['2015_07000']),
        (['train', 'val'], ['2015_00001', '2015_04000']),
    ],
)
def test_its_own_split(root: Path, split: Any, ids: list[str]) -> None:
    assert _ids(_build(root, split=split)) == ids


def test_other_lists_whatever_the_case_of_letters(root: Path) -> None:
    (root / 'mine.txt').write_text('2015_07000.jpeg\n2015_00001.PNG\n')
    assert _ids(_build(root, ann_file='mine.txt')) == ['2015_07000', '2015_00001']


def test_empty_images_are_filtered_in_training_only(root: Path) -> None:
    settings: dict = dict(filter_cfg=dict(filter_empty_gt=True))
    assert _ids(_build(root, **settings)) == ['2015_00001', '2015_07000']
    assert len(_build(root, test_mode=True, **settings)) == 3


def test_fewer_classes(root: Path) -> None:
    dataset = _build(root, metainfo=dict(classes=('People',)))
    assert [each['bbox_label'] for each in dataset.get_data_info(0)['instances']] == [0]


def test_an_unknown_split(root: Path) -> None:
    with pytest.raises(ConfigError, match="one of train, val, test; got 'all'"):
        _build(root, split='all')


@pytest.mark.parametrize(
    ('gone', 'words'),
    [
        ('ExDark/Cup/2015_04000.jpg', '2015_04000.jpg has no image below .*ExDark'),
        ('ExDark_Annno/Cup/2015_04000.jpg.txt', 'has no annotation below .*ExDark_Annno'),
        ('imageclasslist.txt', 'imageclasslist.txt: there is no such list'),
    ],
)
def test_missing_files(root: Path, gone: str, words: str) -> None:
    (root / gone).unlink()
    with pytest.raises(DataError, match=words):
        _build(root, split=('train', 'val', 'test'))


def test_no_folders_are_the_usual_ones(root: Path) -> None:
    assert _ids(_build(root, data_prefix=None)) == _ids(_build(root))


def test_missing_folders(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'folder .*nothing does not exist'):
        _build(root, data_prefix=dict(img='nothing', ann='ExDark_Annno'))
    (tmp_path / 'bare').mkdir()
    with pytest.raises(DataError, match=r'bare has no files CLASS/NAME.txt'):
        _build(root, data_prefix=dict(img='ExDark', ann='bare'))


def test_a_damaged_annotation_names_file_and_line(root: Path) -> None:
    path = root / 'ExDark_Annno/Cup/2015_04000.jpg.txt'
    path.write_text('% bbGt version=3\nCup 1 2\n')
    with pytest.raises(DataError, match=r'2015_04000.jpg.txt, line 2: expected CLASS'):
        _build(root)
