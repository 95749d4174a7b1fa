"""A metric that a user brings along, from a file of their own, gets its interval."""

import json
import os
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

from sci_plugins.apis.compare import compare
from sci_plugins.apis.config import load_config
from sci_plugins.evaluation.comparison import Comparison, definitions_of, is_percentage
from sci_plugins.registry import RECORDS
from tests.fork_server import run_python

ROOT = Path(__file__).resolve().parents[4]
#: A model and a data set to try it on: a "classifier" that calls images bright or dark.
MODULE = """
import torch
from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, METRICS, MODELS
from mmengine.structures import BaseDataElement


@METRICS.register_module()
class Accuracy(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results += [100.0 * (s['pred_label'] == s['gt_label']) for s in data_samples]

    def compute_metrics(self, results):
        return dict(accuracy=sum(results) / len(results))


@MODELS.register_module()
class Threshold(BaseModel):
    def __init__(self, data_preprocessor):
        super().__init__(data_preprocessor)

    def forward(self, inputs, data_samples, mode):
        for image, sample in zip(inputs, data_samples):
            sample.score = float(image.mean()) / 255
            sample.pred_label = int(sample.score > 0.25)
        return data_samples


@DATASETS.register_module()
class Ramp(BaseDataset):
    METAINFO = dict(classes=('dark', 'bright'))

    def load_data_list(self):
        return [dict(img_path=f'{n:02d}.png', label=int(n % 4 > 0)) for n in range(24)]

    def prepare_data(self, index):
        info = self.get_data_info(index)
        sample = BaseDataElement(metainfo=dict(img_path=info['img_path']))
        sample.gt_label = info['label']
        return dict(inputs=torch.full((3, 8, 8), 4.0 * index), data_samples=sample)
"""
CONFIG = """
custom_imports = dict(imports=['users_metric'])
default_scope = 'mmengine'
model = dict(type='Threshold', data_preprocessor=dict(type='ImgDataPreprocessor'))
test_dataloader = dict(
    batch_size=5,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='Ramp', lazy_init=False, pipeline=[]))
test_cfg = dict(type='TestLoop')
test_evaluator = dict(type='Accuracy')
"""
TOOL = ROOT / 'tools/compare.py'


def the_guides_example() -> str:
    """The file that docs/compare.md shows."""
    guide = (ROOT / 'docs/compare.md').read_text()
    start = guide.index('    from sci_plugins import RECORDS')
    return textwrap.dedent(guide[start : guide.index('\nand in the config:')])


@pytest.fixture(scope='module')
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('user')
    (folder / 'users_metric.py').write_text(the_guides_example() + MODULE)
    (folder / 'config.py').write_text(CONFIG)
    return folder / 'config.py'


@pytest.fixture(scope='module')
def cfg(config: Path) -> Config:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(config.parent))
        return load_config(str(config))


@pytest.fixture(scope='module')
def found(cfg: Config) -> Comparison:
    return compare(
        cfg, 'none', ['none', 'gamma/0.2'], work_dir=Path(cfg.filename).parent / 'work', pictures=1
    )


def test_it_has_its_interval_and_verdict(found: Comparison) -> None:
    none, gamma = found.results
    assert none.metrics == dict(accuracy=pytest.approx(100 * 10 / 24))
    analysis = gamma.analysis
    assert analysis.metric == 'accuracy'
    assert analysis.values['accuracy'][0] == none.metrics['accuracy']
    assert analysis.values['accuracy'][1] == gamma.metrics['accuracy']
    assert analysis.main.verdict == 'helps'
    assert analysis.main.delta > analysis.main.low > 0
    error = analysis.intervals['error']
    assert error.high < 0
    assert error.verdict == 'helps'
    assert [part.images for part in analysis.groups['brightness']] == [8, 8, 8]
    assert analysis.gained


def test_tables_and_report_tell_it(found: Comparison, cfg: Config) -> None:
    folder = Path(cfg.filename).parent / 'work'
    assert {path.name for path in folder.iterdir()} >= {'report.html', 'records', 'pictures'}
    for name in ('comparison.md', 'report.html'):
        text = (folder / name).read_text()
        assert 'share of the images whose class is right' in text
        assert 'helps' in text
    content = json.loads((folder / 'comparison.json').read_text())
    assert content['results'][1]['analysis']['intervals']['error']['verdict'] == 'helps'
    assert is_percentage('accuracy')
    assert not is_percentage('error')
    assert list(definitions_of(['accuracy', 'error'])) == ['accuracy', 'error']


def test_the_records_are_read_again(found: Comparison, cfg: Config) -> None:
    folder = Path(cfg.filename).parent / 'work'
    again = compare(
        cfg,
        'none',
        ['none', 'gamma/0.2'],
        work_dir=folder,
        pictures=0,
        changed=0,
        resume=True,
        metric='error',
    )
    analysis = again.results[1].analysis
    assert analysis.metric == 'error'
    assert analysis.main == found.results[1].analysis.intervals['error']


def test_the_tool(config: Path, tmp_path: Path) -> None:
    """The module lies in the folder that the tool is started in."""
    done = run_python(
        [TOOL, config, 'none', '--work-dir', tmp_path / 'work', '--variants', 'none', 'gamma/0.2',
         '--pictures', '0', '--changed', '0', '--no-report'],
        cwd=config.parent,
        env=dict(os.environ, PYTHONPATH=f'{ROOT}:{config.parent}'),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert 'accuracy' in done.stdout
    assert 'helps' in done.stdout


@pytest.fixture(autouse=True, scope='module')
def _forgotten() -> object:
    """Other tests see our classes alone."""
    yield
    RECORDS.module_dict.pop('AccuracyRecords', None)
    sys.modules.pop('users_metric', None)


def test_the_numbers_are_plain(found: Comparison) -> None:
    """Of means of one number an image, the interval is the bootstrap of a mean."""
    levels = 4.0 * np.arange(24) / 255
    labels = (np.arange(24) % 4 > 0).astype(float)
    before = abs(levels - labels)
    after = abs(torch.tensor(levels).pow(0.2).numpy() - labels)
    value = found.results[1].analysis.values['error']
    assert value == pytest.approx((before.mean(), after.mean()), abs=1e-3)
