"""A folder of submission files: the numbers, and what is said about odd files."""

import json
import math
import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sci_plugins import registry
from sci_plugins.apis.evaluate_darkface import DEFINITIONS, SubmissionResult, evaluate_submission
from sci_plugins.datasets.darkface import split_ids
from sci_plugins.errors import ConfigError, DataError, MissingDependencyError
from sci_plugins.utils.images import write_image
from tests.run_tool import run_tool_process

TOOL = Path(__file__).resolve().parents[3] / 'tools/evaluate_darkface.py'


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Predictions and data set of images 2 and 10; two faces are there, one found."""
    found, root = tmp_path / 'found', tmp_path / 'data'
    for folder in (found, root / 'image', root / 'label'):
        folder.mkdir(parents=True)
    for name in ('2', '10'):
        write_image(root / f'image/{name}.png', np.zeros((30, 40, 3), np.uint8))
        (root / f'label/{name}.txt').write_text('1\n5 5 14 14\n')
    (found / '2.txt').write_text('5 5 14 14 0.9\n')
    (found / '10.txt').write_text('20 20 29 29 0.5\n')
    return found, root


def _evaluate(folders: tuple[Path, Path], **options: bool) -> SubmissionResult:
    return evaluate_submission(*folders, coco=False, **options)


@pytest.mark.parametrize('name', ['plain', 'ties', 'empties'])
def test_the_octave_tools_numbers(shared_data: Path, tmp_path: Path, name: str) -> None:
    """From files, as the official tool reads them."""
    path = shared_data / f'golden/darkface_ap/{name}.json'
    content = json.loads(path.read_text())
    for folder, key, with_count in (('gt', 'gts', True), ('found', 'preds', False)):
        (tmp_path / folder).mkdir()
        for image, rows in content[key].items():
            lines = [str(len(rows))] * with_count + [' '.join(map(str, r)) for r in rows]
            (tmp_path / folder / f'{image}.txt').write_text('\n'.join(lines))
    result = evaluate_submission(tmp_path / 'found', tmp_path / 'gt', coco=False)
    assert result.numbers['darkface/AP'] == pytest.approx(content['official_ap'], abs=1e-9)
    assert result.missing == result.extra == []
    assert result.images == len(content['gts'])


def test_every_number_and_its_definition(folders: tuple[Path, Path]) -> None:
    pytest.importorskip('pycocotools')
    result = evaluate_submission(*folders)
    assert set(result.numbers) == {f'darkface/{name}' for name in DEFINITIONS}
    assert result.numbers['darkface/AP'] == 0.5
    content = json.loads(result.to_json())
    assert content['darkface/AP'] == 0.5
    assert content['darkface/COCO_AP50_above_32px'] is None
    assert content['images'] == content['faces'] == content['predictions'] == 2
    assert set(content['definitions']) == set(result.numbers)
    assert content['annotation_version'] == content['protocol']['annotation_version'] == 'unknown'
    assert content['protocol']['data_set'] == 'DARK FACE'
    assert content['protocol']['split'] == 'unknown'
    assert len(content['protocol']['truth_sha256']) == 64
    text = result.to_text()
    assert all(name in text for name in result.numbers)
    assert '0.5000' in text
    assert max(map(len, text.splitlines())) <= 90


def test_a_clean_submission_needs_no_remark(folders: tuple[Path, Path]) -> None:
    result = _evaluate(folders, strict=True)
    assert result.warnings() == []


def test_a_folder_of_labels_alone(folders: tuple[Path, Path]) -> None:
    found, root = folders
    alone = evaluate_submission(found, root / 'label', coco=False)
    assert alone.numbers == _evaluate(folders).numbers


def test_harmless_variants(folders: tuple[Path, Path]) -> None:
    found, root = folders
    (found / '2.txt').write_bytes(b'\r\n5.0 5 14 14 9e-1\r\n\r\n')
    (root / 'label/2.txt').write_bytes(b'1\r\n\r\n5 5.0 14 14\r\n')
    result = _evaluate(folders, strict=True)
    assert result.numbers['darkface/AP'] == 0.5


def test_a_missing_file_is_no_detection_and_said_aloud(folders: tuple[Path, Path]) -> None:
    (folders[0] / '2.txt').unlink()
    result = _evaluate(folders)
    assert result.numbers['darkface/AP'] == 0
    assert result.missing == ['2']
    (warning,) = result.warnings()
    assert warning.startswith('1 of 2 images have no prediction file')
    assert warning.endswith(': 2')
    assert json.loads(result.to_json())['missing_predictions'] == ['2']
    with pytest.raises(DataError, match=r'found/2.txt: no such .*\(1 missing'):
        _evaluate(folders, strict=True)


def test_an_extra_file_is_named(folders: tuple[Path, Path]) -> None:
    (folders[0] / '7.txt').write_text('5 5 14 14 0.9\n')
    result = _evaluate(folders)
    assert result.numbers == _evaluate(folders).numbers
    assert result.extra == [str(folders[0] / '7.txt')]
    assert '7.txt' in result.warnings()[0]
    with pytest.raises(DataError, match=r'7.txt: belongs to no evaluated image'):
        _evaluate(folders, strict=True)


def _label(text: str) -> Callable[[Path, Path], object]:
    return lambda found, root: (root / 'label/2.txt').write_text(text)


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (_label('2\n5 5 14 14\n9 9 9 12\n'), 'label/2.txt, line 3: empty or inverted'),
        (_label('2\n5 5 14 14\n9 9 1 12\n'), 'label/2.txt, line 3: empty or inverted'),
        (_label('2\n5 5 14 14\n40 9 45 12\n'), 'line 3: box outside the image 40 9'),
        (_label('2\n5 5 14 14\n39 9 45 12\n'), 'line 3: box reaching beyond'),
        (_label('2\n5 5 14 14\n5 5 14 14\n'), 'line 3: duplicate box'),
        (lambda found, root: (root / 'image/2.png').unlink(), 'label/2.txt: label without image'),
        (
            lambda found, root: (root / 'image/2.png').rename(root / 'image/3.png'),
            'image/3.png: image without label, not evaluated',
        ),
        (
            lambda found, root: (found / '2.txt').write_text('9 9 5 5 .1\n5 5 14 14 .9'),
            "found/2.txt, line 1: inverted box '9 9 5 5 .1'",
        ),
        (
            lambda found, root: (found / '2.txt').write_text('5 5 4 4 .9\n6 6 2 2 .8\n'),
            '2 of 3 predicted boxes are inverted: .* not x y width height',
        ),
    ],
)
def test_odd_files_are_evaluated_and_named(
    folders: tuple[Path, Path], change: Callable, words: str
) -> None:
    change(*folders)
    result = _evaluate(folders)
    assert result.images == 2
    assert any(re.search(words, remark) for remark in result.remarks), result.remarks
    assert any(re.search(words, warning) for warning in result.warnings())
    with pytest.raises(DataError, match='--strict'):
        _evaluate(folders, strict=True)


def test_inverted_truth_counts_as_in_the_official_tool(folders: tuple[Path, Path]) -> None:
    """It stays in the recall's denominator: one of three boxes is found."""
    _label('2\n5 5 14 14\n9 9 1 12\n')(*folders)
    assert _evaluate(folders).numbers['darkface/AP'] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (_label('2\n5 5 14 14\n'), 'label/2.txt, line 1: expected 2 boxes to follow, got 1'),
        (_label('1\n5 5 14 nan\n'), 'label/2.txt, line 2: expected four finite'),
        (_label(''), 'label/2.txt, line 1: expected the number of boxes, got an empty file'),
        (
            lambda found, root: (found / '2.txt').write_text('1\n5 5 14 14 0.9\n'),
            "found/2.txt, line 1: expected five finite numbers .*, got '1'",
        ),
        (
            lambda found, root: (found / '2.txt').write_text('5 5 14 14 0.9\n5 5 x\n'),
            'found/2.txt, line 2: expected five finite numbers',
        ),
    ],
)
def test_what_cannot_be_read_is_refused(
    folders: tuple[Path, Path], change: Callable, words: str
) -> None:
    change(*folders)
    with pytest.raises(DataError, match=words):
        _evaluate(folders)


