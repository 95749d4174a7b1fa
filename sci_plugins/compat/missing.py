"""The one line for an operation that the stand-in does not have."""

from collections.abc import Sequence

from sci_plugins.errors import SciPluginsError

# With torch in sight mmcv compiles its ops, hence no isolation; pip may have kept a
# wheel without them, hence no cache.
INSTALL = (
    'pip install --no-build-isolation --no-cache-dir --no-deps --force-reinstall '
    'onedl-mmcv'
)


class MissingOpError(SciPluginsError, NotImplementedError):
    """An operation of mmcv that only its compiled extension has.

    Args:
        name: The operation that was called.
        available: The operations that the stand-in has.
    """

    def __init__(self, name: str, available: Sequence[str]) -> None:
        super().__init__(
            f'mmcv op {name}: mmcv has no compiled ops here, and their stand-in from '
            f'torchvision has only {", ".join(available)}; compile them (10-20 minutes): '
            f'{INSTALL}'
        )
