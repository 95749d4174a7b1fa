"""Annotation files in COCO's format: what is refused, what is only told, what is fine."""

import copy
import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmengine.registry import init_default_scope

from sci_plugins.datasets import coco_check
from sci_plugins.datasets.coco_check import check_coco
from sci_plugins.engine.naming_runner import NamingRunner
from sci_plugins.errors import DataError

NAN, INF = math.nan, math.inf


def _content() -> dict[str, Any]:
    """Three images; five boxes, one of them a crowd; two classes; keys of no concern."""
    images = [
        dict(id=number, file_name=f'{number}.png', width=64, height=48, license=3, coco_url='x')
        for number in (7, 8, 9)
    ]
    annotations = [
        dict(
            id=number,
            image_id=7 + number % 2,
            category_id=1 + number % 2,
            bbox=[4.5, 4, 10, 12.25],
            area=122.5,
            iscrowd=int(number == 3),
            segmentation=[[1, 2, 3, 4, 5, 6]],
        )
        for number in range(5)
    ]
    categories = [dict(id=1, name='face', supercategory='x'), dict(id=2, name='car')]
    return dict(info={}, images=images, annotations=annotations, categories=categories)


@pytest.fixture()
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(coco_check, 'print_log', lambda line, **_: lines.append(line))
    return lines


@pytest.fixture()
def path(tmp_path: Path) -> Path:
    return tmp_path / 'coco.json'


def _write(path: Path, content: Any) -> None:
    coco_check._check.cache_clear()
    path.write_text(json.dumps(content))


def _refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        check_coco(path)
    message = str(caught.value)
    assert message.startswith(f'{path}: ')
    assert '\n' not in message
    return message.removeprefix(f'{path}: ')


def _set(kind: str, index: int, key: str, value: Any) -> Callable[[dict], None]:
    return lambda content: content[kind][index].update({key: value})


#: Place, values of another kind, and what is said before "got ...".
WRONG: list[tuple[str, int, str, tuple, str]] = [
    ('images', 1, 'id', (None, True, [], {}, NAN, INF), 'a whole number or text or a finite'),
    ('images', 2, 'file_name', (None, 3, [], 'a\0b', '\ud800'), 'text'),
    ('images', 0, 'width', (None, 'x', 0, -3, 0.5, NAN, INF, 10**400), 'a number from 1 to 1e+06'),
    ('images', 0, 'height', ('48', [48], False), 'a number from 1 to 1e+06'),
    ('categories', 1, 'id', (None, [1]), 'a whole number or text or a finite'),
    ('categories', 1, 'name', (None, 1, ['x']), 'text'),
    ('annotations', 3, 'id', (None, {}), 'a whole number or text or a finite'),
    ('annotations', 3, 'image_id', (None, [7], True), 'a whole number or text or a finite'),
    ('annotations', 3, 'category_id', (None, {}, False), 'a whole number or text or a finite'),
    ('annotations', 3, 'bbox', (None, 'x', {}, 5, [], [1, 2, 3], [1, 2, 3, 4, 5]), 'a list of 4'),
    ('annotations', 3, 'area', (None, 'x', NAN, INF, [], 10**400), 'a number from -1e+18 to 1e+18'),
    ('annotations', 3, 'iscrowd', ('x', 0.5, []), 'a whole number or true or false or null'),
]  # fmt: skip


@pytest.mark.parametrize(('kind', 'index', 'key', 'values', 'wish'), WRONG)
def test_a_value_of_another_kind(
    path: Path, kind: str, index: int, key: str, values: tuple, wish: str
) -> None:
    for value in values:
        content = _content()
        content[kind][index][key] = value
        _write(path, content)
        assert _refusal(path).startswith(f'{kind}[{index}].{key}: expected {wish}')
    if key != 'iscrowd':
        del content[kind][index][key]
        _write(path, content)
        assert _refusal(path) == f'{kind}[{index}]: {key} is missing'


