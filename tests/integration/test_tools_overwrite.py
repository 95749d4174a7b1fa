"""Every tool, with an output that is a user's file: refused in one line before work begins."""

from pathlib import Path

import numpy as np
import pytest

from sci_plugins.utils.images import write_image
from tests.run_tool import run_tool

PRECIOUS = b'precious'
TOOLS = {
    'evaluate_darkface.py': ['found', 'truth', '--json', '{file}'],
    'evaluate_segmentation.py --json': ['found', 'truth', '--num-classes', '2', '--json', '{file}'],
    'evaluate_segmentation.py --records': [
        *('found', 'truth', '--num-classes', '2', '--records', '{file}')
    ],
    'evaluate_enhancement.py --json': ['photos', '--json', '{file}'],
    'evaluate_enhancement.py --pictures': ['photos', '--pictures', '.', '--variants', 'gamma'],
    'prepare_data.py': ['darkface', 'data', '--json', '{file}'],
    'benchmark.py': ['enhancer', '--json', '{file}'],
    'finetune.py --out': ['photos', '--out', '{file}', '--steps', '1'],
    'finetune.py sheet': ['photos', '--out', 'mine.pth', '--steps', '1'],
    'demo.py': ['--out', '.'],
}


@pytest.fixture()
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / 'photos' / 'a.png', np.full((20, 20, 3), 30, np.uint8))
    for name in ('mine', 'a.jpg', 'mine_before-after.jpg', 'README.md'):
        (tmp_path / name).write_bytes(PRECIOUS)
    return tmp_path


@pytest.mark.parametrize('tool', list(TOOLS))
def test_a_users_file_is_not_written_over(here: Path, tool: str) -> None:
    script = tool.split('.py')[0]
    arguments = [each.replace('{file}', 'mine') for each in TOOLS[tool]]
    code, _, err = run_tool(script, *arguments)
    assert code == 2, err
    assert 'exists and was not written by this package' in err
    assert len(err.strip().splitlines()) == 1
    for name in ('mine', 'a.jpg', 'mine_before-after.jpg', 'README.md'):
        assert (here / name).read_bytes() == PRECIOUS
    assert not (here / 'mine.pth').exists()


def test_the_first_example_of_finetune_keeps_the_photograph(here: Path) -> None:
    write_image(here / 'night.jpg', np.full((24, 24, 3), 30, np.uint8))
    before = (here / 'night.jpg').read_bytes()
    code, _, err = run_tool('finetune', 'night.jpg', '--out', 'night.pth', '--steps', '2')
    assert code == 0, err
    assert (here / 'night.jpg').read_bytes() == before
    assert (here / 'night_before-after.jpg').is_file()
    code, _, err = run_tool('finetune', 'night.jpg', '--out', 'night.jpg', '--overwrite')
    assert code == 2
    assert 'it is the input' in err
    assert (here / 'night.jpg').read_bytes() == before
