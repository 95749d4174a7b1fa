"""Results of an earlier run that need not be measured again."""

import json
from pathlib import Path

from sci_plugins.apis.compare.about import find_change
from sci_plugins.apis.compare.records import RecordStore
from sci_plugins.errors import ConfigError
from sci_plugins.evaluation.comparison import Comparison, VariantResult

#: How results are judged; another way needs no new measurement.
_JUDGING = ('base', 'resample', 'resamples', 'seed', 'metric')


def read_earlier(folder: Path, comparison: Comparison, store: RecordStore) -> None:
    """Put the results in ``folder`` into a comparison that has none yet.

    Those whose records are gone are left out, to be measured again; analyses that were
    made in another way than now are dropped, to be made again from the records.

    Args:
        folder: with ``comparison.json``; without, nothing happens.
        comparison: gets the results, and what is told of variants that it has not.
        store: where the records are.

    Raises:
        ConfigError: if the file is damaged, or was made with something else.
    """
    path = folder / 'comparison.json'
    if not path.is_file():
        return
    try:
        content = json.loads(path.read_text())
        about = dict(content['about'])
        results = [VariantResult.from_dict(result) for result in content['results']]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f'{path} is damaged: {error}; leave out --resume') from error
    change = find_change(about, comparison.about)
    if change:
        raise ConfigError(
            f'{path} was made with {change}; choose another --work-dir or leave out '
            '--resume'
        )
    for key in ('weights', 'config_diff'):
        comparison.about[key] = (about.get(key) or {}) | comparison.about[key]
    same = all(about.get(key) == comparison.about.get(key) for key in _JUDGING)
    comparison.results = [
        result if same else result.without_analysis()
        for result in results
        if result.note or store.path(result.condition, result.variant).is_file()
    ]
