"""SCI low-light enhancement in front of any mmdet detector or mmseg segmentor."""

from importlib import import_module
from typing import Any

from sci_plugins.compat import DISTRIBUTIONS, INSTALL, install_mmcv_ops, warn_of_twins
from sci_plugins.version import __version__

# The hosts import `mmcv._ext` when they are imported themselves, so the stand-in
# has to be findable before that; nothing is imported until they ask for it.
install_mmcv_ops()
warn_of_twins()

# Module -> what it gives to this package.
_GIVEN = {
    'apis': ('attach', 'detach', 'enhance'),
    'datasets.transforms': ('EnhanceImage', 'RawAndEnhanced', 'SynthesizeLowLight'),
    'engine.hooks': ('EnhancementLossHook',),
    'evaluation.records': ('ImageRecords', 'MeanRecords'),
    'registry': ('RECORDS',),
    'models.enhancement_stage': ('EnhancementStage',),
    'models.enhancers': (
        'AdaptiveSCIEnhancer', 'BaseEnhancer', 'RetinexEnhancer', 'SCIEnhancer', 'RUASEnhancer',
        'RUASNetEnhancer', 'ZeroDCEEnhancer', 'IATEnhancer', 'LIMEEnhancer', 'OnnxEnhancer',
        'GammaEnhancer', 'MeanMatchEnhancer', 'CLAHEEnhancer', 'HistogramEqualizationEnhancer',
        'GatedEnhancer', 'IdentityEnhancer', 'TemporalEnhancer', 'build_enhancer', 'save_enhancer',
    ),
    'models.learners': ('SelfCalibratedLearner', 'SelfCalibrator'),
    'models.losses': ('SCILoss',),
}  # fmt: skip
_HOMES = {name: f'sci_plugins.{home}' for home, names in _GIVEN.items() for name in names}

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
