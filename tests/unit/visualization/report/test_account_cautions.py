"""What limits the numbers stands on top, and nothing else does."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from sci_plugins.evaluation.comparison import Comparison, VariantResult
from sci_plugins.utils.schema import from_content, to_content
from sci_plugins.visualization.report import render_report, tell_comparison
from sci_plugins.visualization.report.account import Account
from tests.report_samples import make_comparison


def _warned(comparison: Comparison) -> dict[str, str]:
    return dict(Account(comparison).warnings)


def _with(change: Callable[[VariantResult], VariantResult], at: int) -> Comparison:
    comparison = make_comparison({'gamma': [0.1, 0.1]})
    comparison.results[at] = change(comparison.results[at])
    return comparison


def test_a_whole_comparison_has_no_warning() -> None:
    comparison = make_comparison({'gamma': [0.1, 0.1]})
    names = ['as is', 'gain 0.1, noise 0']
    comparison.about['planned'] = dict(conditions=names, variants=['none', 'gamma'])
    comparison.about['seen_in_training'] = {'': 0}
    assert _warned(comparison) == {}
    assert Account(comparison).headline.startswith('Helps')


def test_an_unfinished_one_says_so_on_top() -> None:
    comparison = make_comparison({'gamma': [0.1, 0.1], 'clahe': [0.1, 0.1]})
    names = ['as is', 'gain 0.1, noise 0', 'dusk', 'night']
    comparison.about['planned'] = dict(conditions=names, variants=['none', 'gamma', 'clahe'])
    del comparison.results[-1]
    found = Account(comparison)
    assert found.headline == ('Unfinished, 1 of 4 conditions measured: Helps in all 3 comparisons')
    assert dict(found.warnings)['Unfinished'].startswith(
        '1 of 4 conditions measured. Still missing: gain 0.1, noise 0 (clahe); '
        'dusk (none, gamma, clahe); night (none, gamma, clahe).'
    )
    assert '<strong>Unfinished.</strong> 1 of 4' in render_report(comparison, {}, [])
    assert '**Unfinished.** 1 of 4' in tell_comparison(comparison)


@pytest.mark.parametrize(
    ('at', 'changes', 'title', 'text'),
    [
        (2, dict(weakness='AP is 3.0, below 10'), 'Weak base',
         'gain 0.1, noise 0, none: AP is 3.0, below 10. A network'),
        (1, dict(constant='every pixel road'), 'Constant predictions',
         'The same for every image: as is, gamma: every pixel road.'),
    ],
)  # fmt: skip
def test_weak_results(at: int, changes: dict[str, str], title: str, text: str) -> None:
    found = _warned(_with(lambda each: replace(each, **changes), at))  # type: ignore[arg-type]
    assert list(found) == [title]
    assert found[title].startswith(text)


def test_results_that_are_equal_to_the_bit() -> None:
    def equal(result: VariantResult) -> VariantResult:
        assert result.analysis is not None
        return replace(result, analysis=replace(result.analysis, identical=True))

    found = _warned(_with(equal, 3))
    told = "Equal to the base's on every image, to the bit: gain 0.1, noise 0: gamma."
    assert found == {'Identical results': told}


def test_results_under_different_protocols() -> None:
    comparison = make_comparison({'gamma': [0.1]})
    for index, scale in enumerate(('640', '416')):
        comparison.results[index] = replace(comparison.results[index], protocol=dict(scale=scale))
    told = 'These results do not share scale: 640 (none), 416 (gamma).'
    assert _warned(comparison) == {'Different protocols': told}
    assert '| scale | 640 |' in tell_comparison(comparison)


@pytest.mark.parametrize(
    ('label', 'number', 'text'),
    [('', 3, '3 test images are in the training set of the config'),
     ('joint', 1, '1 test image is in the training set of joint')],
)  # fmt: skip
def test_images_of_the_training_set(label: str, number: int, text: str) -> None:
    comparison = make_comparison({'gamma': [0.1]}, about=dict(seen_in_training={label: number}))
    assert _warned(comparison)['Seen in training'].startswith(text)


def test_each_reason_of_a_difference_is_told_once() -> None:
    comparison = make_comparison({'gamma': [0.1, 0.1]})
    told = ("E's AP 0.1 and R's AP 0.2 differ because <b>", 'AP 0.3 and 0.4 differ because <b>')
    comparison.results = [
        replace(result, difference=text)
        for result, text in zip(comparison.results, (*told, 'x differ (y)', ''), strict=True)
    ]
    texts = (f'as is, none: {told[0]}.', 'gain 0.1, noise 0, none: x differ (y).')
    found = Account(comparison).warnings
    assert found == [('Two numbers of one metric', text) for text in texts]
    again = from_content(VariantResult, to_content(comparison.results[0]), 'comparison.json')
    assert again.difference == told[0]
    assert 'differ because &lt;b&gt;.' in tell_comparison(comparison)
    page = render_report(comparison, {}, [])
    assert 'E&#39;s AP 0.1 and R&#39;s AP 0.2 differ because &lt;b&gt;.' in page
    assert 'Two numbers' not in tell_comparison(make_comparison({'gamma': [0.1]}))
