"""Which file belongs to which, in the layouts that people have."""

from pathlib import Path

import pytest

from sci_plugins.apis.evaluate_segmentation import LabelPairs, pair_label_maps
from sci_plugins.errors import ConfigError, DataError

REC = 'GOPR0351'


def _touch(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b'')
    return folder


def _files(found: LabelPairs, pred: Path, true: Path) -> list[tuple[str, str]]:
    return [
        (str(pair.prediction.relative_to(pred)), str(pair.truth.relative_to(true)))
        for pair in found.pairs
        if pair.there
    ]


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / 'pred', tmp_path / 'gt'


def test_same_names_in_subfolders(folders: tuple[Path, Path]) -> None:
    names = ('b/1.png', 'a/1.png', 'a/c/2.PNG', '3.png')
    pred = _touch(folders[0], *names, '.hidden.png', '.cache/9.png', 'notes.txt')
    true = _touch(folders[1], *names)
    found = pair_label_maps(pred, true)
    assert _files(found, pred, true) == [(name, name) for name in sorted(names)]
    assert [pair.name for pair in found.pairs] == ['3', 'a/1', 'a/c/2', 'b/1']
    assert (found.missing, found.extra, found.rule) == ([], [], '')


def test_missing_and_extra(folders: tuple[Path, Path]) -> None:
    pred = _touch(folders[0], '1.png', 'x/9.png')
    true = _touch(folders[1], '1.png', 'x/2.png', '3.png')
    found = pair_label_maps(pred, true)
    assert [pair.name for pair in found.pairs] == ['1', '3', 'x/2']
    assert [pair.prediction for pair in found.missing] == [pred / '3.png', pred / 'x/2.png']
    assert found.extra == [pred / 'x/9.png']


ACDC = (f'{REC}/1_gt_labelTrainIds.png', f'{REC}/2_gt_labelTrainIds.png')
OTHER_KINDS = tuple(
    name.replace('labelTrainIds', kind)
    for name in ACDC
    for kind in ('labelIds', 'labelColor', 'invIds')
)


@pytest.mark.parametrize(
    ('predicted', 'rule'),
    [
        ((f'{REC}/1.png', f'{REC}/2.png'), 'NAME.png with ground truth NAME_gt_labelTrainIds'),
        (
            (f'{REC}/1_rgb_anon.png', f'{REC}/2_rgb_anon.png'),
            'NAME_rgb_anon.png with ground truth NAME_gt_labelTrainIds.png',
        ),
        (('1_rgb_anon.png', '2_rgb_anon.png'), 'by file name alone, whatever the folder'),
        (('1.png', '2.png'), 'by file name alone, whatever the folder'),
        (ACDC, ''),
    ],
)
def test_acdc(folders: tuple[Path, Path], predicted: tuple[str, ...], rule: str) -> None:
    """Ids, colours and inverted ids lie beside the trainIds."""
    pred, true = _touch(folders[0], *predicted), _touch(folders[1], *ACDC, *OTHER_KINDS)
    found = pair_label_maps(pred, true)
    assert _files(found, pred, true) == list(zip(predicted, ACDC, strict=True))
    assert (found.missing, found.extra) == ([], [])
    assert rule in found.rule
    assert bool(rule) == bool(found.rule)


@pytest.mark.parametrize(
    ('prediction', 'truth'),
    [
        ('leverkusen/7_leftImg8bit.png', 'leverkusen/7_gtFine_labelTrainIds.png'),
        ('0_leftImg8bit.png', 'night/0_gtCoarse_labelTrainIds.png'),
        ('Image_9.png', 'Image_9_trainIds.png'),
        ('val/Image_9.png', 'Image_9.png'),
    ],
)
def test_other_layouts(folders: tuple[Path, Path], prediction: str, truth: str) -> None:
    pred, true = _touch(folders[0], prediction), _touch(folders[1], truth)
    assert _files(pair_label_maps(pred, true), pred, true) == [(prediction, truth)]


def test_suffixes_by_hand(folders: tuple[Path, Path]) -> None:
    pred = _touch(folders[0], 'a/1_out.png', 'a/1.png')
    true = _touch(folders[1], 'a/1_mask.png', 'a/2_mask.png', 'a/1.png')
    found = pair_label_maps(pred, true, '_out.png', '_mask.png')
    assert _files(found, pred, true) == [('a/1_out.png', 'a/1_mask.png')]
    assert [pair.prediction for pair in found.missing] == [pred / 'a/2_out.png']
    assert (found.extra, found.rule) == ([], '')
    one = pair_label_maps(pred, true, gt_suffix='_mask.png')
    assert _files(one, pred, true) == [('a/1.png', 'a/1_mask.png')]


def test_several_layouts_fit(folders: tuple[Path, Path]) -> None:
    pred = _touch(folders[0], '1.png', '1_rgb_anon.png')
    true = _touch(folders[1], '1_gt_labelTrainIds.png')
    with pytest.raises(ConfigError, match=r'several ways: .*; or .*; choose with --pred'):
        pair_label_maps(pred, true)
    found = pair_label_maps(pred, true, '_rgb_anon.png', '_gt_labelTrainIds.png')
    assert found.pairs[0].prediction.name == '1_rgb_anon.png'


def test_names_in_several_folders_are_not_told_apart(folders: tuple[Path, Path]) -> None:
    pred, true = _touch(folders[0], '1.png'), _touch(folders[1], 'a/1.png', 'b/1.png')
    with pytest.raises(DataError, match=r'pred: no prediction .* such as a/1.png; set --pr'):
        pair_label_maps(pred, true)


def test_linked_folders(folders: tuple[Path, Path], tmp_path: Path) -> None:
    pred, true = _touch(folders[0], 'a/1.png'), _touch(folders[1])
    (true / 'a').symlink_to(_touch(tmp_path / 'elsewhere', '1.png'))
    (tmp_path / 'elsewhere/again').symlink_to(true)
    assert [pair.name for pair in pair_label_maps(pred, true).pairs] == ['a/1']


def test_mistakes(folders: tuple[Path, Path], tmp_path: Path) -> None:
    pred, true = _touch(folders[0], '1.png'), _touch(folders[1], '1.png')
    for pair in ((tmp_path / 'none', true), (pred, tmp_path / 'none')):
        with pytest.raises(DataError, match='none: no such folder'):
            pair_label_maps(*pair)
    with pytest.raises(ConfigError, match='pred is given both as predictions and as ground truth'):
        pair_label_maps(pred, pred.parent / 'pred')
    with pytest.raises(ConfigError, match=r"must end in .png, got '_x.jpg'"):
        pair_label_maps(pred, true, '_x.jpg')
    with pytest.raises(DataError, match=r'gt: no label maps \(\*_x.png\)'):
        pair_label_maps(pred, true, gt_suffix='_x.png')
    empty = _touch(tmp_path / 'empty', 'x.jpg')
    for pair in ((empty, true), (pred, empty)):
        with pytest.raises(DataError, match=r'empty: no label maps \(\*.png\)'):
            pair_label_maps(*pair)
