"""Going on where an earlier comparison stopped."""

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from PIL import Image

from sci_plugins.apis.compare import changed, compare, session
from sci_plugins.apis.compare.judging import Judge
from sci_plugins.errors import ConfigError
from sci_plugins.evaluation.comparison import Comparison
from sci_plugins.evaluation.conditions import Condition
from sci_plugins.models.enhancers import SCIEnhancer


def test_an_interrupted_run_goes_on(
    seg: tuple[Config, str], tmp_path: Path, measured: list[str]
) -> None:
    settings: dict[str, Any] = dict(work_dir=tmp_path, pictures=1)
    compare(*seg, ['none'], **settings)
    measured[:] = ['stop']
    with pytest.raises(KeyboardInterrupt):
        compare(*seg, ['none', 'gamma/0.3'], resume=True, **settings)
    content = json.loads((tmp_path / 'comparison.json').read_text())
    assert [result['variant'] for result in content['results']] == ['none']

    measured.clear()
    result = compare(*seg, ['none', 'gamma/0.3'], resume=True, **settings)
    assert measured == ['gamma/0.3']
    assert result.variants == ['none', 'gamma/0.3']
    content = json.loads((tmp_path / 'comparison.json').read_text())
    assert len(content['results']) == 2
    (sheet,) = (tmp_path / 'pictures' / 'as-is').glob('*.jpg')
    with Image.open(sheet) as image:
        assert image.width > 3 * 480  # the earlier columns are still there

    measured.clear()
    again = compare(*seg, ['none', 'gamma/0.3'], resume=True, **settings)
    assert measured == []
    assert again.to_json() == result.to_json()


def test_a_report_of_half_the_conditions_says_so(
    seg: tuple[Config, str], tmp_path: Path, measured: list[str]
) -> None:
    conditions = [Condition(), Condition(0.5), Condition(0.1)]
    settings: dict[str, Any] = dict(conditions=conditions, work_dir=tmp_path, resamples=20)

    def told() -> list[bool]:
        texts = [(tmp_path / n).read_text() for n in ('report.html', 'comparison.md')]
        return ['Unfinished' in text for text in texts]

    compare(*seg, ['none', 'clahe'], **settings | dict(conditions=conditions[:1]))
    assert told() == [False, False]
    measured.append('stop')
    with pytest.raises(KeyboardInterrupt):
        compare(*seg, ['none', 'clahe'], resume=True, **settings)
    assert '1 of 3 conditions measured' in (tmp_path / 'report.html').read_text()
    assert told() == [True, True]
    compare(*seg, ['none', 'clahe'], resume=True, **settings)
    assert told() == [False, False]


def test_resume_refuses_other_settings(
    seg: tuple[Config, str], tmp_path: Path, measured: list[str]
) -> None:
    cfg, checkpoint = seg
    compare(cfg, checkpoint, ['none'], work_dir=tmp_path, pictures=0)
    before = (tmp_path / 'comparison.json').read_bytes()
    other = copy.deepcopy(cfg)
    other.model.test_cfg.mode = 'slide'
    with pytest.raises(ConfigError, match='made with another config'):
        compare(other, checkpoint, ['none'], work_dir=tmp_path, resume=True)
    assert (tmp_path / 'comparison.json').read_bytes() == before
    # another work dir or launcher is no other experiment
    moved = copy.deepcopy(cfg)
    moved.work_dir, moved.launcher = 'elsewhere', 'none'
    measured.clear()
    compare(moved, checkpoint, ['none'], work_dir=tmp_path, resume=True, pictures=0)
    assert measured == []


def test_resume_from_a_damaged_file(seg: tuple[Config, str], tmp_path: Path) -> None:
    (tmp_path / 'comparison.json').write_text('{"about": ')
    with pytest.raises(ConfigError, match=r'comparison\.json: expected JSON .*leave out --resume'):
        compare(*seg, ['none'], work_dir=tmp_path, resume=True, pictures=0)


