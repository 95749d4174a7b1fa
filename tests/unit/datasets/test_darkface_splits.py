"""The split files: sizes, sources that can be made again, counts of faces."""

import hashlib
from pathlib import Path

import pytest

from sci_plugins.datasets.darkface import (
    SPLITS,
    annotation_version,
    ids_sha256,
    recognise_split,
    split_ids,
)
from sci_plugins.errors import ConfigError

PAIRS = [
    ('regdet_train', 'regdet_test'),
    ('hlaface_train', 'hlaface_val'),
    ('hashed_train', 'hashed_test'),
]
#: What was public when the lists were taken over: sha256 of the sorted ids.
HASHES = {
    'regdet_test': ('889d18e59a5dd1886d6d87d155778c77a183244608b1591918be29d2c3059d2e'),
    'hlaface_val': ('f9ae8275b9b312cd57ac549739a7738bd5b111e1606d2dabb6bc0a3670585459'),
}


@pytest.mark.parametrize('name', list(SPLITS))
def test_sizes_and_ids(name: str) -> None:
    ids = split_ids(name)
    assert len(ids) == len(set(ids)) == SPLITS[name].images
    numbers = [int(text) for text in ids]
    assert numbers == sorted(numbers)
    assert set(numbers) <= set(range(1, 6001))
    assert [str(number) for number in numbers] == ids


@pytest.mark.parametrize(('train', 'test'), PAIRS)
def test_two_parts_make_the_whole(train: str, test: str) -> None:
    one, two = set(split_ids(train)), set(split_ids(test))
    assert not one & two
    assert one | two == set(split_ids('all'))
    faces = SPLITS[train].faces_2019 + SPLITS[test].faces_2019
    assert faces == SPLITS['all'].faces_2019 == 43849


@pytest.mark.parametrize(('name', 'sha256'), HASHES.items())
def test_the_public_lists_are_unchanged(name: str, sha256: str) -> None:
    assert ids_sha256(split_ids(name)) == sha256


def test_the_hashed_split_follows_its_rule() -> None:
    order = sorted(range(1, 6001), key=lambda n: hashlib.sha256(b'%d' % n).digest())
    assert set(split_ids('hashed_test')) == {str(number) for number in order[:600]}


@pytest.mark.parametrize('name', list(SPLITS))
def test_a_split_is_recognised_by_its_images(name: str) -> None:
    ids = split_ids(name)
    assert recognise_split(reversed(ids)) == name
    assert recognise_split(ids[1:]) is None
    assert recognise_split([*ids[1:], 'x']) is None


def test_the_hash_does_not_depend_on_the_order() -> None:
    assert ids_sha256(['10', '2']) == ids_sha256(['2', '10']) != ids_sha256(['2', '1'])


@pytest.mark.parametrize('part', ['train', 'test'])
def test_regdets_lists(shared_data: Path, part: str) -> None:
    path = shared_data / f'data/darkface/annotations_{part}.txt'
    names = [line.split()[0] for line in path.read_text().splitlines()]
    assert {name.removesuffix('.png') for name in names} == set(split_ids(f'regdet_{part}'))


@pytest.mark.parametrize('name', list(SPLITS))
def test_faces_of_2019(shared_data: Path, name: str) -> None:
    faces = {}
    for part in ('train', 'test'):
        path = shared_data / f'data/darkface/annotations_{part}.txt'
        for line in path.read_text().splitlines():
            image, count, *_ = line.split()
            faces[image.removesuffix('.png')] = int(count)
    assert sum(faces[image] for image in split_ids(name)) == SPLITS[name].faces_2019


@pytest.mark.parametrize(
    ('faces', 'split', 'version'),
    [
        (43849, 'all', '2019'),
        (50396, 'all', '2021'),
        (43850, 'all', 'unknown'),
        (7116, 'regdet_test', '2019'),
        (7116, 'all', 'unknown'),
        (8000, 'regdet_test', 'unknown'),
    ],
)
def test_versions(faces: int, split: str, version: str) -> None:
    assert annotation_version(faces, split) == version


def test_an_unknown_split_lists_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"one of regdet_train, .*, all; got 'test'"):
        split_ids('test')
    with pytest.raises(ConfigError, match='split must be one of'):
        annotation_version(1, 'test')
