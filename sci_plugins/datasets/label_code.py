"""What the numbers of a label map mean, and which should not be there."""

from collections.abc import Mapping
from dataclasses import dataclass

#: How many strange values of one label map are named.
_NAMED = 8
#: Cityscapes' ids are below this, its trainIds below 19.
_IDS = 34


@dataclass(frozen=True)
class LabelCode:
    """What the numbers of a label map mean.

    Args:
        classes: value -> class; several values may be no class at all.
        ignored: values of pixels that count nowhere.
        hint: what to say of a label map with other values, ``''`` for nothing.
    """

    classes: Mapping[int, str]
    ignored: frozenset[int]
    hint: str = ''

    def known(self) -> frozenset[int]:
        return self.ignored | self.classes.keys()

    def tell(self, strange: Mapping[int, int]) -> str:
        """The end of a sentence on a label map with values that are not known.

        Args:
            strange: value -> number of pixels.
        """
        named = [f'{value} ({n} pixels)' for value, n in list(strange.items())[:_NAMED]]
        if len(strange) > _NAMED:
            named.append(f'{len(strange) - _NAMED} more')
        hint = f' ({self.hint})' if self.hint and max(strange) < _IDS else ''
        return f'holds {", ".join(named)}; known are {_tell_runs(self.known())}{hint}'


def _tell_runs(numbers: frozenset[int]) -> str:
    """``'0 to 18, 255'``"""
    starts = sorted(number for number in numbers if number - 1 not in numbers)
    ends = sorted(number for number in numbers if number + 1 not in numbers)
    runs = zip(starts, ends, strict=True)
    return ', '.join(f'{a}' if a == b else f'{a} to {b}' for a, b in runs)
