"""Check data sets before they are used."""

import os
import re
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from sci_plugins.datasets.check_report import CheckReport
from sci_plugins.datasets.night_layouts import NightLayout
from sci_plugins.datasets.segmentation_check import check_segmentation
from sci_plugins.errors import ConfigError, check_workers
from sci_plugins.utils.folders import PathLike

#: Name of the data set -> its layout or its check; imported on demand, since some import a host.
CHECKS = dict(
    darkface='sci_plugins.datasets.darkface_check.check_darkface',
    acdc='sci_plugins.datasets.acdc.ACDC',
    darkzurich='sci_plugins.datasets.acdc.DARK_ZURICH',
    nightdriving='sci_plugins.datasets.acdc.NIGHT_DRIVING',
    nightcity='sci_plugins.datasets.nightcity.check_nightcity',
    bdd100k='sci_plugins.datasets.bdd100k_night.check_bdd100k',
    camvid='sci_plugins.datasets.camvid.CAMVID_LAYOUT',
)


def check_data(name: str | NightLayout, root: PathLike, **options: Any) -> CheckReport:
    """Check a data set's folder.

    Args:
        name: one of :data:`CHECKS`, a layout, or ``'MODULE.LAYOUT'``, also in the current folder.
        **options: of the data set's check, or of :func:`check_segmentation`.

    Raises:
        ConfigError: if the name is unknown, or ``workers`` out of range.
        DataError: if there is nothing to check.
    """
    if 'workers' in options:
        check_workers(options['workers'])
    found = name if isinstance(name, NightLayout) else _find(name)
    if isinstance(found, NightLayout):
        return check_segmentation(found, root, **options)
    return found(root, **options)


def _find(name: str) -> NightLayout | Callable[..., CheckReport]:
    module, _, attribute = CHECKS.get(name, name).rpartition('.')
    if not all(part.isidentifier() for part in (*module.split('.'), attribute)):
        known = ', '.join(CHECKS)
        raise ConfigError(f'data set must be one of {known} or MODULE.LAYOUT; got {name!r}')
    if os.getcwd() not in sys.path:  # for a script, sys.path has the script's folder instead
        sys.path.append(os.getcwd())
    try:
        found = getattr(import_module(module), attribute)
    except (ModuleNotFoundError, AttributeError) as error:
        raise ConfigError(f'cannot load the data set {name}: {error}') from error
    if name not in CHECKS and not isinstance(found, NightLayout):
        raise ConfigError(f'{name}: expected a NightLayout, got {type(found).__name__}')
    return found


def parse_size(text: str) -> tuple[int, int]:
    """``'1080x720'`` as (width, height); ConfigError unless both are from 1 to 999,999."""
    if not (sides := re.fullmatch(r'([1-9]\d{0,5})x([1-9]\d{0,5})', text.lower())):
        raise ConfigError(f'size must be WIDTHxHEIGHT in pixels, got {text!r}')
    return int(sides[1]), int(sides[2])
