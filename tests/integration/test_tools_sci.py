"""Fine-tuning and measuring as a user does, at the command line."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from sci_plugins.apis.config import load_config
from sci_plugins.models.enhancers import SCIEnhancer
from tests.tiny_training import draw_images, make_config, make_runner

ROOT = Path(__file__).parents[2]


def _run_tool(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / 'tools' / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300)


@pytest.mark.slow
def test_finetune_and_evaluate_as_a_user_does(tmp_path: Path) -> None:
    """A scene's own weights from ours, then both of them in a table."""
    images = draw_images(tmp_path / 'images', 2)
    (images / 'torn.png').write_text('no image')
    out = tmp_path / 'night.pth'
    done = _run_tool('finetune.py', images, '--out', out, '--steps', 3)
    assert done.returncode == 0, done.stderr
    assert f'{out}: 3 steps, loss ' in done.stdout
    assert done.stderr.count('torn.png') == 1
    assert SCIEnhancer(weights=str(out))
    assert (tmp_path / 'night_before-after.jpg').is_file()

    (images / 'torn.png').unlink()
    json_file = tmp_path / 'quality.json'
    arguments = [images, '--json', json_file, '--pictures', tmp_path / 'pictures']
    variants = ['--variants', 'none', 'sci/sci_plugins/lol', f'sci/{out}']
    done = _run_tool('evaluate_enhancement.py', *arguments, *variants)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()[-5:]
    assert [line.split()[0] for line in lines] == ['variant', *variants[1:], 'means']
    assert len(list((tmp_path / 'pictures').iterdir())) == 2
    content = json.loads(json_file.read_text())
    assert content['images'] == ['0.png', '1.png']
    assert content['variants'][0]['mean']['LOE_side50'] == 0


@pytest.mark.parametrize(
    ('tool', 'arguments', 'message'),
    [
        ('finetune.py', ['nowhere', '--out', 'a.pth'], 'image folder not found: nowhere'),
        ('finetune.py', ['.', '--out', 'a.pth', '--steps', '0'], 'steps must be at least'),
        ('evaluate_enhancement.py', ['nowhere'], 'image folder not found: nowhere'),
        ('train.py', ['nothing.py'], 'config not found: nothing.py'),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tool: str,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'argv', [tool, *arguments])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(ROOT / 'tools' / tool), run_name='__main__')
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(f'error: {message}')
    assert error.count('\n') == 1
    assert list(tmp_path.iterdir()) == []


def test_a_trained_model_is_measured(tmp_path: Path) -> None:
    """`test_dataloader` and `test_evaluator` of the recipes, on pairs of our own."""
    for name in ('low', 'normal'):
        draw_images(tmp_path / 'pairs' / name, 2, (20, 24))
    config = make_config(tmp_path)
    recipe = load_config(str(ROOT / 'configs' / 'sci' / 'sci_code-recipe_lol.py'))
    for key in ('test_dataloader', 'test_cfg', 'test_evaluator'):
        config[key] = recipe[key]
    config.test_dataloader.dataset.data_root = str(tmp_path / 'pairs')
    metrics = make_runner(config).test()
    assert len(metrics) == 6
    assert 0 < metrics['quality/brightness'] < 1