def test_wrong_folders(folders: tuple[Path, Path], tmp_path: Path) -> None:
    found, root = folders
    for pair in ((tmp_path / 'none', root), (found, tmp_path / 'none')):
        with pytest.raises(DataError, match=r'none: no such folder'):
            _evaluate(pair)
    with pytest.raises(DataError, match=r'no ID.txt for any of the 2 images'):
        _evaluate((root, root))
    with pytest.raises(DataError, match=r'no label file \(ID.txt\)'):
        _evaluate((found, root / 'image'))


def test_a_split_chooses_the_images(folders: tuple[Path, Path]) -> None:
    found, root = folders
    ids = split_ids('hlaface_val')
    for name in ids:
        (root / f'label/{name}.txt').write_text('1\n5 5 14 14\n')
    (found / f'{ids[7]}.txt').write_text('5 5 14 14 0.9\n')
    result = evaluate_submission(found, root, split='hlaface_val', coco=False)
    assert result.images == 500
    assert result.numbers['darkface/AP'] == pytest.approx(len(set(ids) & {ids[7], '2'}) / 500)
    assert result.split == 'hlaface_val'
    (root / f'label/{ids[0]}.txt').unlink()
    with pytest.raises(DataError, match='there is no such label file'):
        evaluate_submission(found, root, split='hlaface_val', coco=False)
    with pytest.raises(ConfigError, match='split must be one of'):
        evaluate_submission(found, root, split='val', coco=False)


