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
from sci_plugins.errors import ConfigError
from sci_plugins.evaluation.comparison import Comparison
from sci_plugins.evaluation.conditions import Condition
from sci_plugins.models.enhancers import SCIEnhancer

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
def case(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Case:
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
    return Case(
        cfg, checkpoint, weights, *HOSTS[request.param], folder / 'work', comparison
    )


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
    assert markdown == case.comparison.to_markdown()
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
        seen = [
            array[30:380, 490 * column : 490 * column + 470].mean() for column in (1, 2)
        ]
        assert seen[1] > seen[0] + 5  # what the model sees is brighter with SCI


def test_nothing_else_is_left_in_the_work_dir(case: Case) -> None:
    names = {item.name for item in case.work_dir.iterdir()} - {'by_hand'}
    files = {'comparison.json', 'comparison.md', 'report.html'}
    assert names == files | {'pictures', 'records', 'runs'}


# From here on one host is enough.


@pytest.mark.parametrize('order', ['bgr', 'rgb'])
def test_what_the_config_has_in_front(
    seg: tuple[Config, str], tmp_path: Path, order: str
) -> None:
    """Its channel order is kept, also for the enhancers that it is compared with."""
    cfg, checkpoint = copy.deepcopy(seg[0]), seg[1]
    weights = _uneven_enhancer(tmp_path)
    cfg.model.data_preprocessor.merge(
        dict(
            type='sci_plugins.EnhancedSegDataPreProcessor',
            enhancer=dict(type='sci_plugins.SCIEnhancer', weights=weights),
            input_order=order,
        )
    )
    names = ['none', 'config', f'sci/{weights}']
    found = compare(cfg, checkpoint, names, work_dir=tmp_path, pictures=0)
    none, config, sci = (result.metrics for result in found.results)
    assert config == sci != none
    cfg.load_from, cfg.work_dir = checkpoint, str(tmp_path / 'by_hand')
    cfg.experiment_name = f'config_{order}'
    assert Runner.from_cfg(cfg).test() == config


def _uneven_enhancer(folder: Path) -> str:
    enhancer = SCIEnhancer()
    enhancer.out_conv.bias.data.copy_(torch.tensor([-4.0, -1.0, 3.0]))
    torch.save(enhancer.state_dict(), folder / 'uneven.pth')
    return str(folder / 'uneven.pth')


@pytest.mark.parametrize(
    ('variants', 'error', 'word'),
    [
        ([], ConfigError, 'at least one'),
        (['none', 'none'], ConfigError, 'different names'),
        (['none', 'magic'], ConfigError, "unknown enhancer 'magic'"),
        (['sci/no/such.pth'], FileNotFoundError, r'no/such\.pth'),
    ],
)
def test_wrong_variants_fail_before_anything_slow(
    seg: tuple[Config, str], tmp_path: Path, variants: list, error: type, word: str
) -> None:
    with pytest.raises(error, match=word):
        compare(seg[0], 'no such checkpoint', variants, work_dir=tmp_path / 'work')
    assert not (tmp_path / 'work').exists()


def test_config_as_a_variant_needs_an_enhancer_in_it(
    seg: tuple[Config, str], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="variant 'config'"):
        compare(*seg, ['none', 'config'], work_dir=tmp_path)


@pytest.mark.parametrize(
    'key', ['model', 'test_dataloader', 'test_cfg', 'test_evaluator']
)
def test_a_config_without_a_test_set(
    seg: tuple[Config, str], tmp_path: Path, key: str
) -> None:
    cfg = copy.deepcopy(seg[0])
    cfg[key] = None
    with pytest.raises(ConfigError, match=f'has no {key}') as caught:
        compare(cfg, seg[1], ['none'], work_dir=tmp_path)
    assert 'tiny_segmentor.py' in str(caught.value)


def test_a_config_without_a_data_preprocessor(
    seg: tuple[Config, str], tmp_path: Path
) -> None:
    cfg = copy.deepcopy(seg[0])
    del cfg.model.data_preprocessor
    with pytest.raises(ConfigError, match='data_preprocessor') as caught:
        compare(cfg, seg[1], ['none'], work_dir=tmp_path)
    assert '\n' not in str(caught.value)


def test_an_evaluator_without_numbers(seg: tuple[Config, str], tmp_path: Path) -> None:
    cfg = copy.deepcopy(seg[0])
    cfg.test_evaluator = dict(
        type='IoUMetric', format_only=True, output_dir=str(tmp_path / 'png')
    )
    with pytest.raises(ConfigError, match='no numbers to compare'):
        compare(cfg, seg[1], ['none'], work_dir=tmp_path, pictures=0)


def test_more_pictures_than_images(seg: tuple[Config, str], tmp_path: Path) -> None:
    compare(*seg, ['none'], work_dir=tmp_path, pictures=9)
    assert len(list((tmp_path / 'pictures' / 'as-is').glob('*.jpg'))) == 3