NAMES = ['none', 'gamma/0.3', 'clahe']


@pytest.fixture(scope='module')
def finished(seg: tuple[Config, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('finished')
    compare(*seg, NAMES, work_dir=folder, pictures=1, resamples=100)
    return folder


@pytest.fixture()
def folder(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / 'copy')
    return tmp_path / 'copy'


def _resume(seg: tuple[Config, str], folder: Path, **settings: Any) -> Comparison:
    settings = dict(resamples=100, pictures=1, work_dir=folder) | settings
    return compare(*seg, NAMES, resume=True, **settings)


def _analyses(comparison: Comparison) -> dict[str, Any]:
    return {result.variant: result.analysis for result in comparison.results}


def test_what_is_judged_the_same_way_is_not_judged_again(
    seg: tuple[Config, str], folder: Path, measured: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changed, 'run_again', None)
    monkeypatch.setattr(Judge, 'judge', None)
    before = (folder / 'comparison.json').read_bytes()
    _resume(seg, folder)
    assert measured == []
    assert (folder / 'comparison.json').read_bytes() == before


@pytest.mark.parametrize('settings', [dict(resamples=50), dict(seed=1), dict(metric='aAcc')])
def test_another_way_of_judging_runs_no_model(
    seg: tuple[Config, str], folder: Path, measured: list[str], settings: dict
) -> None:
    found = _resume(seg, folder, changed=0, **settings)
    assert measured == []
    ((key, value),) = settings.items()
    for analysis in list(_analyses(found).values())[1:]:
        assert getattr(analysis, key) == value
    stored = json.loads((folder / 'comparison.json').read_text())
    assert stored['about'][key] == value
    assert json.loads(found.to_json()) == stored


@pytest.mark.parametrize('settings', [dict(resample='blocks:2'), dict(base='clahe')])
def test_judged_anew_is_as_if_measured_anew(
    seg: tuple[Config, str], folder: Path, measured: list[str], settings: dict, tmp_path: Path
) -> None:
    plain: dict[str, Any] = dict(pictures=0, changed=0, report=False)
    found = _resume(seg, folder, **plain, **settings)
    assert measured == []
    anew = compare(*seg, NAMES, work_dir=tmp_path / 'anew', resamples=100, **plain, **settings)
    assert _analyses(found) == _analyses(anew)
    base = settings.get('base', 'none')
    assert [name for name, each in _analyses(found).items() if each is None] == [base]


def test_sheets_of_another_base_are_drawn(seg: tuple[Config, str], folder: Path) -> None:
    _resume(seg, folder, base='clahe')
    pairs = {path.name for path in (folder / 'pictures/as-is/changed').iterdir()}
    assert any(name.endswith('_against_clahe') for name in pairs)


def test_results_whose_records_are_gone_are_measured_again(
    seg: tuple[Config, str], folder: Path, measured: list[str]
) -> None:
    before = json.loads((folder / 'comparison.json').read_text())['results']
    (folder / 'records' / 'as-is' / 'clahe.npz').unlink()
    found = _resume(seg, folder)
    assert measured == ['clahe']
    after = json.loads(found.to_json())['results']
    for result in (*before, *after):
        del result['seconds']
    assert after == before


def test_records_of_something_else_are_refused(seg: tuple[Config, str], folder: Path) -> None:
    records = folder / 'records' / 'as-is'
    shutil.copy(records / 'clahe.npz', records / 'none.npz')
    with pytest.raises(ConfigError, match=r'none\.npz was made with'):
        _resume(seg, folder, seed=5)


def test_another_file_of_the_same_name_is_refused(seg: tuple[Config, str], tmp_path: Path) -> None:
    name = f'sci/{tmp_path}/sci.pth'
    for bias in (0.0, -3.0):
        enhancer = SCIEnhancer()
        enhancer.out_conv.bias.data.fill_(bias)
        torch.save(enhancer.state_dict(), tmp_path / 'sci.pth')
        settings: dict[str, Any] = dict(work_dir=tmp_path / 'work', pictures=0, changed=0)
        if bias == 0:
            compare(*seg, ['none', name], **settings)
        else:
            with pytest.raises(ConfigError, match='was made with another sci/'):
                compare(*seg, ['none', name], resume=True, **settings)


def test_variants_that_are_not_asked_for_any_more_stay(
    seg: tuple[Config, str], folder: Path, measured: list[str]
) -> None:
    found = compare(*seg, ['none'], work_dir=folder, resume=True, resamples=100)
    assert measured == []
    assert found.variants == NAMES
    assert '| clahe |' in (folder / 'comparison.md').read_text()


def _sheets(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in (folder / 'pictures').rglob('*.jpg'))


def test_conditions_that_are_not_asked_for_any_more_stay(
    seg: tuple[Config, str], folder: Path, measured: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In tables, curves and pictures; nothing is run or drawn for them."""
    shown: list[Any] = []
    real = session.render_report
    monkeypatch.setattr(
        session, 'render_report', lambda *rest: shown.append(rest[2]) or real(*rest)
    )
    day = _sheets(folder)
    found = _resume(seg, folder, conditions=[Condition(0.05)])
    assert measured == NAMES
    assert [each.name for each in found.conditions] == ['as is', 'gain 0.05, noise 0']
    assert {sheet.condition for sheet in shown[-1]} == {'as is', 'gain 0.05, noise 0'}
    assert set(day) < set(_sheets(folder))
    page = (folder / 'report.html').read_text()
    assert '<b>as is</b>' in page
    assert all(each for name, each in _analyses(found).items() if name != 'none')

    measured.clear()
    again = _resume(seg, folder, seed=3)  # judged anew, the dark images too
    assert measured == []
    assert {result.analysis.seed for result in again.results if result.analysis} == {3}
    assert {sheet.condition for sheet in shown[-1]} == {'as is', 'gain 0.05, noise 0'}


def test_sheets_of_an_earlier_variant_that_are_gone_are_left_out(
    seg: tuple[Config, str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Any] = []
    real = session.render_report
    monkeypatch.setattr(
        session, 'render_report', lambda *rest: shown.append(rest[2]) or real(*rest)
    )
    for path in (folder / 'pictures').rglob('*clahe*'):
        shutil.rmtree(path)
    compare(*seg, NAMES[:2], work_dir=folder, resume=True, resamples=100)
    assert {sheet.variant for sheet in shown[-1]} == {'', 'gamma/0.3'}


def test_what_was_kept_is_judged_against_a_base_that_is_new(
    seg: tuple[Config, str], folder: Path, measured: list[str]
) -> None:
    settings: dict[str, Any] = dict(work_dir=folder, pictures=0, changed=0, resume=True)
    names = [*NAMES, 'gamma/0.5']
    found = compare(*seg, names, base='gamma/0.5', resamples=100, **settings)
    assert measured == ['gamma/0.5']
    for name, analysis in _analyses(found).items():
        assert (analysis is None) == (name == 'gamma/0.5')
        assert analysis is None or analysis.base == 'gamma/0.5'


def test_a_base_that_an_earlier_condition_lacks(seg: tuple[Config, str], folder: Path) -> None:
    settings: dict[str, Any] = dict(work_dir=folder, pictures=0, changed=0, resume=True)
    found = compare(
        *seg,
        ['none', 'gamma/0.5'],
        base='gamma/0.5',
        conditions=[Condition(0.05)],
        resamples=100,
        **settings,
    )
    day, night = (found.of_condition(each) for each in found.conditions)
    assert [result.analysis for result in day] == [None] * 3
    assert [result.variant for result in night if result.analysis] == ['none']
    text = (folder / 'comparison.md').read_text()
    assert text.count('as is: gamma/0.5 was not measured, so there is no verdict.') == 1
    page = (folder / 'report.html').read_text()
    assert 'gamma/0.5 was not measured, so there is no verdict.' in page
