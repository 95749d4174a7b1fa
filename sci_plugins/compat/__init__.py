"""Which of the two families of host packages is installed, and what mmcv lacks there.

OpenMMLab's own packages and their successors, ``onedl-*``, have the same import names. Without its
compiled extension neither ``mmcv.ops`` nor a host's ``models`` can be imported;
:class:`StandInFinder` finds a stand-in, here because installing it must not import torch.
"""

import os
import sys
import warnings
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import ModuleType
from typing import Any

#: Import name -> the distributions that install it, one of which may be there.
DISTRIBUTIONS = {
    'mmengine': ('onedl-mmengine', 'mmengine'),
    'mmcv': ('onedl-mmcv', 'mmcv', 'mmcv-lite'),
    'mmdet': ('onedl-mmdetection', 'mmdet'),
    'mmseg': ('onedl-mmsegmentation', 'mmsegmentation'),
    'mmpretrain': ('onedl-mmpretrain', 'mmpretrain'),
    'mmpose': ('mmpose',),
}
#: What to install for a host, as the end of a sentence.
INSTALL = 'pip install "sci_plugins[onedl]" (or, with OpenMMLab\'s own, "sci_plugins[openmmlab]")'
EXTENSION_NAME = 'mmcv._ext'


class StandInLoader(Loader):
    """Fills the module ``mmcv._ext``, which Python makes, with what torchvision computes."""

    def exec_module(self, module: ModuleType) -> None:
        from sci_plugins.compat.ops import fill  # torch and torchvision are imported here

        fill(module)


class StandInFinder(MetaPathFinder):
    """Finds ``mmcv._ext`` and nothing else."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if fullname != EXTENSION_NAME:
            return None
        return spec_from_loader(fullname, StandInLoader(), origin='sci_plugins.compat')


def install_mmcv_ops() -> None:
    """Make ``mmcv._ext`` importable where mmcv has no compiled extension.

    The finder comes last on ``sys.meta_path``, so that Python's own finders find a compiled
    extension first. Calling this again changes nothing.
    """
    if not any(isinstance(finder, StandInFinder) for finder in sys.meta_path):
        sys.meta_path.append(StandInFinder())


def warn_of_twins() -> None:
    """Warn, in one line, where two distributions of one import name are installed.

    pip lets the second overwrite files of the first, and removes those of both with either.
    """
    folders = filter(os.path.isdir, sys.path)
    # As importlib.metadata finds them, whose import alone takes longer.
    names = (name for folder in folders for name in os.listdir(folder))
    there = {name.split('-')[0].replace('_', '-') for name in names if name.endswith('.dist-info')}
    found = [sorted(there.intersection(each)) for each in DISTRIBUTIONS.values()]
    if twins := [name for names in found if len(names) > 1 for name in names]:
        warnings.warn(
            'two distributions of the same package overwrite each other: pip uninstall -y '
            f'{" ".join(twins)}, then {INSTALL}',
            stacklevel=3,
        )


def make_printable(cfg: Any) -> None:
    """Print a config as it is where mmengine, up to 0.10.7, cannot format classes in it."""
    from mmengine import __version__
    from mmengine.utils import digit_version

    if digit_version(__version__) < digit_version('0.10.8'):
        object.__setattr__(cfg, '_format_python_code', False)
