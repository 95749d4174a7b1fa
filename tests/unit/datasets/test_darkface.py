"""DARK FACE's layout through mmdet's base class."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sci_plugins.datasets.darkface import read_upright_boxes, split_ids
from sci_plugins.errors import ConfigError, DataError
from sci_plugins.registry import DATASETS
from sci_plugins.utils.images import write_image

pytest.importorskip('mmdet')
darkface = importlib.import_module('sci_plugins.datasets.darkface')
text_labels = importlib.import_module('sci_plugins.datasets.text_labels')


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three images, 2, 10 and 1; number 1 shows nobody."""
    (tmp_path / 'image').mkdir()
    (tmp_path / 'label').mkdir()
    for name, boxes in (('2', ['1 2 9 12', '4 4 8 8']), ('10', ['0 0 5 6']), ('1', [])):
        write_image(tmp_path / f'image/{name}.png', np.zeros((20, 30, 3), np.uint8))
        lines = '\n'.join([str(len(boxes)), *boxes])
        (tmp_path / f'label/{name}.txt').write_text(lines)
    return tmp_path


def _build(root: Path, **settings: Any) -> Any:
    # Serializing collects garbage, which takes most of a test's time.
    cfg = dict(type='sci_plugins.DarkFaceDataset', data_root=str(root), serialize_data=False)
    return DATASETS.build(cfg | settings)


def test_records_are_what_mmdet_expects(root: Path) -> None:
    dataset = _build(root)
    records = [dataset.get_data_info(index) for index in range(len(dataset))]
    assert [record['img_id'] for record in records] == ['1', '2', '10']
    record = records[1]
    assert record['img_path'] == str(root / 'image/2.png')
    assert (record['width'], record['height']) == (30, 20)
    assert record['instances'] == [
        dict(bbox=[1, 2, 9, 12], bbox_label=0, ignore_flag=0),
        dict(bbox=[4, 4, 8, 8], bbox_label=0, ignore_flag=0),
    ]
    assert records[0]['instances'] == []
    assert dataset.metainfo['classes'] == ('face',)


def test_boxes_go_through_mmdets_pipeline(root: Path) -> None:
    pipeline = [
        dict(type='mmdet.LoadImageFromFile'),
        dict(type='mmdet.LoadAnnotations', with_bbox=True),
        dict(type='mmdet.PackDetInputs', meta_keys=('img_id', 'instances')),
    ]
    packed = _build(root, pipeline=pipeline)[1]
    assert tuple(packed['inputs'].shape) == (3, 20, 30)
    boxes = packed['data_samples'].gt_instances.bboxes
    assert boxes.tensor.tolist() == [[1, 2, 9, 12], [4, 4, 8, 8]]


def test_empty_images_are_filtered_in_training_only(root: Path) -> None:
    settings: dict = dict(filter_cfg=dict(filter_empty_gt=True))
    assert len(_build(root, **settings)) == 2
    assert len(_build(root, test_mode=True, **settings)) == 3
    assert len(_build(root)) == 3


def test_a_list_chooses_images_and_their_order(root: Path) -> None:
    (root / 'test.txt').write_text('10.png 1 0 0 5 6 1\r\n\r\n2\r\n')
    dataset = _build(root, ann_file='test.txt')
    ids = [dataset.get_data_info(index)['img_id'] for index in range(len(dataset))]
    assert ids == ['10', '2']


def test_other_folders_and_endings(root: Path) -> None:
    (root / 'image').rename(root / 'dark')
    assert len(_build(root, data_prefix=dict(img='dark', label='label'))) == 3
    with pytest.raises(DataError, match=r'no \*.jpg in .*dark'):
        _build(root, data_prefix=dict(img='dark', label='label'), img_suffix='.jpg')


def test_no_folders_are_the_usual_ones(root: Path) -> None:
    assert len(_build(root, data_prefix=None)) == 3


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'folder .* does not exist'):
        _build(tmp_path)


def test_missing_list(root: Path) -> None:
    with pytest.raises(DataError, match=r'none.txt: there is no such list'):
        _build(root, ann_file='none.txt')


def test_listed_image_is_missing(root: Path) -> None:
    (root / 'test.txt').write_text('3\n')
    with pytest.raises(DataError, match=r'3.png: there is no such image'):
        _build(root, ann_file='test.txt')


def test_a_list_that_names_an_image_twice(root: Path) -> None:
    (root / 'test.txt').write_text('2\n10\n2.png\n')
    with pytest.raises(DataError, match=r'test.txt: duplicate image 2'):
        _build(root, ann_file='test.txt')


def test_a_label_without_image(root: Path) -> None:
    (root / 'label/7.txt').write_text('0\n')
    (root / 'label/8.txt').write_text('0\n')
    with pytest.raises(DataError, match=r'label/7.txt: has no image in .*\(2 such'):
        _build(root)
    (root / 'test.txt').write_text('2\n')
    assert len(_build(root, ann_file='test.txt')) == 1