@pytest.mark.parametrize('value', [None, 'x', NAN, INF, -INF, 1e30, 10**400, [], True])
def test_an_edge_of_a_box(path: Path, value: Any) -> None:
    content = _content()
    content['annotations'][4]['bbox'][2] = value
    _write(path, content)
    assert _refusal(path).startswith('annotations[4].bbox[2]: expected a number from -1e+09 to')


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (_set('images', 1, 'file_name', ''), "images[1].file_name: expected a name, got ''"),
        (_set('images', 2, 'id', 7), 'images[2].id: duplicate 7'),
        (_set('annotations', 3, 'id', 1), 'annotations[3].id: duplicate 1'),
        (_set('categories', 1, 'id', 1), 'categories[1].id: duplicate 1'),
        (_set('categories', 1, 'name', 'face'), "categories[1].name: duplicate 'face'"),
        (_set('annotations', 2, 'category_id', 9),
         'annotations[2].category_id: expected the id of a category, got 9'),
        (lambda content: [each.update(image_id='7') for each in content['annotations']],
         "annotations[0].image_id: expected the id of an image, got '7'"),
        (lambda content: content.pop('images'), 'images is missing'),
        (lambda content: content.pop('categories'), 'categories is missing'),
        (lambda content: content.update(images={}), 'images: expected a list, got an object'),
        (lambda content: content.update(annotations=None),
         'annotations: expected a list, got null'),
        (lambda content: content['images'].insert(1, None),
         'images[1]: expected an object, got null'),
        (lambda content: content['annotations'].append([]),
         'annotations[5]: expected an object, got a list of 0'),
    ],
)  # fmt: skip
def test_what_does_not_fit_together(path: Path, change: Callable, message: str) -> None:
    content = _content()
    change(content)
    _write(path, content)
    assert _refusal(path) == message


