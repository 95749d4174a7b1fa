"""The subsets of publications, and choosing classes by name."""

import pytest

from sci_plugins.datasets.night_layouts import CITYSCAPES
from sci_plugins.errors import ConfigError
from sci_plugins.evaluation.segmentation_records import SUBSETS, choose_classes


@pytest.mark.parametrize('size', [19, 15, 5])
def test_sizes(size: int) -> None:
    assert len(SUBSETS[size]) == size
    chosen = choose_classes(size, CITYSCAPES)
    assert set(chosen) == set(SUBSETS[size])
    assert chosen == tuple(name for name in CITYSCAPES if name in chosen)


def test_fifteen_lack_iats_four() -> None:
    left_out = set(CITYSCAPES) - set(SUBSETS[15])
    assert left_out == {'rider', 'truck', 'bus', 'motorcycle'}


def test_five_are_those_beside_the_papers_pictures() -> None:
    """Road, fence, traffic sign, sky and train, by Cityscapes' trainIds."""
    assert [CITYSCAPES.index(name) for name in SUBSETS[5]] == [0, 4, 7, 10, 16]


@pytest.mark.parametrize('size', [19, 15, 5])
def test_the_order_is_the_data_sets(size: int) -> None:
    mixed = ('void', *reversed(CITYSCAPES), 'ego vehicle')
    chosen = choose_classes(size, mixed)
    assert chosen == tuple(name for name in mixed if name in SUBSETS[size])
    assert len(chosen) == size


def test_names_and_all() -> None:
    assert choose_classes(['sky', 'road'], CITYSCAPES) == ('road', 'sky')
    assert choose_classes('sky', CITYSCAPES) == ('sky',)
    assert choose_classes(None, ('a', 'b')) == ('a', 'b')


def test_mistakes() -> None:
    with pytest.raises(ConfigError, match='19, 15, 5 or a list of names, got 11'):
        choose_classes(11, CITYSCAPES)
    with pytest.raises(ConfigError, match="classes=5 needs 'fence', 'train'; the classes are"):
        choose_classes(5, ('road', 'sky', 'traffic sign'))
    with pytest.raises(ConfigError, match="needs 'pavement'"):
        choose_classes(['pavement'], CITYSCAPES)
    for names in ([], ['sky', 'sky']):
        with pytest.raises(ConfigError, match='different names, at least one'):
            choose_classes(names, CITYSCAPES)
