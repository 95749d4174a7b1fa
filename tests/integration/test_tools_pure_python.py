"""The tools on configs in MMEngine's pure-Python style, and with test-time augmentation."""

import json
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from sci_plugins.utils.checkpoint import read_checkpoint
from tests.host_models import TYPES
from tests.run_tool import run_tool

pytest.importorskip('mmdet')
pytest.importorskip('mmseg')

TINY = runpy.run_path(str(Path(__file__).parents[1] / 'data' / 'make_tiny.py'))
HOSTS = dict(detection='mmdet', segmentation='mmseg')
METRICS = dict(detection='coco/bbox_mAP', segmentation='mIoU')


class Pair(NamedTuple):
    """One experiment as a text config and with classes for names, and its checkpoint."""

    kind: str
    text: Path
    pure: Path
    checkpoint: Path


@pytest.fixture(scope='module', params=list(METRICS))
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    text = TINY[f'write_{request.param}'](tmp_path_factory.mktemp(request.param))
    pure = TINY['write_pure_python'](text)
    assert 'type=LoadImageFromFile)' in pure.read_text()
    assert 'default_scope = None' in pure.read_text()
    return Pair(request.param, text, pure, TINY['write_checkpoint'](text))


@pytest.fixture(scope='module', autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _run(name: str, *arguments: object) -> str:
    code, out, err = run_tool(name, *arguments)
    assert code == 0, err
    return out


def _tested(pair: Pair, config: Path, folder: Path, *options: object) -> dict[str, float]:
    _run('test', config, pair.checkpoint, '--work-dir', folder, *options)
    found: dict[str, float] = json.loads((folder / 'metrics.json').read_text())
    return found


def _compared(pair: Pair, config: Path, folder: Path, *options: object) -> list[dict[str, float]]:
    _run('compare', config, pair.checkpoint, '--work-dir', folder, *options)
    content = json.loads((folder / 'comparison.json').read_text())
    for result in content['results']:
        is_base = result['variant'] == content['about']['base']
        assert (result['analysis'] is None) == is_base, result['note']
    return [result['metrics'] for result in content['results']]


def test_training(pair: Pair, tmp_path: Path) -> None:
    for iters in (1, 2):
        options = ['--resume', '--cfg-options', f'train_cfg.max_iters={iters}']
        _run('train', pair.pure, '--work-dir', tmp_path, *options)
    assert read_checkpoint(tmp_path / 'iter_2.pth')['meta']['iter'] == 2


@pytest.mark.parametrize(
    'tta', [[], pytest.param(['--tta'], marks=pytest.mark.slow)], ids=['plain', 'tta']
)
def test_testing_and_comparing(pair: Pair, tmp_path: Path, tta: list[str]) -> None:
    """The same numbers as those of the text config, also as another model's config."""
    pure = _tested(pair, pair.pure, tmp_path / 'pure', *tta)
    assert pure == _tested(pair, pair.text, tmp_path / 'text', *tta)
    plain = _tested(pair, pair.pure, tmp_path / 'plain') if tta else pure
    assert (pure != plain) == bool(tta)
    models = [f'{name}={getattr(pair, name)},{pair.checkpoint}' for name in ('text', 'pure')]
    options = ['--variants', 'none', 'gamma/0.4', '--models', *models, '--pictures', 1]
    darken = ['--darken', 'none', '0.05:0.01']
    found = _compared(pair, pair.pure, tmp_path / 'compare', *options, *darken, *tta)
    none, gamma, text, other = found[:4]
    metric = METRICS[pair.kind]
    assert none[metric] == text[metric] == other[metric] == pure[metric]
    assert gamma != none
    assert found[4] != none  # darkened
    assert found[4] == found[6] == found[7]


def test_the_two_keys(pair: Pair, tmp_path: Path) -> None:
    prefix, kind = 'model.data_preprocessor', TYPES[HOSTS[pair.kind]]
    keys = ['--cfg-options', f'{prefix}.type={kind}', f'{prefix}.enhancer=gamma/0.4']
    tested = _tested(pair, pair.pure, tmp_path / 'test', *keys)
    options = ['--variants', 'config', 'none', '--pictures', 0, '--tta']
    config, none = _compared(pair, pair.pure, tmp_path / 'compare', *options, *keys)
    metric = METRICS[pair.kind]
    assert config[metric] != none[metric]
    assert config[metric] != tested[metric]  # without --tta
    tested = _tested(pair, pair.pure, tmp_path / 'test_tta', *keys, '--tta')
    assert config[metric] == tested[metric]


@pytest.mark.parametrize('tool', ['test', 'compare'])
@pytest.mark.parametrize('key', ['tta_model', 'tta_pipeline'])
def test_a_missing_key_of_tta_is_named(pair: Pair, tmp_path: Path, tool: str, key: str) -> None:
    options = ['--tta', '--cfg-options', f'{key}=None', '--work-dir', tmp_path / 'work']
    code, _, err = run_tool(tool, pair.text, pair.checkpoint, *options)
    assert code == 2
    assert (
        err.splitlines()[-1] == f'error: --tta needs {key}, which config {pair.text} does not have'
    )
    assert not (tmp_path / 'work').exists()


def test_merging_is_not_for_several_views(pair: Pair, tmp_path: Path) -> None:
    options = ['--tta', '--variants', 'none', 'merge(gamma)', '--work-dir', tmp_path / 'work']
    code, _, err = run_tool('compare', pair.text, pair.checkpoint, *options)
    assert code == 2
    assert "variant 'merge(gamma)' cannot be combined with --tta" in err.splitlines()[-1]
