"""What limits the numbers of a comparison: lines for the top of every report."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from sci_plugins.evaluation.comparison import Comparison, VariantResult, differing_protocols
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
    every = [(f'{row.condition}, {each.variant}: ', each) for row in rows for each in row.all]
    bases = ((row.condition, row.base) for row in rows if row.base.weakness)
    constant = [where + each.constant for where, each in every if each.constant]
    found: dict[str, Iterable[str]] = {
        'Unfinished': [_unfinished(comparison)],
        'Seen in training': _seen(comparison.about),
        'Few units': [few],
        'Two numbers of one metric': _differences(every),
        'Different protocols': _joined(
            'These results do not share {}.', differing_protocols(each for _, each in every)
        ),
        'Weak base': _joined(_WEAK, [f'{c}, {base.variant}: {base.weakness}' for c, base in bases]),
        'Constant predictions': _joined('The same for every image: {}.', constant),
        'Identical results': _joined(
            "Equal to the base's on every image, to the bit: {}.", list(_identical(rows))
        ),
    }
    return [(title, text) for title, texts in found.items() for text in texts if text]


def _joined(sentence: str, facts: Collection[str]) -> list[str]:
    return [sentence.format('; '.join(facts))] if facts else []


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


def _differences(every: Sequence[tuple[str, VariantResult]]) -> Iterable[str]:
    """One for each reason."""
    found: dict[str, str] = {}
    for where, each in every:
        if each.difference:
            reason = each.difference.partition(' differ ')[2]
            found.setdefault(reason, f'{where}{each.difference}.')
    return found.values()


def _identical(rows: Sequence[ConditionRows]) -> Iterator[str]:
    for row in rows:
        names = [name for name, found in row.analyses.items() if found.identical]
        if names:
            yield f'{row.condition}: {listing(names)}'