@pytest.mark.parametrize(
    'content', [b'', b'{"images": [', b'\xef\xbb\xbf{}', b'[' * 10**5, b'[]', b'null', b'3']
)
def test_what_is_no_coco_file(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert _refusal(path).startswith('expected ')
    path.write_bytes(json.dumps(_content()).encode('utf-16'))
    assert _refusal(path).startswith('expected JSON in UTF-8')


@pytest.mark.parametrize(
    ('change', 'line'),
    [
        (_set('annotations', 2, 'image_id', 99),
         'annotations[2].image_id: 99 is the id of no image: ignored 1 such annotations'),
        (_set('annotations', 1, 'bbox', [3, 3, 0, 5.5]),
         'annotations[1].bbox: empty, width and height (0, 5.5): ignored 1 such boxes'),
        (_set('images', 2, 'file_name', '7.png'),
         "images[2].file_name: duplicate '7.png': 1 such images are tested twice"),
    ],
)  # fmt: skip
def test_what_is_passed_over_is_told_once(
    path: Path, told: list[str], change: Callable, line: str
) -> None:
    content = _content()
    change(content)
    _write(path, content)
    for _ in range(2):
        check_coco(path)
    assert told == [f'{path}: {line}']


def test_what_is_passed_over_is_counted(path: Path, told: list[str]) -> None:
    content = _content()
    for each in content['annotations'][2:]:
        each['image_id'] = 99
    _write(path, content)
    check_coco(path)
    (line,) = told
    assert line.endswith(
        'annotations[2].image_id: 99 is the id of no image: ignored 3 such annotations'
    )


def test_what_coco_allows_is_fine(path: Path, told: list[str], shared_data: Path) -> None:
    content = _content()
    for each in content['annotations']:
        each['id'] = f'a{each["id"]}'
        each['bbox'][0] = -3
    del content['annotations'][0]['iscrowd']
    content['annotations'][1]['iscrowd'] = True
    for kind, key in (('images', 'id'), ('annotations', 'image_id')):
        for each in content[kind]:
            each[key] = float(each[key])
    _write(path, content)
    check_coco(path)
    del content['annotations']  # of a test set that was not published
    _write(path, content)
    check_coco(path, scored=True)
    for name in ('facemask/coco.json', 'coco/annotations/instances_val2017.json'):
        check_coco(shared_data / 'data' / name, scored=True)
    check_coco('s3://bucket/coco.json')  # read by the host, from elsewhere
    assert told == []


def test_a_score_needs_iscrowd(path: Path) -> None:
    content = _content()
    del content['annotations'][2]['iscrowd']
    _write(path, content)
    check_coco(path)
    with pytest.raises(DataError, match=r'annotations\[2\]: iscrowd is missing'):
        check_coco(path, scored=True)


def test_a_file_that_has_changed_is_read_again(path: Path) -> None:
    _write(path, _content())
    check_coco(path)
    path.write_text('{}')
    assert _refusal(path) == 'images is missing'


def test_edits_at_random(path: Path, tmp_path: Path) -> None:
    """What is let through, mmdet reads without an error."""
    mmdet = pytest.importorskip('mmdet.datasets')
    values = (None, True, -1, 0, 3.5, NAN, INF, 10**400, 'x', '', [], [1], {}, dict(a=1))
    rng, through = random.Random(1), 0
    for _ in range(80):
        content = copy.deepcopy(_content())
        kind = rng.choice(['images', 'annotations', 'categories'])
        each = rng.choice(content[kind])
        each[rng.choice(sorted(each))] = rng.choice(values)
        _write(path, content)
        try:
            check_coco(path)
        except DataError:
            continue
        through += 1
        options = dict(metainfo=dict(classes=('face', 'car')), data_prefix=dict(img='images'))
        mmdet.CocoDataset(ann_file=str(path), pipeline=[], serialize_data=False, **options)
    assert 10 < through < 50


RUNS = [3000, 50, 22]  # of the pixels of an image, 48 by 64
POLYGON = [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ('mask', 'message'),
    [
        (None, ': expected polygons or a run-length code, got null'),
        ([], ': expected polygons or a run-length code, got a list of 0'),
        ('x', ": expected polygons or a run-length code, got 'x'"),
        (5, ': expected polygons or a run-length code, got 5'),
        (POLYGON, '[0]: expected a list of numbers, got 1'),
        ([POLYGON, None], '[1]: expected a list of numbers, got null'),
        ([[*POLYGON, 'x', 7]], '[0]: expected a list of numbers, got a list of 8'),
        ([[*POLYGON, NAN, 7]], '[0]: expected a list of numbers, got a list of 8'),
        ([[INF] * 6], '[0]: expected a list of numbers, got a list of 6'),
        ([[[1, 2]] * 3], '[0]: expected a list of numbers, got a list of 3'),
        ({}, '.size: expected [48, 64] as of the image, got null'),
        (dict(size=[64, 48], counts=RUNS), '.size: expected [48, 64] as of the image, got a list'),
        (dict(size=[10**6] * 2, counts=RUNS), '.size: expected [48, 64]'),
        (dict(size=[48, 64], counts=[3000]), '.counts: expected the lengths of runs of 3072'),
        (dict(size=[48, 64], counts=[3073]), '.counts: expected the lengths of runs of 3072'),
        (dict(size=[48, 64], counts=[3073, -1]), '.counts: expected the lengths of runs of 3072'),
        (dict(size=[48, 64], counts=[3072.0]), '.counts: expected the lengths of runs of 3072'),
        (dict(size=[48, 64], counts=None), '.counts: expected the lengths of runs of 3072'),
        (dict(size=[48, 64], counts=''), '.counts: expected the lengths of runs of 3072'),
        (dict(size=[48, 64], counts='o' * 10**5), '.counts: expected the lengths of runs of'),
        (dict(size=[48, 64], counts='~0'), '.counts: expected the lengths of runs of 3072'),
    ],
)
@pytest.mark.parametrize('scored', [False, True])
def test_masks(path: Path, mask: Any, message: str, scored: bool) -> None:
    content = _content()
    content['annotations'][3]['segmentation'] = mask
    _write(path, content)
    check_coco(path, scored)  # nobody reads it
    with pytest.raises(DataError) as caught:
        check_coco(path, scored, masks=True)
    assert str(caught.value).startswith(f'{path}: annotations[3].segmentation{message}')
    assert '\n' not in str(caught.value)


def test_polygons_that_only_mmdet_passes_over(path: Path, told: list[str]) -> None:
    content, line = _content(), 'annotations[3].segmentation: expected x, y of three points or more'
    content['annotations'][3]['segmentation'] = [POLYGON[:4], POLYGON, [7] * 9]
    _write(path, content)
    check_coco(path, masks=True)
    assert told == [f'{path}: {line}, got 4 numbers: ignored 2 such']
    with pytest.raises(DataError, match='points or more, got 4 numbers'):
        check_coco(path, scored=True, masks=True)


def test_masks_that_are_let_through_can_be_drawn(shared_data: Path) -> None:
    """By pycocotools, whose own codes pass too."""
    tools = pytest.importorskip('pycocotools.mask')
    rng, through = random.Random(0), 0
    numbers = np.random.default_rng(0)
    for share in (0, 0.001, 0.5, 1):
        drawn = np.asfortranarray(numbers.random((48, 64)) < share, np.uint8)
        code = tools.encode(drawn)['counts'].decode()
        for edit in range(101):
            letters = list(code)
            if edit:
                letters[rng.randrange(len(code))] = chr(rng.randrange(40, 120))
            mask = dict(size=[48, 64], counts=''.join(letters))
            fits = not coco_check.wrong_mask(mask, [48, 64])
            assert fits or edit
            if fits:
                through += 1
                runs = coco_check._counts_of(mask['counts'])
                assert tools.decode(mask).sum() == sum(runs[1::2])
    assert 4 < through < 300
    check_coco(shared_data / 'data/coco/annotations/instances_val2017.json', True, masks=True)


def test_masks_are_looked_at_where_they_are_used(path: Path) -> None:
    pytest.importorskip('mmdet')
    init_default_scope('mmdet')
    content = _content()
    content['annotations'][3]['segmentation'] = [None]
    _write(path, content)
    runner: Any = NamingRunner.__new__(NamingRunner)
    for metric in ('segm', ['bbox', 'segm']):
        with pytest.raises(DataError, match=r'\[3\]\.segmentation\[0\]: expected a list'):
            runner.build_evaluator(dict(type='CocoMetric', ann_file=str(path), metric=metric))
    runner.build_evaluator(dict(type='CocoMetric', ann_file=str(path), metric='bbox'))
    steps = [dict(type='LoadAnnotations', with_bbox=True, with_mask=True)]
    cfg = dict(type='CocoDataset', ann_file=str(path), pipeline=steps)
    with pytest.raises(DataError, match=r'\[3\]\.segmentation\[0\]: expected a list'):
        NamingRunner.build_dataloader(dict(dataset=cfg))


def test_every_tool_checks_before_it_runs(path: Path) -> None:
    """Also mmdet's own data set and metric, as classes or by name."""
    metric = pytest.importorskip('mmdet.evaluation').CocoMetric
    init_default_scope('mmdet')
    content = _content()
    content['images'][2]['id'] = 7
    _write(path, content)
    cfg = dict(type='CocoDataset', data_root=str(path.parent), ann_file='coco.json')
    repeated = dict(type='RepeatDataset', times=2, dataset=cfg)
    with pytest.raises(DataError, match=r'images\[2\]\.id: duplicate 7'):
        NamingRunner.build_dataloader(dict(dataset=repeated))
    runner: Any = NamingRunner.__new__(NamingRunner)
    for kind in (metric, 'CocoMetric', 'mmdet.CocoMetric'):
        for build in (list, lambda found: dict(type='Evaluator', metrics=list(found))):
            with pytest.raises(DataError, match=r'images\[2\]\.id: duplicate 7'):
                runner.build_evaluator(build([dict(type=kind, ann_file=str(path))]))
