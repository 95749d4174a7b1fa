"""The scope ``sci_plugins``: children of MMEngine's root registries.

``type='sci_plugins.X'`` resolves in any config, whatever its ``default_scope``, because MMEngine
imports ``<scope>.registry`` by itself. An ImportError in this file would be swallowed there, so it
imports nothing heavy. What needs a host is imported only when asked for by name: an mmseg user need
not have mmdet, and the reverse.
"""

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple, TypeVar

import mmengine.registry
from mmengine.registry import Registry

from sci_plugins.compat import INSTALL
from sci_plugins.errors import MissingDependencyError

Kind = TypeVar('Kind', bound=Registry)


class Host(NamedTuple):
    """A family of models that an enhancer can stand in front of; its package is its scope."""

    install: str  # how to install it, for an error
    preprocessor: str  # its class of data preprocessors
    enhanced: str | None  # ours, with a ``type`` for configs; if ``None``, ``attach`` makes one
    #: steps of its pipelines that load an image
    loaders: tuple[str, ...] = ('LoadImageFromFile', 'LoadImageFromNDArray')
    fill_color: float | None = None  # what its pipelines pad with; ``None`` if they do not


#: Scope -> host: all that this package knows of each.
HOSTS = {
    # The colour of YOLOX, RTMDet and their relatives.
    'mmdet': Host(INSTALL, 'DetDataPreprocessor', 'EnhancedDetDataPreprocessor', fill_color=114),
    'mmseg': Host(INSTALL, 'SegDataPreProcessor', 'EnhancedSegDataPreProcessor'),
    'mmpretrain': Host('pip install onedl-mmpretrain', 'ClsDataPreprocessor', None),
    'mmpose': Host('pip install mmpose', 'PoseDataPreprocessor', None, ('LoadImage',)),
}

# Scope of the host -> module that needs it -> what the module registers.
_NEEDING: dict[str, dict[str, tuple[str, ...]]] = {
    'mmdet': {
        'models.data_preprocessors.det': ('EnhancedDetDataPreprocessor',),
        'models.detectors.s3fd': ('S3FDVGG', 'S3FDNeck', 'S3FDHead', 'ScaleCompensatedAssigner'),
        'models.detectors.yunet': ('YuNetONNX',),  # asks for onnxruntime by itself
        'datasets.darkface': ('DarkFaceDataset',),
        'datasets.exdark': ('ExDarkDataset',),
        'datasets.wider_face': ('WiderFaceTextDataset',),
        'datasets.coco_face': ('CocoFaceDataset',),
    },
    'mmseg': {
        'models.data_preprocessors.seg': ('EnhancedSegDataPreProcessor',),
        'models.segmentors.espnet': ('ESPNet', 'ScoresHead'),
        'demo.night_street': ('NightStreetDataset',),
        'datasets.camvid': ('CamVidDataset',),
        'datasets.acdc': ('ACDCDataset',),
        'datasets.nightcity': ('NightCityDataset',),
        'datasets.bdd100k_night': ('BDD100KNightDataset',),
    },
}
#: Name -> (module that registers it, scope of the host that it needs).
HOST_MODULES = {
    name: (f'sci_plugins.{module}', scope)
    for scope, modules in _NEEDING.items()
    for module, names in modules.items()
    for name in names
}


def type_name_of(node: Any) -> str:
    """Bare name of what a config's ``type``, a name or a class, builds; empty without one."""
    kind = node.get('type') if isinstance(node, Mapping) else None
    return str(getattr(kind, '__name__', kind or '')).rpartition('.')[2]


def is_type(node: Any, *names: str) -> bool:
    """Whether a config builds one of the named classes."""
    return type_name_of(node) in names


def scope_of(cfg: Mapping[str, Any]) -> str:
    """The scope that a config's names are looked up in; without one, the host of its model."""
    if cfg.get('default_scope'):
        return str(cfg['default_scope'])
    kind = (cfg.get('model') or {}).get('type')
    bases = kind.__mro__ if isinstance(kind, type) else ()
    modules = [str(kind), *(base.__module__ for base in bases)]
    scopes = (module.partition('.')[0] for module in modules)
    return next((scope for scope in scopes if scope in HOSTS), 'mmengine')


def require_host(name: str, package: str, extra: str | None = None) -> None:
    """Raise ``MissingDependencyError`` without ``package``, which ``name`` needs.

    ``extra`` is that of this package which installs it, not needed for a host.
    """
    if find_spec(package) is None:
        install = f'pip install "sci_plugins[{extra}]"' if extra else HOSTS[package].install
        told = f'{name} needs the package {package}, which is not installed'
        raise MissingDependencyError(f'{told}: {install}')


def host_class(path: str) -> Any:
    """A host's class to derive from, such as ``'mmseg.datasets.BaseSegDataset'``.

    Without the host it is a stand-in: making an instance raises ``MissingDependencyError``.
    """
    module, _, name = path.rpartition('.')
    host = path.partition('.')[0]
    if find_spec(host) is not None:
        return getattr(import_module(module), name)

    def refuse(self: Any, *args: Any, **kwargs: Any) -> None:
        require_host(type(self).__name__, host)

    return type(name, (), dict(__init__=refuse))


class HostAwareRegistry(Registry):
    """A registry whose host-dependent entries import when first asked for."""

    def get(self, key: str) -> type | None:
        name = key.removeprefix(f'{self.scope}.')
        if name in HOST_MODULES and name not in self._module_dict:
            module, host = HOST_MODULES[name]
            require_host(f'{self.scope}.{name}', host)
            import_module(module)
        return super().get(key)


def _child(kind: type[Kind], root: str, folder: str) -> Kind:
    parent: Registry = getattr(mmengine.registry, root)
    locations = [f'sci_plugins.{folder}']
    return kind(parent.name, parent=parent, scope='sci_plugins', locations=locations)


MODELS = _child(HostAwareRegistry, 'MODELS', 'models')
TASK_UTILS = _child(HostAwareRegistry, 'TASK_UTILS', 'models')
DATASETS = _child(HostAwareRegistry, 'DATASETS', 'datasets')
DATA_SAMPLERS = _child(Registry, 'DATA_SAMPLERS', 'datasets')
FUNCTIONS = _child(Registry, 'FUNCTIONS', 'datasets')
TRANSFORMS = _child(Registry, 'TRANSFORMS', 'datasets.transforms')
HOOKS = _child(Registry, 'HOOKS', 'engine.hooks')
METRICS = _child(Registry, 'METRICS', 'evaluation.metrics')
VISBACKENDS = _child(Registry, 'VISBACKENDS', 'visualization')
_HOMES = [f'sci_plugins.evaluation.{k}_records' for k in ('detection', 'instance', 'segmentation')]
#: Classes of :class:`sci_plugins.ImageRecords`; MMEngine has no such registry.
RECORDS = Registry('image records', scope='sci_plugins', locations=_HOMES)
