"""Every tool, with an output that is a user's file: refused in one line before work begins."""

import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from sci_plugins import SCIEnhancer, save_enhancer
from sci_plugins.utils.images import write_image
from tests.run_tool import TOOLS as FOLDER
from tests.run_tool import run_tool

TINY = runpy.run_path(str(Path(__file__).parents[1] / 'data' / 'make_tiny.py'))
PRECIOUS = b'precious'
ADAPTIVE = 'AdaptiveSCIEnhancer()'
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
    'tune.py': ['pixels', '--images', 'photos', '--out', 'mine', '--enhancer', ADAPTIVE],
    'tune.py --resume': ['pixels', '--images', 'photos', '--out', '{file}', '--resume'],
    'explain.py': ['photos', '--json', '{file}'],
    'demo.py': ['--out', '.'],
    'export.py': ['--enhancer-only', '--enhancer', 'gamma', '--out', '{file}'],
    'board.py': ['board.yml', '--page', 'README.md'],
    'compare_predictions.py': ['a=photos', '--gt', 'photos', '--work-dir', '.'],
    'reproduce.py': ['acdc', 'photos', '--model', 'segformer_mit-b0', '--work-dir', '.'],
}
MINE = ('mine', 'a.jpg', 'mine_before-after.jpg', 'README.md', 'comparison.md', 'reproduce.txt')


@pytest.fixture()
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ('a', 'b'):
        write_image(tmp_path / 'photos' / f'{name}.png', np.full((20, 20, 3), 30, np.uint8))
    for name in MINE:
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
    for name in MINE:
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


#: Tools that read files, and one of these named as an output.
INPUTS = {
    'evaluate_segmentation --json': [
        'maps',
        'photos',
        '--num-classes',
        '2',
        '--json',
        'maps/0.png',
    ],
    'evaluate_segmentation --records': [
        *('maps', 'photos', '--num-classes', '2', '--records', 'photos/a.png')
    ],
    'evaluate_darkface': ['maps', 'photos', '--json', './maps/0.txt'],
    'evaluate_enhancement': ['photos', '--json', 'maps/../photos/a.png'],
    'evaluate_enhancement --reference': [
        *('maps', '--reference', 'photos', '--json', 'photos/a.png')
    ],
    'prepare_data': ['darkface', 'maps', '--json', 'maps/0.txt'],
    'finetune': ['photos', '--out', 'photos/a.png'],
    'finetune --enhancer': ['photos', '--enhancer', 'sci/start.pth', '--out', './start.pth'],
    'explain': ['photos', '--json', 'photos/a.png'],
    'tune --images': ['pixels', '--images', 'photos', '--out', 'photos/b.png'],
    'tune --as-they-are': [
        *('pixels', '--images', 'photos', '--as-they-are', 'maps', '--out', 'maps/0.png')
    ],
    'tune --enhancer': [
        *('pixels', '--images', 'photos', '--enhancer', 'sci/start.pth', '--out', 'start.pth')
    ],
    'tune CHECKPOINT': ['config.py', 'start.pth', '--images', 'photos', '--out', 'start.pth'],
}


@pytest.mark.parametrize('tool', list(INPUTS))
def test_nothing_allows_an_input_to_be_written_over(here: Path, tool: str) -> None:
    """Not --overwrite, and not our own mark, which enhanced photographs have too."""
    write_image(here / 'maps' / '0.png', np.zeros((20, 20), np.uint8))
    save_enhancer(SCIEnhancer(), here / 'start.pth')
    (here / 'maps' / '0.txt').write_text('1 2 3 4 0.5\n')
    before = {path: path.read_bytes() for path in here.rglob('*') if path.is_file()}
    code, _, err = run_tool(tool.split()[0], *INPUTS[tool], '--overwrite')
    assert code == 2, err
    assert 'input' in err
    assert len(err.strip().splitlines()) == 1
    assert before == {path: path.read_bytes() for path in here.rglob('*') if path.is_file()}