def test_empty_list(root: Path) -> None:
    (root / 'test.txt').write_text('\n')
    with pytest.raises(DataError, match=r'the list .*test.txt is empty'):
        _build(root, ann_file='test.txt')


@pytest.mark.parametrize('content', [b'', b'not a picture'])
def test_unreadable_image(root: Path, content: bytes) -> None:
    (root / 'image/2.png').write_bytes(content)
    with pytest.raises(DataError, match=r'2.png cannot be read as an image'):
        _build(root)


def test_missing_label(root: Path) -> None:
    (root / 'label/2.txt').unlink()
    with pytest.raises(DataError, match=r'2.txt: there is no such label file'):
        _build(root)


def test_label_that_lies(root: Path) -> None:
    (root / 'label/10.txt').write_text('2\n0 0 5 6\n')
    with pytest.raises(DataError, match=r'10.txt, line 1: expected 2 boxes to follow, got 1'):
        _build(root)


@pytest.fixture(scope='module')
def hla(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All images of one split, with as many faces as the annotations of 2019."""
    root = tmp_path_factory.mktemp('hla')
    (root / 'image').mkdir()
    (root / 'label').mkdir()
    picture = root / 'picture.png'
    write_image(picture, np.zeros((20, 30, 3), np.uint8))
    for index, name in enumerate(split_ids('hlaface_val')):
        (root / f'image/{name}.png').hardlink_to(picture)
        faces = 7 + (index < 170)
        (root / f'label/{name}.txt').write_text(f'{faces}\n' + '1 2 9 12\n' * faces)
    return root


def test_a_split_and_its_version(hla: Path) -> None:
    dataset = _build(hla, split='hlaface_val')
    assert len(dataset) == 500
    assert dataset.metainfo['split'] == 'hlaface_val'
    assert dataset.metainfo['annotation_version'] == '2019'
    assert 'split' not in _build(hla).metainfo


def test_the_count_of_all_labels_decides(hla: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The split looks like 2019's, all labels together like 2021's."""
    monkeypatch.setattr(darkface, 'count_faces', lambda folder, ids: 50396)
    assert _build(hla, split='hlaface_val').metainfo['annotation_version'] == '2021'


def test_unknown_annotations_are_told(hla: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(text_labels, 'print_log', lambda text, **_: said.append(text))
    # The fixture's images are smaller than those that the labels are of.
    monkeypatch.setattr(darkface, 'strange_boxes', lambda *_: [])
    _build(hla, split='hlaface_val')
    assert said == []
    monkeypatch.setattr(
        darkface, 'read_upright_boxes', lambda path: read_upright_boxes(path)[path.stem == '3' :]
    )
    dataset = _build(hla, split='hlaface_val')
    assert dataset.metainfo['annotation_version'] == 'unknown'
    (text,) = said
    assert 'expected 3670 faces in hlaface_val (annotations of 2019), got 3669' in text


def test_odd_boxes_are_named_and_kept(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(text_labels, 'print_log', lambda text, **_: said.append(text))
    _build(root)
    assert said == []
    label = root / 'label/2.txt'
    label.write_text('3\n40 30 50 60\n\n-1 2 9 12\n4 4 8 8\n')
    dataset = _build(root)
    assert said == [
        f'DARK FACE: {label}, line 2: box outside the image 40 30 50 60',
        f'DARK FACE: {label}, line 4: box reaching beyond the image -1 2 9 12',
    ]
    assert len(dataset.get_data_info(1)['instances']) == 3


def test_of_many_odd_boxes_a_few_are_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(text_labels, 'print_log', lambda text, **_: said.append(text))
    (root / 'label/2.txt').write_text('8\n' + '1 1 2 2\n' * 8)
    _build(root)
    assert len(said) == 6
    assert said[-1] == 'DARK FACE: and 2 more such boxes'


def test_other_data_has_no_version(root: Path) -> None:
    assert not {'annotation_version', 'split'} & set(_build(root).metainfo)


def test_an_incomplete_split_says_how_much_is_missing(root: Path) -> None:
    words = r'image/3.png: there is no such image \(499 of 500 are missing\)'
    with pytest.raises(DataError, match=words):
        _build(root, split='hlaface_val')


def test_wrong_splits(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"one of regdet_train, .*; got 'test'"):
        _build(root, split='test', lazy_init=True)
    with pytest.raises(ConfigError, match='expected split or ann_file, got both'):
        _build(root, split='all', ann_file='test.txt')


def test_real_images_read(shared_data: Path) -> None:
    dataset = _build(shared_data / 'data/darkface', img_suffix='.png')
    assert len(dataset) == 4
    assert dataset.get_data_info(0)['width'] == 1080
