"""How sets lie on the disk: folders, choices, classes, values, recordings."""

from pathlib import Path

import pytest

from sci_plugins.datasets.acdc import ACDC, DARK_ZURICH, NIGHT_DRIVING, REFERENCE
from sci_plugins.datasets.bdd100k_night import BDD100K
from sci_plugins.datasets.camvid import CAMVID_LAYOUT
from sci_plugins.datasets.night_layouts import (
    CAMVID,
    CITYSCAPES,
    CLASS_NAMES,
    IDS,
    TRAIN_IDS,
    FolderPair,
    LabelCode,
    NightLayout,
    choose,
    describe_colours,
    describe_sizes,
    find_files,
)
from sci_plugins.datasets.nightcity import NIGHTCITY, NIGHTCITY_FINE
from sci_plugins.errors import ConfigError

ROOT = Path('root')
LAYOUTS = [ACDC, REFERENCE, DARK_ZURICH, NIGHT_DRIVING, NIGHTCITY, NIGHTCITY_FINE, BDD100K]


def _folder(
    layout: NightLayout, root: Path, split: str, condition: str | None = None
) -> FolderPair:
    (part,) = layout.parts(root, split, condition)
    return part.folder


def test_ids_are_those_of_cityscapes() -> None:
    """The table in the comments of Cityscapes' own scripts, written out."""
    table = {7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10}
    table |= {24: 11, 25: 12, 26: 13, 27: 14, 28: 15, 31: 16, 32: 17, 33: 18}
    assert {number: CITYSCAPES.index(name) for number, name in IDS.classes.items()} == table
    assert IDS.known() == frozenset([*range(34), 255])


def test_hidden_labels_are_none() -> None:
    assert _folder(ACDC, ROOT, 'test').labels is None
    assert _folder(REFERENCE, ROOT, 'val').labels is None
    assert _folder(ACDC, ROOT, 'val', 'fog').labels == ROOT / 'gt/fog/val'
    assert _folder(BDD100K, ROOT, 'test').labels is None
    assert _folder(DARK_ZURICH, ROOT, 'val').labels == ROOT / 'gt/val/night'


def test_parts_come_condition_by_condition() -> None:
    parts = ACDC.parts(ROOT, ('val', 'train'), ('fog', 'night'))
    assert [(part.name, part.published, part.is_test) for part in parts] == [
        ('fog/val', 100, True),
        ('fog/train', 400, False),
        ('night/val', 106, True),
        ('night/train', 400, False),
    ]
    assert [part.name for part in ACDC.parts(ROOT, 'val')] == ['night/val']


def test_a_condition_of_a_set_without_any() -> None:
    with pytest.raises(ConfigError, match=r"BDD100K: condition must be .*; got 'night'"):
        BDD100K.parts(ROOT, 'val', 'night')


@pytest.mark.parametrize('layout', [*LAYOUTS, CAMVID_LAYOUT], ids=lambda layout: layout.name)
def test_what_is_declared_of_parts_names_parts(layout: NightLayout) -> None:
    names = {part.name for part in layout.parts(ROOT, layout.splits, layout.conditions or None)}
    assert set(layout.counts) <= names
    assert {overlap.part for overlap in layout.overlaps} <= names
    assert set(layout.unlabelled) <= set(layout.splits)


def test_nightcity_fine_has_folders_of_its_own_or_the_originals(tmp_path: Path) -> None:
    assert _folder(NIGHTCITY_FINE, tmp_path, 'val').images == tmp_path / 'val/img'
    (tmp_path / 'images/val').mkdir(parents=True)
    pair = _folder(NIGHTCITY_FINE, tmp_path, 'val')
    assert pair.images == tmp_path / 'images/val'
    assert pair.label_of(pair.images / 'a.png') == tmp_path / 'label/val/a_trainIds.png'
    (tmp_path / 'val/img').mkdir(parents=True)
    assert _folder(NIGHTCITY_FINE, tmp_path, 'val').labels == tmp_path / 'val/lbl'


def test_choices() -> None:
    known = ('a', 'b')
    assert choose('X', 'split', 'a', known) == ('a',)
    assert choose('X', 'split', ['b', 'a'], known) == ('b', 'a')
    for wrong in (None, (), 'c', ['a', 'c'], ['a', 'a']):
        with pytest.raises(ConfigError, match=r'X: split must be .* a, b; got'):
            choose('X', 'split', wrong, known)


