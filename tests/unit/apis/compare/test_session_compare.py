"""The main job on tiny real models of both hosts, against MMEngine's own Runner."""

import copy
import json
import math
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from PIL import Image

from sci_plugins.apis.compare import compare
from sci_plugins.apis.config import load_config
from sci_plugins.evaluation.comparison import Comparison
from sci_plugins.evaluation.conditions import Condition
from sci_plugins.models.enhancers import SCIEnhancer
from sci_plugins.visualization.report.markdown import tell_comparison

TINY = runpy.run_path(str(Path(__file__).parents[3] / 'data' / 'make_tiny.py'))
HOSTS = {
    'detection': ('sci_plugins.EnhancedDetDataPreprocessor', 'coco/bbox_mAP'),
    'segmentation': ('sci_plugins.EnhancedSegDataPreProcessor', 'mIoU'),
}


class Case(NamedTuple):
    """A user's plain config and checkpoint, an enhancer's weights, and one comparison."""

    cfg: Config
    checkpoint: str
    weights: str
    preprocessor: str
    metric: str
    work_dir: Path
    comparison: Comparison


def _strong_enhancer(folder: Path) -> str:
    torch.manual_seed(0)
    enhancer = SCIEnhancer()
    enhancer.out_conv.bias.data.fill_(-3.0)
    torch.save(enhancer.state_dict(), folder / 'sci.pth')
    return str(folder / 'sci.pth')


@pytest.fixture(scope='module', params=list(HOSTS))
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp(request.param)
    config = TINY[f'write_{request.param}'](folder)
    checkpoint = str(TINY['write_checkpoint'](config))
    weights = _strong_enhancer(folder)
    cfg = load_config(str(config))
    before = cfg.pretty_text
    comparison = compare(
        cfg,
        checkpoint,
        ['none', f'sci/{weights}'],
        conditions=[Condition(), Condition(0.05, 0.01)],
        work_dir=folder / 'work',
        pictures=2,
    )
    assert cfg.pretty_text == before  # the user's config is not changed
    return Case(cfg, checkpoint, weights, *HOSTS[request.param], folder / 'work', comparison)


def _run(case: Case, change: Callable[[Config], None] = lambda cfg: None) -> dict:
    """What MMEngine's Runner alone gives for the user's config, changed by hand."""
    cfg = copy.deepcopy(case.cfg)
    cfg.work_dir = str(case.work_dir / 'by_hand')
    cfg.load_from = case.checkpoint
    cfg.log_level = 'WARNING'
    change(cfg)
    cfg.experiment_name = f'by_hand_{id(cfg)}'
    return Runner.from_cfg(cfg).test()


def _metrics(case: Case, condition: Condition, variant: str) -> dict[str, float]:
    result = case.comparison.find(condition, variant)
    assert result is not None
    assert result.images == 3
    assert result.seconds > 0
    return result.metrics


def _assert_same(found: dict[str, float], wanted: dict[str, Any]) -> None:
    wanted = {key: math.nan if value == -1 else value for key, value in wanted.items()}
    assert list(found) == list(wanted)
    np.testing.assert_equal(found, wanted)


DARK = Condition(0.05, 0.01)


def test_none_is_the_plain_model(case: Case) -> None:
    found = _metrics(case, Condition(), 'none')
    assert found[case.metric] > 0
    _assert_same(found, _run(case))


def test_sci_is_the_config_with_the_two_keys(case: Case) -> None:
    def two_keys(cfg: Config) -> None:
        cfg.model.data_preprocessor.merge(
            dict(
                type=case.preprocessor,
                enhancer=dict(type='sci_plugins.SCIEnhancer', weights=case.weights),
            )
        )

    found = _metrics(case, Condition(), f'sci/{case.weights}')
    _assert_same(found, _run(case, two_keys))
    assert found[case.metric] != _metrics(case, Condition(), 'none')[case.metric]


def test_darkening_is_the_transform_after_loading(case: Case) -> None:
    def darken(cfg: Config) -> None:
        step = dict(type='sci_plugins.SynthesizeLowLight', gain=0.05, noise=0.01, seed=0)
        cfg.test_dataloader.dataset.pipeline.insert(1, step)

    found = _metrics(case, DARK, 'none')
    _assert_same(found, _run(case, darken))
    bright = _metrics(case, Condition(), 'none')
    assert any(found[key] != bright[key] for key in found if found[key] == found[key])


