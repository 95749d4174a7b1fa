"""The report itself: everything that is told, put into the template."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sci_plugins.errors import MissingDependencyError
from sci_plugins.evaluation.comparison import Comparison
from sci_plugins.evaluation.comparison_definitions import definitions_of
from sci_plugins.visualization.report import facts, plots, sections, summary
from sci_plugins.visualization.report.inputs import Curve, Sheet
from sci_plugins.visualization.report.pictures import BUDGET, Picture, collect
from sci_plugins.visualization.report.rows import (
    ConditionRows,
    all_analyses,
    label_of,
    labels_of,
    rows_of,
)
from sci_plugins.visualization.report.wording import is_percentage, places_of, signed

_TEMPLATES = Path(__file__).parent / 'templates'


def render_report(
    comparison: Comparison,
    curves: Mapping[tuple[str, str], Curve],
    sheets: Sequence[Sheet],
    legend: Sequence[tuple[str, tuple[int, int, int]]] = (),
    *,
    picture_budget: int = BUDGET,
) -> str:
    """Tell a comparison as one HTML page that needs nothing else: no network, no script.

    Args:
        comparison: the results, with the analysis of each against the base.
        curves: precision against recall, by the condition's name and the variant's
            name in the tables (:func:`label_of`).
        sheets: pictures of the images that gained and lost most.
        legend: names and RGB colours in [0, 255] of the classes in the pictures.
        picture_budget: most bytes that the pictures take in the page; where they are
            more, they are shown smaller, then fewer, and the page says so.

    Returns:
        The page, UTF-8 when it is written to a file.

    Raises:
        MissingDependencyError: if Jinja2 is not installed.
        DataError: if recall and precision of a curve differ in length.
    """
    page = _environment().get_template('report.html.j2')
    return str(
        page.render(**_content(comparison, curves, sheets, legend, picture_budget))
    )


def _environment() -> Any:
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError as error:
        raise MissingDependencyError(
            'the report needs the package Jinja2, which is not installed: '
            'pip install "sci_plugins[det]" or "sci_plugins[seg]"'
        ) from error
    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _content(
    comparison: Comparison,
    curves: Mapping[tuple[str, str], Curve],
    sheets: Sequence[Sheet],
    legend: Sequence[tuple[str, tuple[int, int, int]]],
    picture_budget: int,
) -> dict[str, Any]:
    rows, about = rows_of(comparison), comparison.about
    metric = _metric(rows)
    labels = [label_of(rows[0].base), *labels_of(rows)] if rows else []
    album = collect(sheets, picture_budget)
    return dict(
        about=about,
        metric=metric,
        unit='in percent' if is_percentage(metric) else 'from 0 to 1',
        base=labels[0] if labels else '',
        images=rows[0].base.images if rows else 0,
        resampling=facts.resampling_of(rows, about),
        **_answer(rows, metric),
        **_details(rows),
        labels=labels,
        line_style=plots.line_style,
        drawing=plots,
        plots=plots.precision_recall(rows, labels, curves),
        legend=legend,
        album=album,
        picture_groups=_grouped(album.pictures, metric),
        definitions=definitions_of(
            name for found in all_analyses(rows) for name in found.intervals
        ),
        diffs={
            label: facts.diff_lines(text)
            for label, text in (about.get('config_diff') or {}).items()
        },
        environment=about.get('environment') or {},
        versions=facts.versions_of(about),
        weights=facts.weights_of(about),
        settings=facts.settings_of(about),
    )


def _metric(rows: Sequence[ConditionRows]) -> str:
    """The metric that decides; empty without any analysis."""
    return next((found.metric for found in all_analyses(rows)), '')


def _answer(rows: Sequence[ConditionRows], metric: str) -> dict[str, Any]:
    return dict(
        headline=summary.headline(rows),
        judged=len(all_analyses(rows)),
        sentences=[(row.condition, summary.sentence(row)) for row in rows],
        matrix=summary.matrix(rows) if metric else None,
        forests=summary.forests(rows) if metric else [],
    )


def _details(rows: Sequence[ConditionRows]) -> dict[str, Any]:
    return dict(
        strata=[*sections.by_group(rows), *sections.by_size(rows)],
        classes=sections.by_class(rows),
        metrics=sections.all_metrics(rows),
        host_numbers=sections.host_numbers(rows),
    )


def _grouped(
    pictures: Sequence[Picture], metric: str
) -> dict[str, dict[str, list[tuple[Picture, str]]]]:
    """Condition -> variant -> pictures, each with its effect as text."""
    groups: dict[str, dict[str, list[tuple[Picture, str]]]] = {}
    places = places_of(metric)
    for picture in pictures:
        sheet = picture.sheet
        variants = groups.setdefault(sheet.condition, {})
        effect = signed(sheet.effect, places)
        variants.setdefault(sheet.variant, []).append((picture, effect))
    return groups
