"""mmcv's operations as the stand-in computes them."""

from types import ModuleType

import pytest

import sci_plugins  # noqa: F401  (installs the finder)
from sci_plugins.compat import StandInLoader


@pytest.fixture(scope='session')
def extension() -> ModuleType:
    """``mmcv._ext``; where mmcv has a compiled one there is nothing to test."""
    import mmcv._ext

    if not isinstance(mmcv._ext.__spec__.loader, StandInLoader):
        pytest.skip('mmcv has compiled ops here, so the stand-in is not in use')
    return mmcv._ext


@pytest.fixture(scope='session')
def ops(extension: ModuleType) -> ModuleType:
    """``mmcv.ops``, the public functions and modules."""
    import mmcv.ops

    return mmcv.ops
