"""A stand-in for mmcv's compiled extension where mmcv is installed without it.

Without the extension ``mmcv.ops`` cannot be imported, hence neither ``mmdet.models`` nor
``mmseg.models``. Most models need three of its operations, and torchvision has all three, in C++
and CUDA.

The finder lives here because installing it must not import torch: a host asks for ``mmcv._ext``
later, if at all.
"""

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import ModuleType

EXTENSION_NAME = 'mmcv._ext'


class StandInLoader(Loader):
    """Fills the module ``mmcv._ext`` with operations that torchvision computes."""

    def create_module(self, spec: ModuleSpec) -> None:
        """Let Python make an empty module."""

    def exec_module(self, module: ModuleType) -> None:
        """Fill ``module``; torch and torchvision are imported here, not earlier."""
        from sci_plugins.compat.ops import fill

        fill(module)


class StandInFinder(MetaPathFinder):
    """Finds ``mmcv._ext`` and nothing else."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The stand-in's spec for ``mmcv._ext``, else None."""
        if fullname != EXTENSION_NAME:
            return None
        return spec_from_loader(fullname, StandInLoader(), origin='sci_plugins.compat')


def install_mmcv_ops() -> None:
    """Make ``mmcv._ext`` importable where mmcv has no compiled extension.

    The finder comes last on ``sys.meta_path``, so that Python's own finders find a compiled
    extension first. Nothing is imported before a host asks for ``mmcv._ext``. Calling this again
    changes nothing.
    """
    if not any(isinstance(finder, StandInFinder) for finder in sys.meta_path):
        sys.meta_path.append(StandInFinder())
