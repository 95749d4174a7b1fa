"""SCI low-light enhancement in front of any mmdet detector or mmseg segmentor."""

from importlib import import_module
from typing import Any

from sci_plugins.compat import DISTRIBUTIONS, INSTALL, install_mmcv_ops, warn_of_twins
from sci_plugins.version import __version__

# The hosts import `mmcv._ext` when they are imported themselves, so the stand-in
# has to be findable before that; nothing is imported until they ask for it.
install_mmcv_ops()
warn_of_twins()

_HOMES = {
    'attach': 'sci_plugins.apis',
    'detach': 'sci_plugins.apis',
    'enhance': 'sci_plugins.apis',
    'EnhanceImage': 'sci_plugins.datasets.transforms',
    'SynthesizeLowLight': 'sci_plugins.datasets.transforms',
    'EnhancementLossHook': 'sci_plugins.engine.hooks',
    'ImageRecords': 'sci_plugins.evaluation.records',
    'MeanRecords': 'sci_plugins.evaluation.records',
    'RECORDS': 'sci_plugins.registry',
    'EnhancementStage': 'sci_plugins.models.enhancement_stage',
    'AdaptiveSCIEnhancer': 'sci_plugins.models.enhancers',
    'BaseEnhancer': 'sci_plugins.models.enhancers',
    'RetinexEnhancer': 'sci_plugins.models.enhancers',
    'SCIEnhancer': 'sci_plugins.models.enhancers',
    'RUASEnhancer': 'sci_plugins.models.enhancers',
    'RUASNetEnhancer': 'sci_plugins.models.enhancers',
    'ZeroDCEEnhancer': 'sci_plugins.models.enhancers',
    'IATEnhancer': 'sci_plugins.models.enhancers',
    'LIMEEnhancer': 'sci_plugins.models.enhancers',
    'OnnxEnhancer': 'sci_plugins.models.enhancers',
    'GammaEnhancer': 'sci_plugins.models.enhancers',
    'MeanMatchEnhancer': 'sci_plugins.models.enhancers',
    'CLAHEEnhancer': 'sci_plugins.models.enhancers',
    'HistogramEqualizationEnhancer': 'sci_plugins.models.enhancers',
    'GatedEnhancer': 'sci_plugins.models.enhancers',
    'IdentityEnhancer': 'sci_plugins.models.enhancers',
    'TemporalEnhancer': 'sci_plugins.models.enhancers',
    'build_enhancer': 'sci_plugins.models.enhancers',
    'save_enhancer': 'sci_plugins.models.enhancers',
    'SelfCalibratedLearner': 'sci_plugins.models.learners',
    'SelfCalibrator': 'sci_plugins.models.learners',
    'SCILoss': 'sci_plugins.models.losses',
}

__all__ = ['__version__', *_HOMES]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        try:
            return getattr(import_module(_HOMES[name]), name)
        except ModuleNotFoundError as error:
            if error.name not in DISTRIBUTIONS:
                raise
            from sci_plugins.errors import MissingDependencyError

            missing = f'sci_plugins.{name} needs {error.name}, which is not installed: {INSTALL}'
            raise MissingDependencyError(missing) from error
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
    return sorted(__all__)