def test_results_may_lie_beside_the_inputs(here: Path) -> None:
    write_image(here / 'maps' / '0.png', np.zeros((20, 20), np.uint8))
    shutil.copytree(here / 'maps', here / 'truth')
    arguments = ['maps', 'truth', '--num-classes', '2', '--json', 'maps/result.json']
    for _ in range(2):
        code, _, err = run_tool('evaluate_segmentation', *arguments)
        assert code == 0, err


@pytest.fixture()
def host(here: Path) -> Path:
    """A config and its checkpoint, and a work dir that is the user's own folder."""
    pytest.importorskip('mmseg')
    (here / 'comparison.md').unlink()
    config = TINY['write_segmentation'](here / 'set')
    shutil.copy(TINY['write_checkpoint'](config), here / 'model.pth')
    (here / 'config.py').write_text(f"_base_ = '{config}'  # mine\n")
    return here


@pytest.mark.parametrize(
    ('tool', 'name'),
    [
        ('test', 'metrics.json'),
        *[('compare', name) for name in ('comparison.json', 'comparison.md', 'report.html')],
        ('train', 'enhancer.pth'),
        ('train', 'iter_1.pth'),
    ],
)
def test_files_of_a_fixed_name_in_a_work_dir(host: Path, tool: str, name: str) -> None:
    (host / name).write_bytes(PRECIOUS)
    arguments = [] if tool == 'train' else ['model.pth']
    if name == 'enhancer.pth':
        hook = "dict(type='sci_plugins.ExportEnhancerHook', module='data_preprocessor.enhancer')"
        kind = "dict(type='sci_plugins.EnhancedSegDataPreProcessor', enhancer='gamma')"
        text = f'custom_hooks = [{hook}]\nmodel = dict(data_preprocessor={kind})\n'
        (host / 'config.py').write_text((host / 'config.py').read_text() + text)
    code, _, err = run_tool(tool, 'config.py', *arguments, '--work-dir', '.')
    assert code == 2, err
    last = err.strip().splitlines()[-1]
    assert f'{name} exists and ' in last
    assert '--overwrite' not in last  # these tools have no such option
    assert (host / name).read_bytes() == PRECIOUS


def test_a_config_in_the_work_dir_stays_as_it_is(host: Path) -> None:
    before = (host / 'config.py').read_bytes()
    for tool, more in (('train', []), ('test', ['model.pth'])):
        code, _, err = run_tool(tool, 'config.py', *more, '--work-dir', '.')
        assert code == 0, err
        assert (host / 'config.py').read_bytes() == before
    copies = list(host.glob('*/vis_data/config.py'))
    assert copies
    assert all('test_dataloader' in path.read_text() for path in copies)


def test_a_run_does_not_write_over_what_it_starts_from(host: Path) -> None:
    one = ['config.py', '--work-dir', 'work', '--cfg-options', 'train_cfg.max_iters=1']
    assert run_tool('train', *one)[0] == 0
    first = (host / 'work' / 'iter_1.pth').read_bytes()
    code, _, err = run_tool('train', *one, 'load_from=work/iter_1.pth')
    assert code == 2
    assert 'load_from: this run may write over work/iter_1.pth' in err
    assert (host / 'work' / 'iter_1.pth').read_bytes() == first
    assert (host / 'work' / 'config.py').read_text().startswith('# Written by sci_plugins ')
    torch.manual_seed(1)
    assert run_tool('train', *one)[0] == 0  # anew, over an earlier run of ours
    assert run_tool('train', *one[:-1], 'train_cfg.max_iters=2', '--resume')[0] == 0
    assert 'max_iters=2' in (host / 'work' / 'config.py').read_text()


def test_every_tool_is_tried() -> None:
    """enhance.py and video.py have tests of their own; the three with a work dir are above."""
    tried = {tool.split('.py')[0] for tool in TOOLS} | {'enhance', 'video'}
    tried |= {'train', 'test', 'compare'}
    assert tried == {path.stem for path in FOLDER.glob('*.py')}