def test_split_and_version_are_recognised(tmp_path: Path) -> None:
    """A folder of exactly a split's labels, with as many faces as 2019's."""
    for folder in ('found', 'label'):
        (tmp_path / folder).mkdir()
    for index, name in enumerate(split_ids('hlaface_val')):
        faces = 7 + (index < 170)
        boxes = ''.join(f'{x} 2 39 12\n' for x in range(faces))
        (tmp_path / f'label/{name}.txt').write_text(f'{faces}\n{boxes}')
    (tmp_path / 'found/3.txt').write_text('')
    result = evaluate_submission(tmp_path / 'found', tmp_path / 'label', coco=False)
    assert (result.split, result.annotation_version) == ('hlaface_val', '2019')
    assert 'split hlaface_val' in result.to_text()
    assert len(result.missing) == 499
    assert result.warnings()[0].endswith(', ...')


def test_no_faces_at_all_have_no_number(folders: tuple[Path, Path]) -> None:
    for name in ('2', '10'):
        (folders[1] / f'label/{name}.txt').write_text('0\n')
    result = _evaluate(folders)
    assert math.isnan(result.numbers['darkface/AP'])
    assert json.loads(result.to_json())['darkface/AP'] is None
    assert 'none' in result.to_text()


def test_without_pycocotools(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, 'find_spec', lambda _: None)
    with pytest.raises(MissingDependencyError, match='--no-coco leaves it out'):
        evaluate_submission(*folders)
    assert _evaluate(folders).numbers['darkface/AP'] == 0.5


def test_the_tool(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (folders[0] / '2.txt').unlink()
    path = tmp_path / 'out/result.json'
    code, out, err = run_tool_process('evaluate_darkface', *folders, '--json', path, '--no-coco')
    assert code == 0, err
    assert 'warning: 1 of 2 images have no prediction file' in err
    assert 'darkface/AP ' in out
    assert json.loads(path.read_text())['darkface/AP'] == 0


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (['--strict'], 'error: .*2.txt: no such prediction file'),
        (['--split', 'nothing'], 'error: split must be one of'),
    ],
)
def test_the_tool_refuses(
    folders: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    words: str,
) -> None:
    (folders[0] / '2.txt').unlink()
    path = folders[0].parent / 'result.json'
    arguments = [*map(str, folders), '--no-coco', '--json', str(path), *options]
    monkeypatch.setattr(sys, 'argv', ['evaluate_darkface.py', *arguments])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(TOOL), run_name='__main__')
    assert end.value.code == 2
    assert re.match(words, capsys.readouterr().err)
    assert not path.exists()
