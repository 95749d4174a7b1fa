"""Checks by name, and tools/prepare_data.py as a user runs it."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sci_plugins.apis.prepare_data import check_data, parse_size
from sci_plugins.errors import ConfigError
from sci_plugins.utils.images import write_image

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


def _run(*arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, TOOL, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_tool_fails_where_training_would(root: Path) -> None:
    (root / 'label/1.txt').write_text('2\n0 0 9 9\n')
    path = root / 'report.json'
    done = _run('darkface', root, '--size', '30x20', '--json', path)
    assert done.returncode == 1, done.stderr
    assert 'ERROR: unreadable label (1)' in done.stdout
    assert f'{root}/label/1.txt, line 1: promises 2 boxes, but 1 follow' in done.stdout
    assert json.loads(path.read_text())['usable'] is False


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
