"""Checks by name, and tools/prepare_data.py as a user runs it."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from sci_plugins.apis.prepare_data import check_data, parse_size
from sci_plugins.errors import ConfigError
from sci_plugins.utils.images import write_image
from tests.run_tool import run_tool_process

MAKER = Path(__file__).resolve().parents[2] / 'data/make_night_sets.py'
TOOL = Path(__file__).resolve().parents[3] / 'tools/prepare_data.py'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / 'image').mkdir()
    (tmp_path / 'label').mkdir()
    write_image(tmp_path / 'image/1.png', np.zeros((20, 30, 3), np.uint8))
    (tmp_path / 'label/1.txt').write_text('1\n0 0 9 9\n')
    return tmp_path


def test_a_check_by_name(root: Path) -> None:
    assert check_data('darkface', root, size=(30, 20)).errors == []
    assert check_data('darkface', str(root)).errors[0].kind == 'wrong size'


def test_an_unknown_name(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"one of darkface.*; got 'faces'"):
        check_data('faces', root)


def test_sizes() -> None:
    assert parse_size('1080x720') == parse_size('1080X720') == (1080, 720)
    for text in ('1080', 'x720', '1080x', '10x-2', 'axb'):
        with pytest.raises(ConfigError, match=f"WIDTHxHEIGHT in pixels, got '{text}'"):
            parse_size(text)


def test_every_night_set_has_a_check(tmp_path: Path) -> None:
    make = runpy.run_path(str(MAKER))
    for name, write in (
        ('acdc', 'write_acdc'),
        ('darkzurich', 'write_dark_zurich'),
        ('nightdriving', 'write_night_driving'),
        ('nightcity', 'write_nightcity'),
        ('bdd100k', 'write_bdd100k'),
        ('camvid', 'write_camvid'),
    ):
        root = make[write](tmp_path / name)
        assert check_data(name, root).errors == []


def test_the_tool_fails_where_training_would(root: Path) -> None:
    (root / 'label/1.txt').write_text('2\n0 0 9 9\n')
    path = root / 'report.json'
    code, out, err = run_tool_process(
        'prepare_data', 'darkface', root, '--size', '30x20', '--json', path
    )
    assert code == 1, err
    assert 'ERROR: unreadable label (1)' in out
    assert f'{root}/label/1.txt, line 1: expected 2 boxes to follow, got 1' in out
    assert json.loads(path.read_text())['usable'] is False


def test_the_tools_options_for_night_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """In one process, for each start takes seconds."""
    make = runpy.run_path(str(MAKER))
    acdc, bdd = make['write_acdc'](tmp_path / 'a'), make['write_bdd100k'](tmp_path / 'b')
    zurich, city = tmp_path / 'z', tmp_path / 'c'
    make['write_dark_zurich'](zurich)
    make['write_nightcity'](city, release='fine')
    path = tmp_path / 'report.json'
    for arguments, code, words in (
        (['acdc', acdc, '--json', path], 0, 'Zurich val, which are among'),
        (['acdc', acdc, '--condition', 'fog'], 2, 'nothing to check'),
        (['darkzurich', zurich, '--against', acdc, '--content'], 1, 'by its pixels'),
        (['nightcity', city, '--release', 'fine', '--workers', 1], 0, 'NightCity-fine'),
        (['bdd100k', bdd, '--write-lists', tmp_path / 'lists'], 0, 'dawn/dusk'),
        (['bdd100k', bdd, '--attributes', 'none.json'], 2, 'no such label file'),
    ):
        monkeypatch.setattr(sys, 'argv', ['prepare_data.py', *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(TOOL), run_name='__main__')
        told = capsys.readouterr()
        assert end.value.code == code, arguments
        assert words in told.out + told.err
    assert json.loads(path.read_text())['usable'] is True
    assert (tmp_path / 'lists/night_val.txt').is_file()


def test_the_tools_other_ends(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one process, for each start takes seconds."""
    for arguments, code in (
        (['darkface', root, '--size', '30x20'], 0),
        (['darkface', root / 'none'], 2),
        (['darkface', root, '--size', '30'], 2),
        (['darkface', root, '--split', 'test'], 2),
        (['nothing', root], 2),
    ):
        monkeypatch.setattr(sys, 'argv', ['prepare_data.py', *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(TOOL), run_name='__main__')
        assert end.value.code == code, arguments
