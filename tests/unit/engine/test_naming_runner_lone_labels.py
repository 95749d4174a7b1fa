"""Label maps whose image is missing, in a data set that only looks for images."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sci_plugins.engine import naming_runner as lone_labels
from sci_plugins.engine.naming_runner import tell_lone_labels


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    texts: list[str] = []
    monkeypatch.setattr(lone_labels, 'print_log', lambda text, **_: texts.append(text))
    return texts


@pytest.fixture
def dataset(tmp_path: Path) -> Any:
    for name in ('images/a/1.jpg', 'images/2.jpg', 'labels/a/1_id.png', 'labels/2_id.png'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / 'labels/2_color.png').touch()
    return SimpleNamespace(
        data_prefix=dict(img_path=str(tmp_path / 'images'), seg_map_path=str(tmp_path / 'labels')),
        img_suffix='.jpg',
        seg_map_suffix='_id.png',
        ann_file='',
    )


def test_nothing_is_said_where_each_has_its_image(dataset: Any, said: list[str]) -> None:
    tell_lone_labels(dataset)
    assert said == []


@pytest.mark.parametrize('depth', [0, 1, 2])
def test_the_first_is_named_and_all_are_counted(
    tmp_path: Path, dataset: Any, said: list[str], depth: int
) -> None:
    """Also in data sets that hold others."""
    (tmp_path / 'images/a/1.jpg').unlink()
    (tmp_path / 'labels/3_id.png').touch()
    if depth > 0:
        dataset = SimpleNamespace(dataset=dataset)
    if depth > 1:
        dataset = SimpleNamespace(datasets=[dataset])
    tell_lone_labels(dataset)
    assert said == [
        f'{tmp_path}/labels/3_id.png has no image in {tmp_path}/images: ignored 2 such label maps'
    ]


@pytest.mark.parametrize(
    'change',
    [
        dict(ann_file='some.txt'),
        dict(data_prefix=dict(img_path='s3://images', seg_map_path='s3://labels')),
        dict(data_prefix=dict(img_path='images')),
        dict(data_prefix=None),
        dict(img_suffix=None),
    ],
)
def test_what_cannot_be_told(tmp_path: Path, dataset: Any, said: list[str], change: dict) -> None:
    (tmp_path / 'images/2.jpg').unlink()
    tell_lone_labels(SimpleNamespace(**vars(dataset) | change))
    tell_lone_labels([1, 2])
    assert said == []
