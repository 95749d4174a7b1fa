"""What the numbers rest on: images drawn anew, settings, versions, weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sci_plugins.evaluation.bootstrap import FEW_UNITS
from sci_plugins.visualization.report.rows import ConditionRows, all_analyses
from sci_plugins.visualization.report.wording import count

_TOLD_ELSEWHERE = ('environment', 'weights', 'config_diff', 'versions', 'base')


@dataclass(frozen=True)
class Resampling:
    """How the intervals were made."""

    text: str
    few: str = ''  # the units, where they are too few: '4 clips'

    @property
    def caveat(self) -> str:
        """For the headline."""
        return f', but from only {self.few}' if self.few else ''

    @property
    def warning(self) -> str:
        if not self.few:
            return ''
        return (
            f'Only {self.few} to resample: with fewer than {FEW_UNITS} the intervals '
            'are unreliable, as a rule too narrow. Take the verdicts as hints.'
        )

    @property
    def mark(self) -> str:
        """For every caption of a table with intervals."""
        return f' Only {self.few} to resample: see the warning.' if self.few else ''


def resampling_of(rows: Sequence[ConditionRows], about: Mapping[str, Any]) -> Resampling:
    """A sentence on the resamples, and a warning where there are too few units."""
    analyses = all_analyses(rows)
    if not analyses:
        return Resampling('No resamples were drawn, so there are no intervals.')
    unit = str(about.get('resampling') or 'images')
    fewest = min(analyses, key=lambda found: found.units)
    units = f'{fewest.units:,} {unit}'
    if unit != 'images':
        units += f' ({count(fewest.images, "image")})'
    text = (
        f'Paired bootstrap: {units} drawn with replacement '
        f'{count(fewest.resamples, "time")} (seed {fewest.seed}), the same draw for the '
        'base and the variant; the interval holds the middle 95 % of the differences.'
    )
    return Resampling(text, f'{fewest.units} {unit}' * (fewest.units < FEW_UNITS))


def versions_of(about: Mapping[str, Any]) -> dict[str, str]:
    """Package -> version, from a mapping or from ``name version, name version``."""
    versions = about.get('versions') or {}
    if isinstance(versions, Mapping):
        return {str(name): str(value) for name, value in versions.items()}
    pairs = (part.strip().rpartition(' ') for part in str(versions).split(','))
    return {name or value: value if name else '' for name, _, value in pairs}


def weights_of(about: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Variant, name of its weights, sha256 of them."""
    rows = []
    for variant, weights in (about.get('weights') or {}).items():
        found = weights if isinstance(weights, Mapping) else dict(name=weights)
        rows.append((variant, str(found.get('name', '')), str(found.get('sha256') or '')))
    return rows


def settings_of(about: Mapping[str, Any]) -> dict[str, str]:
    """Everything else that was recorded."""
    return {key: str(value) for key, value in about.items() if key not in _TOLD_ELSEWHERE}


def diff_lines(text: str) -> list[tuple[str, str]]:
    """Lines of a unified diff with their class in the style sheet."""
    kinds = {'+': 'added', '-': 'removed', '@': 'place'}
    return [
        ('file' if line.startswith(('+++', '---')) else kinds.get(line[:1], ''), line)
        for line in text.splitlines()
    ]
