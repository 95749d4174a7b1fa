"""The demo's bookkeeping: which images, which table, which words."""

import json
from pathlib import Path
from typing import Any

import pytest

from sci_plugins.demo import CONDITIONS
from sci_plugins.demo import run as demo
from sci_plugins.errors import ConfigError
from sci_plugins.evaluation.analysis import VariantAnalysis
from sci_plugins.evaluation.bootstrap import Interval
from sci_plugins.evaluation.comparison import Comparison, VariantResult
from sci_plugins.evaluation.conditions import Condition

CONFIGS = Path(__file__).resolve().parents[3] / 'configs' / 'demo'
SCI = 'sci/some/file.pth'
GATED = f'gated/{SCI}'


def _fake_compare(cfg: Any, checkpoint: str, variants: list, **settings: Any) -> Any:
    """What comes out depends on the images alone: SCI adds 2 in the dark."""
    assert Path(checkpoint).name.startswith('demo_')
    prefix = cfg.test_dataloader.dataset.data_prefix
    folder = prefix.get('img', prefix.get('img_path'))
    change = 2.0 if folder.endswith('_dark') else -2.0
    metric = 'coco/bbox_mAP_50' if 'img' in prefix else 'mIoU'
    pictures = settings['work_dir'] / 'pictures' / 'as-is'
    pictures.mkdir(parents=True)
    (pictures / '0000_1.jpg').write_text(folder)
    assert settings['metric'] == metric.removeprefix('coco/')
    changes = dict.fromkeys(variants, 0.0)
    changes[SCI] = change
    results = [
        VariantResult(
            name,
            Condition(),
            {'other': 9.0, metric: 0.5 + each},
            1.0,
            60,
            analysis=None if name == 'none' else _analysis(each),
        )
        for name, each in changes.items()
    ]
    return Comparison({}, results)


def _analysis(change: float) -> VariantAnalysis:
    interval = dict(m=Interval(change, change - 0.5, change + 0.5))
    return VariantAnalysis('none', 'm', 60, 60, 1000, 0, interval, dict(m=(0.5, 0.5 + change)))


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(demo, 'compare', _fake_compare)
    monkeypatch.setattr(demo, 'prepare_demo', lambda data, splits: Path(data))
    demo.run_demo(tmp_path / 'out', CONFIGS, enhancer=SCI, data=tmp_path / 'data')
    return tmp_path / 'out'


def test_table_says_where_sci_helps_and_where_it_hurts(out: Path) -> None:
    lines = (out / 'README.md').read_text().splitlines()
    rows = [line for line in lines if line.startswith(('| faces', '| streets'))]
    assert len(rows) == 2 * len(CONDITIONS)
    for row in rows:
        half, two = ('50.0', '200.0') if row.startswith('| faces') else ('0.50', '2.00')
        low, high = ('150.0', '250.0') if row.startswith('| faces') else ('1.50', '2.50')
        if 'dark (' in row:
            value, change, word = high, f'+{two} | +{low} to +{high}', 'helps'
        else:
            value, change, word = f'−{low}', f'−{two} | −{high} to −{low}', 'hurts'
        numbers = f'| {half} | {half} | {value} | {half} | {half} | {change} |'
        best = 'SCI' if word == 'helps' else 'without'
        none = 'no difference shown'
        assert row.endswith(f'{numbers} {word} | {none} | {none} | {best} |')


def test_every_section_names_the_best_and_explains_the_picture(out: Path) -> None:
    sections = (out / 'README.md').read_text().split('\n### ')[1:]
    assert len(sections) == 2 * len(CONDITIONS)
    for section in sections:
        faces = section.startswith('faces')
        half, more, two = (
            f'{100 * value:.1f}' if faces else f'{value:.2f}' for value in (0.5, 2.5, 2)
        )
        if 'dark (' in section:
            wanted = f'**Best here: SCI, {more}; without: {half}.** The change is +{two} ('
            assert '): helps.' in section
        else:
            wanted = f'**Best here: no enhancement, {half}.**'
        assert wanted in section
        assert ('seen from behind' in section) == faces
        assert ('lamp, tree, person' in section) != faces


def test_without_any_value_nothing_is_best() -> None:
    row = demo.Row('faces', 'dark', 0, {}, {})
    assert demo._verdict(row, SCI) == '**Best here: undefined.**'
    assert demo._table_row(row, SCI)[-1] == ''


def test_pictures_are_shown_and_lie_where_the_text_says(out: Path) -> None:
    text = (out / 'README.md').read_text()
    for task, folder in (('faces', 'image'), ('streets', 'leftImg8bit/test')):
        for condition in CONDITIONS:
            path = f'pictures/{task}_{condition}/0000_1.jpg'
            assert f'({path})' in text
            suffix = '' if condition == 'bright' else f'_{condition}'
            assert (out / path).read_text() == folder + suffix
            assert not (out / task / condition / 'pictures').exists()


def test_results_are_machine_readable(out: Path) -> None:
    content = json.loads((out / 'results.json').read_text())
    assert content['enhancer'] == SCI
    first = content['results'][0]
    assert first['values'] == {
        'none': 0.5, 'gamma': 0.5, SCI: -1.5, GATED: 0.5, 'adaptive': 0.5,
    }  # fmt: skip
    wanted = dict(delta=-2.0, low=-2.5, high=-1.5, verdict='hurts')
    assert first['changes'][SCI].items() >= wanted.items()
    assert set(first['changes']) == {'gamma', SCI, GATED, 'adaptive'}
    assert first['condition'] == dict(gain=1.0, noise=0.0, shot_noise=0.0, name='bright')
    assert {row['task'] for row in content['results']} == {'faces', 'streets'}


def test_a_second_run_replaces_the_pictures(out: Path, tmp_path: Path) -> None:
    old = out / 'pictures/faces_dark/9999_old.jpg'
    old.write_text('')
    demo.run_demo(out, CONFIGS, enhancer=SCI, data=tmp_path / 'data')
    assert not old.exists()
    assert (out / 'pictures/faces_dark/0000_1.jpg').is_file()


@pytest.mark.parametrize('task', list(demo.TASKS))
def test_the_images_of_a_condition_are_chosen(task: str) -> None:
    cfg = demo.configure(CONFIGS, Path('/data'), task, 'noisy', images=3)
    dataset = cfg.test_dataloader.dataset
    assert dataset.data_root == f'/data/{task}_test'
    assert dataset.data_prefix[demo.TASKS[task].prefix[0]].endswith('_noisy')
    assert dataset.indices == 3
    bright = demo.configure(CONFIGS, Path('/data'), task, 'bright')
    original = bright.test_dataloader.dataset.data_prefix
    assert original[demo.TASKS[task].prefix[0]] == demo.TASKS[task].prefix[1]
    assert 'indices' not in bright.test_dataloader.dataset


def test_a_gate_is_put_before_what_has_none() -> None:
    assert demo.gated(SCI) == GATED
    assert demo.gated(GATED) == GATED


def test_without_the_source_tree_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='run the demo from the source tree'):
        demo.run_demo(tmp_path, tmp_path)
    assert list(tmp_path.iterdir()) == []
