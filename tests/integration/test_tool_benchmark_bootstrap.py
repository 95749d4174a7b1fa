"""Both tasks' intervals, at the command line."""

import json
from pathlib import Path

import pytest

from tests.run_tool import run_tool

pytest.importorskip('pycocotools')

SIZES = ('--images', 8, '--predictions', 12, '--streets', 7, '--classes', 3)


def test_bootstrap_as_a_user_does(tmp_path: Path) -> None:
    out = tmp_path / 'bootstrap.json'
    arguments = (*SIZES, '--resamples', 20, '--runs', 2, '--json', out)
    code, text, errors = run_tool('benchmark', 'bootstrap', *arguments)
    assert code == 0, errors
    content = json.loads(out.read_text())
    for task in ('faces', 'streets'):
        assert content[task]['about'] in text
        assert content[task]['difference'] < 1e-9
        times = [timing['median_ms'] for timing in content[task]['timings'].values()]
        assert all(f'{time:,.1f} ms' in text for time in times)
    assert content['streets']['about'] == 'streets: 7 images, 3 classes'
    assert text.splitlines()[0].startswith(content['machine']['cpu'])


def test_no_resample() -> None:
    code, _, errors = run_tool('benchmark', 'bootstrap', '--resamples', 0)
    assert code == 2
    assert errors == 'error: resamples must be at least 1, got 0\n'
