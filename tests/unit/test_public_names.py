"""What a user may import, what it costs, and what works without any host."""

import importlib
import json
import pkgutil
import subprocess
import sys

import pytest

import sci_plugins

PUBLIC = {
    '__version__',
    'AdaptiveSCIEnhancer',
    'BaseEnhancer',
    'CLAHEEnhancer',
    'EnhanceImage',
    'EnhancementLossHook',
    'EnhancementStage',
    'GammaEnhancer',
    'MeanMatchEnhancer',
    'GatedEnhancer',
    'HistogramEqualizationEnhancer',
    'IdentityEnhancer',
    'ImageRecords',
    'MeanRecords',
    'RECORDS',
    'RawAndEnhanced',
    'IATEnhancer',
    'LIMEEnhancer',
    'OnnxEnhancer',
    'RUASEnhancer',
    'RUASNetEnhancer',
    'ZeroDCEEnhancer',
    'RetinexEnhancer',
    'SCIEnhancer',
    'SCILoss',
    'SelfCalibratedLearner',
    'SelfCalibrator',
    'SynthesizeLowLight',
    'TemporalEnhancer',
    'attach',
    'build_enhancer',
    'detach',
    'enhance',
    'save_enhancer',
}
MODULES = sorted(
    info.name for info in pkgutil.walk_packages(sci_plugins.__path__, prefix='sci_plugins.')
)


def test_the_public_names_are_pinned() -> None:
    assert set(sci_plugins.__all__) == PUBLIC
    assert set(dir(sci_plugins)) == PUBLIC


def test_each_is_there_and_documented() -> None:
    for name in PUBLIC - {'__version__'}:
        assert getattr(sci_plugins, name).__doc__, name
    assert sci_plugins.__version__


def test_an_unknown_name() -> None:
    with pytest.raises(AttributeError, match='nothing'):
        sci_plugins.nothing  # noqa: B018


def test_every_module_imports_and_keeps_its_promises() -> None:
    for name in MODULES:
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:  # of an extra, or of PyTorch for another machine
            assert error.name in ('llvmlite', 'triton'), name  # noqa: PT017
            continue
        assert module.__doc__ or not vars(module).get('__all__'), name
        for public in getattr(module, '__all__', ()):
            assert hasattr(module, public), (name, public)


def test_there_are_modules() -> None:
    assert len(MODULES) > 40
    assert 'sci_plugins.models.enhancers.sci' in MODULES


_WITHOUT_HOSTS = """
import json, sys
from importlib.machinery import PathFinder
find = PathFinder.find_spec
missing = ('mmdet', 'mmseg', 'mmpretrain', 'pycocotools')
PathFinder.find_spec = lambda name, path=None, target=None: (
    None if name.split('.')[0] in missing else find(name, path, target)
)
heavy = ('torch', 'mmengine', 'mmcv', 'mmdet', 'mmseg', 'cv2', 'torchvision')
loaded = lambda: [name for name in heavy if name in sys.modules]
report = {}
import sci_plugins
report['bare'] = loaded()
import numpy as np
image = np.full((8, 8, 3), 20, np.uint8)
report['brighter'] = bool(sci_plugins.enhance(image, 'gamma/0.4').mean() > 40)
import torch
sci_plugins.SCIEnhancer()(torch.rand(1, 3, 4, 4))
report['in use'] = loaded()
from mmengine.model import BaseModel, ImgDataPreprocessor
class Model(BaseModel):
    def forward(self, inputs, mode='tensor'):
        return inputs
model = sci_plugins.attach(Model(ImgDataPreprocessor()), 'gamma/0.5')
data = dict(inputs=[torch.full((3, 4, 4), 64.0)])
report['attached'] = round(float(model.data_preprocessor(data)['inputs'].max()), 1)
from mmengine.registry import DATASETS, MODELS
import sci_plugins.apis.evaluate_darkface
import sci_plugins.apis.evaluate_segmentation
import sci_plugins.datasets.darkface_check
import sci_plugins.datasets.acdc
for host, registry, cfg in (
    ('det', MODELS, dict(type='EnhancedDetDataPreprocessor', enhancer='none')),
    ('seg', MODELS, dict(type='EnhancedSegDataPreProcessor', enhancer='none')),
    ('det data', DATASETS, dict(type='DarkFaceDataset')),
    ('seg data', DATASETS, dict(type='ACDCDataset', split='val')),
):
    try:
        registry.build(cfg | dict(type='sci_plugins.' + cfg['type']))
    except Exception as error:
        report[host] = [type(error).__name__, str(error)]
print(json.dumps(report))
"""


@pytest.fixture(scope='module')
def report() -> dict:
    """One fresh Python in which no host can be found."""
    done = subprocess.run(
        [sys.executable, '-c', _WITHOUT_HOSTS],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_importing_is_light(report: dict) -> None:
    assert report['bare'] == []


def test_enhancing_imports_no_host(report: dict) -> None:
    assert report['brighter']
    assert not {'mmcv', 'mmdet', 'mmseg'} & set(report['in use'])


def test_attaching_works_without_any_host(report: dict) -> None:
    assert report['attached'] == pytest.approx(255 * (64 / 255) ** 0.5, abs=0.2)


@pytest.mark.parametrize('case', ['det', 'seg', 'det data', 'seg data'])
def test_a_missing_host_says_what_to_install(report: dict, case: str) -> None:
    """Also of data sets whose checks and labels work without their host."""
    kind, message = report[case]
    assert kind == 'MissingDependencyError'
    assert 'pip install "sci_plugins[onedl]"' in message
