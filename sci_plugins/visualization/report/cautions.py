"""What limits the numbers of a comparison: lines for the top of every report."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sci_plugins.evaluation.comparison import Comparison, differing_protocols
from sci_plugins.visualization.report.cells import ConditionRows, count, listing

_UNFINISHED = '{} of {} measured. Still missing: {}. The same command with --resume goes on.'
_WEAK = (
    '{}. A network that hardly works without enhancement cannot tell what enhancement costs, and '
    'any change is large beside its number.'
)
_SEEN = '{} in the training set of {} (same files): its numbers are too good.'


def cautions(
    comparison: Comparison, rows: Sequence[ConditionRows], few: str = ''
) -> list[tuple[str, str]]:
    """Title and text of each, the gravest first; ``few``: what to say of too few units."""
    found = [
        ('Unfinished', _unfinished(comparison)),
        *(('Seen in training', told) for told in _seen(comparison.about)),
        ('Few units', few),
        *(('Two numbers of one metric', told) for told in _differences(rows)),
        ('Different protocols', _protocols(rows)),
        ('Weak base', _WEAK.format(told) if (told := _bases(rows)) else ''),
        ('Constant predictions', _constant(rows)),
        ('Identical results', _identical(rows)),
    ]
    return [each for each in found if each[1]]


def still_open(comparison: Comparison) -> str:
    """For the headline: how many of the planned conditions are measured; empty if all are."""
    left = _missing(comparison)
    done = sum(not each for each in left.values())
    return '' if done == len(left) else f'Unfinished, {done} of {len(left)} conditions measured'


def _missing(comparison: Comparison) -> dict[str, list[str]]:
    """Planned condition -> variants that are not measured under it."""
    planned = comparison.about.get('planned') or {}
    done = {(each.condition.name, each.variant) for each in comparison.results}
    variants = planned.get('variants', [])
    return {
        name: [variant for variant in variants if (name, variant) not in done]
        for name in planned.get('conditions', [])
    }


def _unfinished(comparison: Comparison) -> str:
    left = _missing(comparison)
    told = [f'{name} ({", ".join(missing)})' for name, missing in left.items() if missing]
    done, total = len(left) - len(told), count(len(left), 'condition')
    return _UNFINISHED.format(done, total, '; '.join(told)) if told else ''


def _seen(about: Mapping[str, Any]) -> Iterator[str]:
    for label, number in (about.get('seen_in_training') or {}).items():
        if number:
            images = count(number, 'test image is', 'test images are')
            yield _SEEN.format(images, label or 'the config')


def _differences(rows: Sequence[ConditionRows]) -> Iterable[str]:
    found: dict[str, str] = {}
    for row in rows:
        for each in row.all:
            if each.difference:
                reason = each.difference.partition(' differ ')[2]
                found.setdefault(reason, f'{row.condition}, {each.variant}: {each.difference}.')
    return found.values()


def _protocols(rows: Sequence[ConditionRows]) -> str:
    told = '; '.join(differing_protocols(each for row in rows for each in row.all))
    return told and f'These results do not share {told}.'


def _bases(rows: Sequence[ConditionRows]) -> str:
    weak = (row for row in rows if row.base.weakness)
    return '; '.join(f'{row.condition}, {row.base.variant}: {row.base.weakness}' for row in weak)


def _constant(rows: Sequence[ConditionRows]) -> str:
    every = ((row.condition, each) for row in rows for each in row.all if each.constant)
    told = '; '.join(f'{condition}, {each.variant}: {each.constant}' for condition, each in every)
    return told and f'The same for every image: {told}.'


def _identical(rows: Sequence[ConditionRows]) -> str:
    told = []
    for row in rows:
        names = [name for name, found in row.analyses.items() if found.identical]
        told += [f'{row.condition}: {listing(names)}'] if names else []
    return f"Equal to the base's on every image, to the bit: {'; '.join(told)}." if told else ''
