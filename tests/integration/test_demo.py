"""The demo as a user runs it, the networks that it ships, and their configs."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from sci_plugins.demo import CONDITIONS, prepare_demo
from sci_plugins.demo.run import TASKS
from sci_plugins.utils.checkpoint import read_checkpoint

pytest.importorskip('mmdet')
pytest.importorskip('mmseg')
pytest.importorskip('skimage')

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / 'configs' / 'demo'
WEIGHTS = ROOT / 'sci_plugins' / 'demo'
IMAGES = 4


@pytest.mark.parametrize('task', TASKS.values(), ids=list(TASKS))
def test_an_sci_config_differs_by_the_data_preprocessor_alone(task: tuple) -> None:
    plain = Config.fromfile(CONFIGS / task.config).to_dict()
    sci = Config.fromfile(CONFIGS / task.config.replace('.py', '_sci.py')).to_dict()
    before, after = (cfg['model'].pop('data_preprocessor') for cfg in (plain, sci))
    assert plain == sci
    assert {key for key in after if after[key] != before.get(key)} == {'type', 'enhancer'}


@pytest.mark.parametrize('task', TASKS.values(), ids=list(TASKS))
def test_shipped_networks_fit_their_configs_and_carry_their_recipe(task: tuple) -> None:
    path = WEIGHTS / task.weights
    assert path.stat().st_size < 2_000_000
    assert (
        hashlib.sha256(path.read_bytes()).hexdigest() in (WEIGHTS / 'demo_networks.md').read_text()
    )
    cfg = Config.fromfile(CONFIGS / task.config)
    content = read_checkpoint(path)
    init_default_scope(cfg.default_scope)
    MODELS.build(cfg.model).load_state_dict(content['state_dict'], strict=True)
    recipe = content['meta']
    assert task.config in recipe['command']
    assert recipe['epochs'] == cfg.max_epochs
    assert recipe['seed'] == cfg.randomness.seed
    assert recipe['versions']['torch']


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    counts = dict(faces_test=IMAGES, streets_test=IMAGES)
    return prepare_demo(tmp_path_factory.mktemp('data'), counts=counts, progress=False)


def _demo(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / 'tools' / 'demo.py'), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_demo(data: Path, tmp_path: Path) -> None:
    done = _demo('--out', tmp_path, '--data', data, '--images', IMAGES)
    assert done.returncode == 0, done.stderr
    assert '| faces (bbox_mAP_50) | bright' in done.stdout
    results = json.loads((tmp_path / 'results.json').read_text())['results']
    assert len(results) == len(TASKS) * len(CONDITIONS)
    value = {(row['task'], row['condition']['name']): row['values']['none'] for row in results}
    assert all(0 <= v <= 100 for row in results for v in row['values'].values())
    # Trained by day: good there, worse in the dark. A random network fails this.
    assert value['faces', 'bright'] > 0.7 > value['faces', 'dark']
    assert value['streets', 'bright'] > 50 > value['streets', 'dark']
    for task in TASKS:
        for condition in CONDITIONS:
            assert list((tmp_path / 'pictures' / f'{task}_{condition}').glob('*.jpg'))
            assert (tmp_path / task / condition / 'comparison.md').is_file()


def test_a_mistake_is_one_line(data: Path, tmp_path: Path) -> None:
    out = tmp_path / 'out'
    done = _demo('--out', out, '--data', data, '--enhancer', 'magic')
    assert done.returncode == 2
    assert 'magic' in done.stderr.strip().splitlines()[-1]
    assert 'Traceback' not in done.stderr
    assert not list(out.rglob('*.md'))
