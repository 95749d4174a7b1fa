"""Which classes a mean IoU is over: all, or the subsets of publications."""

from collections.abc import Sequence

from sci_plugins.datasets.night_layouts import CITYSCAPES
from sci_plugins.errors import ConfigError

_RARE_AT_NIGHT = ('rider', 'truck', 'bus', 'motorcycle')
#: Size -> classes. 15: IAT's table of ACDC-night, without four that are rare there.
#: 5: those whose mean stands beside the pictures of the SCI paper.
SUBSETS = {
    19: CITYSCAPES,
    15: tuple(name for name in CITYSCAPES if name not in _RARE_AT_NIGHT),
    5: ('road', 'fence', 'traffic sign', 'sky', 'train'),
}


def choose_classes(
    wanted: int | Sequence[str] | None, classes: Sequence[str]
) -> tuple[str, ...]:
    """The classes that a mean is over, in the order of the data set.

    Args:
        wanted: 19, 15 or 5 of Cityscapes' classes (see :data:`SUBSETS`), names of
            classes, or ``None`` for all.
        classes: those of the data set.

    Raises:
        ConfigError: if there is no such subset, or the data set lacks one of its
            classes.
    """
    if wanted is None:
        return tuple(classes)
    if isinstance(wanted, int):
        if wanted not in SUBSETS:
            raise ConfigError(
                f'classes must be 19, 15, 5 or a list of names, got {wanted}'
            )
        names: Sequence[str] = SUBSETS[wanted]
    else:
        names = [wanted] if isinstance(wanted, str) else list(wanted)
    missing = [name for name in names if name not in classes]
    if missing:
        raise ConfigError(
            f'classes={wanted!r} needs {", ".join(map(repr, missing))}; the data set '
            f'has {", ".join(classes)}'
        )
    if not names or len(set(names)) != len(names):
        raise ConfigError(f'classes must be different names, at least one; got {names}')
    return tuple(name for name in classes if name in names)