def test_cityscapes_is_the_host_s() -> None:
    datasets = pytest.importorskip('mmseg.datasets')
    assert datasets.CityscapesDataset.METAINFO['classes'] == CITYSCAPES


def test_names() -> None:
    assert dict(cityscapes=CITYSCAPES, camvid=CAMVID) == CLASS_NAMES
    assert (len(set(CITYSCAPES)), len(set(CAMVID))) == (19, 11)


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


CODE = LabelCode({0: 'a', 1: 'b', 4: 'c'}, frozenset([5, 255]), 'these are ids')


def test_runs_of_known_values() -> None:
    assert CODE.describe_unknown({99: 3}) == 'contains 99 (3 pixels); expected 0 to 1, 4 to 5, 255'


def test_the_hint_stands_where_it_can_be_true() -> None:
    assert CODE.describe_unknown({33: 1}).endswith('255 (these are ids)')
    assert 'ids' not in CODE.describe_unknown({33: 1, 34: 1})


def test_many_values_are_counted() -> None:
    text = CODE.describe_unknown(dict.fromkeys(range(10, 30), 1))
    assert '17 (1 pixels), 12 more; expected' in text


@pytest.mark.parametrize(
    ('layout', 'name', 'frame', 'recording'),
    [
        (ACDC, 'GOPR0356_frame_000324_rgb_anon.png', 'GOPR0356_frame_000324', 'GOPR0356'),
        (ACDC, 'GP010376_frame_000164.jpg', 'GP010376_frame_000164', 'GP010376'),
        (DARK_ZURICH, 'a/b/GP010376_frame_000164.png', 'GP010376_frame_000164', 'GP010376'),
        (NIGHT_DRIVING, '0_frame_0004_leftImg8bit.png', '0_frame_0004', '0'),
        (CAMVID_LAYOUT, '0006R0_f02670.jpg', '0006R0_f02670', '0006R0'),
        (CAMVID_LAYOUT, '0016E5_08370.jpg', '0016E5_08370', '0016E5'),
        (CAMVID_LAYOUT, 'Seq05VD_f00000.jpg', 'Seq05VD_f00000', 'Seq05VD'),
        (CAMVID_LAYOUT, '0012_0034.png', '0012_0034', None),
        (NIGHTCITY, 'Chicago_0001.png', 'Chicago_0001', None),
        (BDD100K, '7d06fefd-f7be05a6.jpg', '7d06fefd-f7be05a6', None),
    ],
)
def test_frames(layout: NightLayout, name: str, frame: str, recording: str | None) -> None:
    assert layout.frame_name(name) == frame
    assert layout.recording_of(name) == recording


def test_a_set_s_own_suffix_is_no_part_of_a_frame_s_name() -> None:
    layout = NightLayout('mine', 'a', 'b', '_photo.jpg', '.png')
    assert layout.frame_name('a/7_photo.jpg') == layout.frame_name('other/7_rgb_anon.png') == '7'


def test_a_photograph_by_day_is_not_the_frame() -> None:
    name = 'GOPR0356_frame_000324_rgb_ref_anon.png'
    assert ACDC.frame_name(name) != 'GOPR0356_frame_000324'
    assert REFERENCE.recording_of(name) == 'GOPR0356'


def test_values_that_change() -> None:
    """Only they are looked for in each label map; road is class 0 and id 7."""
    assert TRAIN_IDS.label_map() is None
    assert CAMVID_LAYOUT.code.label_map() == {11: 255}
    table = IDS.label_map()
    assert table is not None
    assert (table[7], table[33], table[0], table[30]) == (0, 18, 255, 255)
    assert 255 not in table
    assert IDS.label_map({0: 1, **dict.fromkeys(range(1, 19), 255)})[7] == 1
    assert TRAIN_IDS.label_map({0: 0, 1: 255}) == {1: 255}


def test_sentences() -> None:
    told = describe_colours('x.png', (4, 6, 3))
    assert told.startswith('x.png: expected one channel')
    assert told.endswith('(3 channels)')
    assert describe_sizes('l', (2, 3), 'i', (4, 5)) == 'l: is 3x2, its image i is 5x4'
