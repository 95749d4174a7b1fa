"""Checking data sets before they are used."""

import os
from collections.abc import Callable
from typing import Any

from sci_plugins.datasets.check_report import CheckReport
from sci_plugins.datasets.darkface_check import check_darkface
from sci_plugins.datasets.night_segmentation_check import (
    check_acdc,
    check_bdd100k,
    check_camvid,
    check_dark_zurich,
    check_night_driving,
    check_nightcity,
)
from sci_plugins.errors import ConfigError

#: Name of the data set -> its check: the folder, then options by name.
CHECKS: dict[str, Callable[..., CheckReport]] = dict(
    darkface=check_darkface,
    acdc=check_acdc,
    darkzurich=check_dark_zurich,
    nightdriving=check_night_driving,
    nightcity=check_nightcity,
    bdd100k=check_bdd100k,
    camvid=check_camvid,
)


def check_data(name: str, root: str | os.PathLike[str], **options: Any) -> CheckReport:
    """Check a data set's folder.

    Args:
        name: one of :data:`CHECKS`.
        root: the data set's folder.
        **options: those of the data set's own check.

    Raises:
        ConfigError: if there is no check for the name.
        DataError: if there is nothing to check.
    """
    if name not in CHECKS:
        raise ConfigError(f'data set must be one of {", ".join(CHECKS)}; got {name!r}')
    return CHECKS[name](root, **options)


def parse_size(text: str) -> tuple[int, int]:
    """``'1080x720'`` as (width, height).

    Raises:
        ConfigError: if it is something else.
    """
    width, _, height = text.lower().partition('x')
    if not (width.isdecimal() and height.isdecimal()):
        raise ConfigError(f'size must be WIDTHxHEIGHT in pixels, got {text!r}')
    return int(width), int(height)
