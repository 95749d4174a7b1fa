"""Images and label maps are matched by the paths below their folders."""

from pathlib import Path

import pytest

from sci_plugins.datasets.night_layouts import FolderPair, find_files


@pytest.fixture
def pair(tmp_path: Path) -> FolderPair:
    for name in ('b/2_x.png', 'a/1_x.png', 'a/1_other.png', 'a/.3_x.png', '.c/4_x.png'):
        path = tmp_path / 'images' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for name in ('a/1_y.png', 'b/9_y.png'):
        path = tmp_path / 'labels' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return FolderPair(tmp_path / 'images', tmp_path / 'labels', '_x.png', '_y.png')


def test_images_in_order_without_hidden_ones(pair: FolderPair) -> None:
    names = [image.relative_to(pair.images).as_posix() for image in pair.find_images()]
    assert names == ['a/1_x.png', 'b/2_x.png']


def test_label_of_an_image(pair: FolderPair) -> None:
    image = pair.images / 'b/2_x.png'
    assert pair.label_of(image) == pair.labels / 'b/2_y.png'
    assert pair._replace(labels=None).label_of(image) is None


def test_labels_without_image(pair: FolderPair) -> None:
    alone = pair.labels_without_image(pair.find_images())
    assert alone == [pair.labels / 'b/9_y.png']
    assert pair._replace(labels=None).labels_without_image([]) == []


def test_links_to_folders_are_followed(pair: FolderPair, tmp_path: Path) -> None:
    (tmp_path / 'other').mkdir()
    (tmp_path / 'other/a').symlink_to(pair.images / 'a', target_is_directory=True)
    found = set(find_files(tmp_path / 'other', '_x.png'))
    assert found == {tmp_path / 'other/a/1_x.png'}
    assert list(find_files(tmp_path / 'none', '.png')) == []
