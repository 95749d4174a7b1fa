"""A comparison under way: which files it leaves after which step."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

from sci_plugins.apis.compare import changed, session, write_comparison
from sci_plugins.apis.compare.about import build_image_set, describe
from sci_plugins.apis.compare.contenders import Contenders, ModelSource
from sci_plugins.apis.compare.judging import Judge
from sci_plugins.evaluation.comparison import Comparison
from sci_plugins.evaluation.conditions import Condition

NAMES = ['none', 'gamma/0.3']


def _session(source: tuple[Config, str], folder: Path) -> session.Session:
    contenders = Contenders(ModelSource(*source), NAMES)
    images = build_image_set(source[0])
    judge = Judge('none', 'images', 20)
    about = describe(contenders, images) | judge.about()
    return session.Session(folder, contenders, images, judge, Comparison(about))


@pytest.mark.parametrize(('kind', 'legend'), [('det', 2), ('seg', 3)])
def test_step_by_step(
    tmp_path: Path, kind: str, legend: int, request: pytest.FixtureRequest
) -> None:
    found = _session(request.getfixturevalue(kind), tmp_path)
    found.judge_all()
    assert not list(tmp_path.iterdir())
    found.measure(Condition(), [1], False)
    assert len(found.comparison.results) == 2
    assert {path.name for path in tmp_path.iterdir()} == {
        'comparison.json',
        'comparison.md',
        'pictures',
        'records',
        'runs',
    }
    assert sorted(path.name for path in (tmp_path / 'records/as-is').iterdir()) == [
        'gamma-0.3-' + found.store.path(Condition(), 'gamma/0.3').stem[-6:] + '.npz',
        'none.npz',
    ]
    (spread,) = (tmp_path / 'pictures' / 'as-is').glob('0001_*.jpg')
    found.draw_changed(Condition(), 1, False)
    drawn = [path for path in (tmp_path / 'pictures').rglob('*.jpg') if path != spread]
    assert (kind == 'det') == any(path.parent.name == 'unlabelled' for path in drawn)
    assert len(drawn) + 1 == len(found._sheets(1)) >= 2
    assert [(each.variant, each.image) for each in found._sheets(0)] == [('', spread.stem[5:])]
    found.write(False, 1)
    assert not (tmp_path / 'report.html').exists()
    found.write(True, 1)
    page = (tmp_path / 'report.html').read_text()
    assert page.count('class="swatch"') == legend
    assert len(found._curves) == (2 if kind == 'det' else 0)


def test_what_has_a_result_is_not_measured_again(
    seg: tuple[Config, str], tmp_path: Path, measured: list[str]
) -> None:
    found = _session(seg, tmp_path)
    for _ in range(2):
        found.measure(Condition(), [], False)
    assert measured == NAMES


@pytest.mark.parametrize('first', [0, 1])
def test_ids_that_start_at_0_are_told_once(
    det: tuple[Config, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    """mmdet's number is then wrong, and the records' right."""
    cfg = copy.deepcopy(det[0])
    content = json.loads(Path(cfg.test_evaluator.ann_file).read_text())
    for annotation in content['annotations']:
        annotation['id'] += first - 1
    path = tmp_path / 'coco.json'
    path.write_text(json.dumps(content))
    cfg.test_evaluator.ann_file = cfg.test_dataloader.dataset.ann_file = str(path)
    told: list[str] = []
    monkeypatch.setattr(session, 'print_log', lambda text, *_: told.append(text))
    found = _session((cfg, det[1]), tmp_path)
    found.measure(Condition(), [], False)
    results = found.comparison.results
    assert len(results) == 2
    for result in results:
        assert ('has id 0' in result.difference) == (first == 0)
    assert len(told) == (first == 0)
    found.write(report=False, count=0)
    written = (tmp_path / 'comparison.md').read_text()
    assert written.count('an annotation has id 0') == (first == 0)


def test_sheets_that_are_there_stay_if_wanted(
    seg: tuple[Config, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = _session(seg, tmp_path)
    found.measure(Condition(), [], False)
    runs: list[Any] = []
    real = changed.run_again

    def run_again(model: Any, images: Any, places: Any, white: float) -> Any:
        runs.append(places)
        return real(model, images, places, white)

    monkeypatch.setattr(changed, 'run_again', run_again)
    for go_on, wanted in ((False, 2), (True, 2), (False, 4)):
        found.draw_changed(Condition(), 1, go_on)
        assert len(runs) == wanted  # once for the base, once for the variant
    found.draw_changed(Condition(), 0, False)
    assert len(runs) == 4


def test_both_files_are_written(tmp_path: Path) -> None:
    write_comparison(Comparison(dict(config='a.py')), tmp_path)
    assert '"config": "a.py"' in (tmp_path / 'comparison.json').read_text()
    assert 'a.py' in (tmp_path / 'comparison.md').read_text()
