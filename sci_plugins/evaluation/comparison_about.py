"""What a comparison was made with, and how to read it, as Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from sci_plugins.evaluation.bootstrap import FEW_UNITS

#: Told in another place of the text.
_ELSEWHERE = (
    'config',
    'config_diff',
    'base',
    'resampling',
    'resample',
    'resamples',
    'seed',
)


def tell_about(about: Mapping[str, Any], analyses: Sequence[Any]) -> list[str]:
    """A list: files and their hashes, versions, machine, what Δ and its interval are.

    Args:
        about: see :class:`sci_plugins.evaluation.comparison.Comparison`.
        analyses: of the results that have one.
    """
    lines = [f'- config: {about["config"]}'] if 'config' in about else []
    for key, value in about.items():
        if key in _ELSEWHERE or value in (None, {}):
            continue
        if key == 'weights':
            lines += [f'- {name}: {_weights(each)}' for name, each in value.items()]
        elif isinstance(value, Mapping):
            told = ', '.join(f'{name} {each}' for name, each in value.items())
            lines.append(f'- {key}: {told}')
        else:
            lines.append(f'- {key.replace("_", " ")}: {value}')
    return lines + _how_to_read(about, analyses)


def _weights(weights: Mapping[str, Any]) -> str:
    sha256 = weights.get('sha256')
    return f'{weights.get("name")}' + (f' (sha256 {sha256})' if sha256 else '')


def _how_to_read(about: Mapping[str, Any], analyses: Sequence[Any]) -> list[str]:
    base = about.get('base')
    told = f'{base}, the first column' if base else 'the first column'
    if not analyses:
        return [
            f'- Δ: difference to {told}, on the same images. Without an interval, a '
            'small difference may be chance.'
        ]
    unit = about.get('resampling') or 'images'
    fewest = min(analyses, key=lambda found: found.units)
    units = f'{fewest.units} {unit}'
    if unit != 'images':
        units += f' ({fewest.images} images)'
    lines = [
        f'- Δ: difference to {told}, on the same images; in brackets its 95 % interval, '
        f'by a paired bootstrap: {units} drawn with replacement {fewest.resamples} times '
        f'(seed {fewest.seed}).',
        '- helps, hurts: the whole interval is on one side of 0. No difference shown: 0 '
        'is inside, which does not prove that there is none. The interval tells how much '
        'Δ depends on which images are in the set, and nothing of another training run.',
    ]
    if fewest.units < FEW_UNITS:
        lines.append(
            f'- **Only {fewest.units} {unit}** were there to draw: with fewer than '
            f'{FEW_UNITS} the intervals are unreliable, as a rule too narrow. Take the '
            'verdicts as hints.'
        )
    return lines