def test_files_say_the_same_as_the_result(case: Case) -> None:
    content = json.loads((case.work_dir / 'comparison.json').read_text())
    assert json.loads(case.comparison.to_json()) == content
    assert len(content['results']) == 4
    markdown = (case.work_dir / 'comparison.md').read_text()
    assert markdown == tell_comparison(case.comparison)
    assert f'| {case.metric} |' in markdown
    assert content['about']['config'] == Path(case.cfg.filename).name
    assert len(content['about']['checkpoint_sha256']) == 64


def test_pictures_show_every_variant(case: Case) -> None:
    for condition in (Condition(), DARK):
        sheets = sorted((case.work_dir / 'pictures' / condition.slug).glob('*.jpg'))
        assert [sheet.name for sheet in sheets] == ['0000_000.jpg', '0002_002.jpg']
        with Image.open(sheets[0]) as sheet:
            assert sheet.format == 'JPEG'
            assert sheet.width > 3 * 480  # truth, none, sci
            assert sheet.height > 2 * 360
            array = np.asarray(sheet.convert('L')).astype(float)
        seen = [array[30:380, 490 * column : 490 * column + 470].mean() for column in (1, 2)]
        assert seen[1] > seen[0] + 5  # what the model sees is brighter with SCI


IN_RECORDS = {
    'coco/bbox_mAP': 'COCO_AP',
    'coco/bbox_mAP_50': 'COCO_AP50',
    'coco/bbox_mAP_75': 'COCO_AP75',
    'mIoU': 'mIoU',
    'aAcc': 'aAcc',
    'mAcc': 'mAcc',
}


def test_the_records_say_what_the_host_says(case: Case) -> None:
    for condition in (Condition(), DARK):
        none, sci = (case.comparison.find(condition, v) for v in case.comparison.variants)
        assert none.analysis is None
        analysis = sci.analysis
        assert analysis.base == 'none'
        assert (analysis.images, analysis.resamples, analysis.seed) == (3, 1000, 0)
        assert analysis.metric == IN_RECORDS[case.metric]
        for host, name in IN_RECORDS.items():
            if host in none.metrics:
                places = 3 if 'bbox' in host else 2
                for value, result in zip(analysis.values[name], (none, sci), strict=True):
                    assert round(value, places) == pytest.approx(result.metrics[host])


def test_every_shared_number_has_an_interval(case: Case) -> None:
    """Of three images only: which is said."""
    text = tell_comparison(case.comparison)
    rows = [line for line in text.splitlines() if line.startswith(f'| {case.metric} |')]
    assert len(rows) >= 2  # of the host under both conditions
    assert all(' to ' in row for row in rows)
    assert 'Only 3 images' in text


def test_the_report_tells_it_too(case: Case) -> None:
    page = (case.work_dir / 'report.html').read_text()
    assert IN_RECORDS[case.metric] in page
    assert 'only 3 images' in page
    pictures = list((case.work_dir / 'pictures').rglob('*.jpg'))
    assert len(pictures) == page.count('data:image/jpeg') > 4
    is_detection = 'bbox' in case.metric
    assert ('Precision and recall' in page) == is_detection
    assert ('fill="rgb(200,0,0)"' in page) != is_detection  # the legend


def test_thirds_by_brightness(case: Case) -> None:
    for condition in (Condition(), DARK):
        result = case.comparison.find(condition, f'sci/{case.weights}')
        parts = result.analysis.groups['brightness']
        assert [part.images for part in parts] == [1, 1, 1]
        ends = [float(part.name.split()[-1]) for part in parts]
        assert ends == sorted(ends)
        assert (ends[-1] < 0.08) == (condition == DARK)


def test_nothing_else_is_left_in_the_work_dir(case: Case) -> None:
    names = {item.name for item in case.work_dir.iterdir()} - {'by_hand'}
    files = {'comparison.json', 'comparison.md', 'report.html'}
    assert names == files | {'pictures', 'records', 'runs'}
