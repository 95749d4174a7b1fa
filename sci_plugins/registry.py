"""The scope ``sci_plugins``: children of MMEngine's root registries.

``type='sci_plugins.X'`` resolves in any config, whatever its
``default_scope``, because MMEngine imports ``<scope>.registry`` by itself. An
ImportError in this file would be swallowed there, so it imports nothing heavy.

Modules that need a host package are imported only when they are asked for by
name: an mmseg user need not have mmdet, and the reverse.
"""

from importlib import import_module
from importlib.util import find_spec

from mmengine.registry import DATA_SAMPLERS as MMENGINE_DATA_SAMPLERS
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import FUNCTIONS as MMENGINE_FUNCTIONS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import TASK_UTILS as MMENGINE_TASK_UTILS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import VISBACKENDS as MMENGINE_VISBACKENDS
from mmengine.registry import Registry

from sci_plugins.errors import MissingDependencyError

# name -> (module that registers it, host package, extra that installs the host)
HOST_MODULES = {
    'EnhancedDetDataPreprocessor': ('sci_plugins.models.data_preprocessors.det', 'mmdet', 'det'),
    'EnhancedSegDataPreProcessor': ('sci_plugins.models.data_preprocessors.seg', 'mmseg', 'seg'),
    'S3FDVGG': ('sci_plugins.models.detectors.s3fd', 'mmdet', 'det'),
    'S3FDNeck': ('sci_plugins.models.detectors.s3fd', 'mmdet', 'det'),
    'S3FDHead': ('sci_plugins.models.detectors.s3fd', 'mmdet', 'det'),
    # Needs onnxruntime as well, which it asks for by itself.
    'YuNetONNX': ('sci_plugins.models.detectors.yunet', 'mmdet', 'det'),
    'ScaleCompensatedAssigner': ('sci_plugins.models.detectors.s3fd', 'mmdet', 'det'),
    'DarkFaceDataset': ('sci_plugins.datasets.darkface', 'mmdet', 'det'),
    'ExDarkDataset': ('sci_plugins.datasets.exdark', 'mmdet', 'det'),
    'WiderFaceTextDataset': ('sci_plugins.datasets.wider_face', 'mmdet', 'det'),
    'CocoFaceDataset': ('sci_plugins.datasets.coco_face', 'mmdet', 'det'),
    'NightStreetDataset': ('sci_plugins.demo.night_street', 'mmseg', 'seg'),
    'CamVidDataset': ('sci_plugins.datasets.camvid', 'mmseg', 'seg'),
    'ACDCDataset': ('sci_plugins.datasets.acdc', 'mmseg', 'seg'),
    'NightCityDataset': ('sci_plugins.datasets.nightcity', 'mmseg', 'seg'),
    'BDD100KNightDataset': ('sci_plugins.datasets.bdd100k_night', 'mmseg', 'seg'),
}


def require_host(name: str, host: str, extra: str) -> None:
    """Check that the package ``host`` is there before ``name`` needs it.

    Raises:
        MissingDependencyError: naming the extra to install.
    """
    if find_spec(host) is None:
        raise MissingDependencyError(
            f'{name} needs the package {host}, which is not installed: '
            f'pip install "sci_plugins[{extra}]"'
        )


class HostAwareRegistry(Registry):
    """A registry whose host-dependent entries import when first asked for."""

    def get(self, key: str) -> type | None:
        name = key.removeprefix(f'{self.scope}.')
        if name in HOST_MODULES and name not in self._module_dict:
            module, host, extra = HOST_MODULES[name]
            require_host(f'{self.scope}.{name}', host, extra)
            import_module(module)
        return super().get(key)


MODELS = HostAwareRegistry(
    'model', parent=MMENGINE_MODELS, scope='sci_plugins', locations=['sci_plugins.models']
)
TASK_UTILS = HostAwareRegistry(
    'task util', parent=MMENGINE_TASK_UTILS, scope='sci_plugins', locations=['sci_plugins.models']
)
DATASETS = HostAwareRegistry(
    'dataset', parent=MMENGINE_DATASETS, scope='sci_plugins', locations=['sci_plugins.datasets']
)
DATA_SAMPLERS = Registry(
    'data sampler',
    parent=MMENGINE_DATA_SAMPLERS,
    scope='sci_plugins',
    locations=['sci_plugins.datasets'],
)
FUNCTIONS = Registry(
    'function', parent=MMENGINE_FUNCTIONS, scope='sci_plugins', locations=['sci_plugins.datasets']
)
TRANSFORMS = Registry(
    'transform',
    parent=MMENGINE_TRANSFORMS,
    scope='sci_plugins',
    locations=['sci_plugins.datasets.transforms'],
)
HOOKS = Registry(
    'hook', parent=MMENGINE_HOOKS, scope='sci_plugins', locations=['sci_plugins.engine.hooks']
)
METRICS = Registry(
    'metric',
    parent=MMENGINE_METRICS,
    scope='sci_plugins',
    locations=['sci_plugins.evaluation.metrics'],
)
VISBACKENDS = Registry(
    'vis_backend',
    parent=MMENGINE_VISBACKENDS,
    scope='sci_plugins',
    locations=['sci_plugins.visualization'],
)
