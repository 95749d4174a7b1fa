"""The comparison from its arguments to its files: what is measured, judged, drawn and written."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.logging import print_log

from sci_plugins.apis.compare import about, changed, measuring
from sci_plugins.apis.compare.changed import Run
from sci_plugins.apis.compare.contenders import Contenders, ModelSource
from sci_plugins.apis.compare.judging import Judge, mean_result
from sci_plugins.apis.compare.measuring import Kept, RecordStore
from sci_plugins.apis.config import require
from sci_plugins.engine.hooks import DecisionsHook, ImageResultsHook, SampleKeeperHook
from sci_plugins.errors import ConfigError, DataError, check_at_least
from sci_plugins.evaluation.comparison import (
    Comparison,
    VariantResult,
    main_metric,
    read_comparison,
    tell_difference,
)
from sci_plugins.evaluation.conditions import Condition
from sci_plugins.evaluation.decisions import Decisions
from sci_plugins.evaluation.detection_records import DetectionRecords
from sci_plugins.evaluation.records import ImageSet
from sci_plugins.evaluation.seeds import SeedRecords, groups_of
from sci_plugins.registry import require_host
from sci_plugins.utils.files import check_outputs, file_slug, write_atomically
from sci_plugins.utils.folders import check_regular_file
from sci_plugins.utils.images import write_sheet
from sci_plugins.visualization.panels import palette_of
from sci_plugins.visualization.report import Curve, Sheet, render_report
from sci_plugins.visualization.report.markdown import tell_comparison

#: Files of a comparison in its work dir, beside folders of its own.
OUTPUTS = ('comparison.json', 'comparison.md', 'report.html')
#: How results are judged; changing these needs no new measurement.
_JUDGING = ('base', 'resample', 'resamples', 'seed', 'metric', 'margin')


@dataclass(eq=False)
class Session:
    """The parts of a comparison, and what each step does with them."""

    work_dir: Path  # gets all files
    contenders: Contenders
    images: ImageSet  # the test set of the first config, not darkened
    judge: Judge
    comparison: Comparison  # gets the results

    def __post_init__(self) -> None:
        self.store = RecordStore(self.work_dir / 'records', self.comparison.about)
        self._base: tuple[Condition, Kept] | None = None  # kept in memory until the next condition
        self._groups = groups_of(filter(self.contenders.model_of, self.contenders.names))
        self._seeds = {name for members in self._groups.values() for name in members}
        own = (name for name, members in self._groups.items() if self.judge.base in members)
        #: the base, or the mean of the trainings that it belongs to
        self._base_name = next(own, self.judge.base)
        self._curves: dict[tuple[str, str], Curve] = {}

    def measure(self, condition: Condition, drawn: list[int], go_on: bool) -> None:
        """Measure and judge every contender without a result under a condition.

        ``drawn``: positions of the images to draw; ``go_on`` adds columns to existing sheets.
        """
        if go_on and is_main_process():
            self._draw_lost(condition, drawn)
        book = changed.PictureBook(self._pictures(condition), go_on=go_on)
        for name in self.contenders.names:
            if self.comparison.find(condition, name) is not None:
                continue
            keeper = SampleKeeperHook(drawn, self.contenders.view(name).input_max)
            self._measure(condition, name, keeper)
            book.add(name, keeper.samples.values(), keeper.palette)
            book.write()
            if is_main_process():  # after each contender: --resume continues from here
                write_comparison(self.comparison, self.work_dir)

    def judge_all(self) -> None:
        """Judge results without an analysis, from their stored records."""
        if not is_main_process():
            return
        for condition in self.comparison.conditions:
            for name, members in self._groups.items():
                found = [self.comparison.find(condition, each) for each in members]
                there = [each for each in found if each is not None and not each.note]
                if len(there) == len(members) and self.comparison.find(condition, name) is None:
                    self.comparison.replace(mean_result(name, there))
            results = self.comparison.of_condition(condition)
            # The base first: it may be the mean of several trainings.
            for result in sorted(results, key=lambda each: each.variant != self._base_name):
                if self._needs_judging(result):
                    self._judge(result, self._load(result))
        if self.comparison.results:
            write_comparison(self.comparison, self.work_dir)

    def draw_changed(self, condition: Condition, count: int, go_on: bool) -> None:
        """Draw the images, ``count`` each, that gained and lost most, and examples of decisions.

        ``go_on`` keeps existing sheets, unless they are damaged.
        """
        known = (e for e in self._changed(condition, count) if e.variant in self.contenders.names)
        missing = [each for each in known if not (go_on and changed.earlier_sheet(each.path))]
        wanted: dict[str, set[int]] = {}
        for each in missing:
            for name in (self.judge.base, each.variant):
                wanted.setdefault(name, set()).add(self.images.ids.index(each.image))
        runs = self._run_again(condition, wanted)
        changed.write_changed(missing, self.judge.base, self.images, runs)
        if count:
            self._draw_unlabelled(condition, go_on)

    def write(self, report: bool, count: int) -> None:
        """Write all tables, and ``report.html`` if it is wanted, with the pictures that exist."""
        write_comparison(self.comparison, self.work_dir)
        if report:
            legend = changed.legend_of(self.images.metainfo, self.images.has_boxes)
            page = render_report(self.comparison, self._curves, self._sheets(count), legend)
            write_atomically(self.work_dir / 'report.html', page)

    def take_earlier(self) -> None:
        """Take the results of an earlier run in ``comparison.json``, if there is one.

        Analyses with other settings than now are made again from the records; results without
        intact records are measured again.

        Raises:
            ConfigError: if the file is damaged, or was made with something else or on other images.
        """
        path, now = self.work_dir / OUTPUTS[0], self.comparison.about
        if not path.exists():
            return
        try:
            earlier = read_comparison(check_regular_file(path))
        except DataError as error:
            raise ConfigError(f'cannot resume: {error}; leave out --resume') from error
        before, advice = earlier.about, 'choose another --work-dir or leave out --resume'
        if change := about.find_change(before, now):
            raise ConfigError(f'{path} was made with {change}; {advice}')
        for key in ('weights', 'config_diff'):
            now[key] = (before.get(key) or {}) | now[key]
        same = all(before.get(key) == now.get(key) for key in _JUDGING)
        # Means of several trainings are made again.
        for each in (result for result in earlier.results if not result.members):
            result = each if same else replace(each, analysis=None)
            kept = self._find_kept(result)
            found, decided = result.analysis, result.decisions
            named = [effect.image for effect in (*found.gained, *found.lost)] if found else []
            named += decided.images if decided else []
            ids = kept.records.ids if kept else self.images.ids
            if ids != self.images.ids or not set(named) <= set(ids):
                told = f'{result.variant} was measured on other images than the test set has now'
                raise ConfigError(f'{self.work_dir}: {told}; {advice}')
            if kept:
                self._add_curve(result, kept)
                result = self.judge.with_weakness(result, kept)
            if kept or result.note:
                self.comparison.replace(result)

    def _find_kept(self, result: VariantResult) -> Kept | None:
        """The records of a result of an earlier run; ``None`` without any, or if damaged."""
        try:
            return None if result.note else self.store.load(result.condition, result.variant)
        except DataError as error:
            told = f'{error}: {result.variant} is measured again'
            print_log(told, logger='current', level=logging.WARNING)
            return None

    def _measure(self, condition: Condition, name: str, keeper: SampleKeeperHook) -> None:
        view, own = self.contenders.view(name), self.contenders.config(name, condition)
        hook = ImageResultsHook(view.input_order, view.fill_color, view.input_max)
        cfg, decided = measuring.prepare_config(own, condition, self.work_dir), DecisionsHook()
        hooks = [keeper, hook, decided]
        result = measuring.measure(cfg, self.contenders.open(name), name, condition, hooks)
        if hook.results is None:  # not the main process
            self.comparison.replace(result)
            return
        decisions = Decisions.of(self.images.ids, decided.found or {})
        result = replace(result, decisions=decisions, protocol=about.protocol_of(own, self.images))
        kept = measuring.make_records(hook)
        if isinstance(kept, str):
            main_metric(result.metrics, self.judge.metric)  # refuse an unknown one now
            self.comparison.replace(replace(result, note=kept))
            return
        self.store.save(condition, name, kept)
        told = tell_difference(result.metrics, kept.records, hook.run)
        if told and not any(each.difference for each in self.comparison.results):
            print_log(f'{condition.name}, {name}: {told}', 'current', logging.WARNING)
        self._judge(replace(result, difference=told), kept)

    def _judge(self, result: VariantResult, kept: Kept) -> None:
        condition = result.condition
        self._add_curve(result, kept)
        result = self.judge.with_weakness(result, kept)
        if result.variant == self._base_name:
            self._base = condition, kept
        elif result.variant not in self._seeds:
            base = self.comparison.find(condition, self._base_name)
            if base is not None and not base.note:
                if self._base is None or self._base[0] != condition:
                    self._base = condition, self._load(base)
                result = self.judge.judge(result, kept, base, self._base[1])
        self.comparison.replace(result)

    def _needs_judging(self, result: VariantResult) -> bool:
        if result.analysis is not None or result.variant in self._seeds:
            return False
        if result.variant == self._base_name:
            return bool(result.members)
        base = self.comparison.find(result.condition, self._base_name)
        return base is not None and not result.note

    def _changed(self, condition: Condition, count: int) -> list[Sheet]:
        results, folder = self.comparison.of_condition(condition), self._pictures(condition)
        decided = changed.decided_images(results, folder / 'decisions') if count else []
        return [*changed.changed_images(results, folder / 'changed', count), *decided]

    def _pictures(self, condition: Condition) -> Path:
        return self.work_dir / 'pictures' / condition.slug

    def _unlabelled(self, condition: Condition, variant: str) -> Path:
        return self._pictures(condition) / 'unlabelled' / f'{file_slug(variant)}.jpg'

    def _sheets(self, count: int) -> list[Sheet]:
        """All that exist, also those of earlier runs."""
        found: list[Sheet] = []
        for condition in self.comparison.conditions:
            title = condition.name
            spread = sorted(self._pictures(condition).glob('[0-9]*_*.jpg'))
            found += [Sheet(title, '', path.stem.partition('_')[2], 0.0, path) for path in spread]
            found += self._changed(condition, count)
            for name in self.comparison.variants if count else ():
                path = self._unlabelled(condition, name)
                found.append(Sheet(title, name, f'{title}, {name}', 0.0, path, unlabelled=True))
        return [sheet for sheet in found if sheet.path.is_file()]

    def _load(self, result: VariantResult) -> Kept:
        if not result.members:
            return self.store.load(result.condition, result.variant)
        each = [self.store.load(result.condition, name) for name in result.members]
        return Kept(SeedRecords([one.records for one in each]), each[0].luma)

    def _draw_unlabelled(self, condition: Condition, go_on: bool) -> None:
        found = {}
        for result in self.comparison.of_condition(condition):
            name, path = result.variant, self._unlabelled(condition, result.variant)
            known = name in self.contenders.names and name != self._base_name and not result.note
            if not known or (go_on and changed.earlier_sheet(path)):
                continue
            records = self.store.load(condition, name).records
            if isinstance(records, DetectionRecords) and (rows := changed.find_unlabelled(records)):
                found[name] = rows
        wanted = {name: {index for index, _ in rows} for name, rows in found.items()}
        for name, samples in self._run_again(condition, wanted):
            sheet = changed.draw_unlabelled(found[name], samples)
            write_sheet(self._unlabelled(condition, name), sheet)

    def _draw_lost(self, condition: Condition, drawn: list[int]) -> None:
        """Draw the sheets of an earlier run that are missing or damaged."""
        book = changed.PictureBook(self._pictures(condition))
        paths = {place: book.path(place, self.images.file_name(place)) for place in drawn}
        lost = {place for place, path in paths.items() if changed.earlier_sheet(path) is None}
        there = [each.variant for each in self.comparison.of_condition(condition)]
        for name, samples in self._run_again(condition, dict.fromkeys(there, lost)):
            book.add(name, samples, palette_of(self.images.metainfo))
        book.write()

    def _run_again(self, condition: Condition, wanted: Mapping[str, set[int]]) -> Iterator[Run]:
        """What contenders see and find in some images, the base first."""
        tested: dict[int, tuple[Config, ImageSet]] = {}  # by config: each has its own pipeline
        for name in filter(wanted.get, self.contenders.names):
            cfg = self.contenders.config(name, condition)
            if id(cfg) not in tested:
                prepared = measuring.prepare_config(cfg, condition, self.work_dir)
                tested[id(cfg)] = cfg, about.build_image_set(prepared)  # kept, or its id may recur
            model, places = self.contenders.open(name), sorted(wanted[name])
            white = self.contenders.view(name).input_max
            yield name, changed.run_again(model, tested[id(cfg)][1], places, white)

    def _add_curve(self, result: VariantResult, kept: Kept) -> None:
        if (curve := kept.records.curve()) is not None:
            self._curves[result.condition.name, result.variant] = Curve(*curve)


def write_comparison(comparison: Comparison, folder: Path) -> None:
    """Write ``comparison.json`` and ``comparison.md`` into ``folder``, atomically."""
    write_atomically(folder / 'comparison.json', comparison.to_json())
    write_atomically(folder / 'comparison.md', tell_comparison(comparison))


def compare(
    cfg: Config,
    checkpoint: str,
    variants: Sequence[str],
    *,
    models: Mapping[str, ModelSource] | None = None,
    base: str | None = None,
    conditions: Sequence[Condition] = (Condition(),),
    work_dir: str | Path,
    pictures: int = 6,
    changed: int = 4,
    resume: bool = False,
    trust: bool = False,
    input_order: str = 'bgr',
    input_max: float = 255.0,
    report: bool = True,
    **judging: Any,
) -> Comparison:
    """Evaluate a model under several enhancers, and other models, on the same images.

    A paired bootstrap over the results of each image judges every contender against the base; where
    they cannot be kept, a line says why. See docs/compare.md. Of several processes only the main
    one's results have analyses.

    Args:
        cfg, checkpoint: any mmdet or mmseg config, and its weights; ``'none'`` if it has its own.
        variants, models, base, trust, input_order, input_max: see :class:`Contenders`.
        conditions: how the images are darkened before anything else.
        work_dir: gets tables, report, records and pictures.
        pictures, changed: how many images to draw, evenly spaced, and of most gain and loss each.
        resume: keep the results of the same experiment in ``work_dir``.
        report: also write ``report.html``.
        judging: arguments of :class:`Judge` but for the base.

    Raises:
        SciPluginsError: if something does not fit, as early as that can be known.
    """
    check_at_least(0, pictures=pictures, changed=changed)
    judge = Judge('', **judging)
    require(cfg, 'model', 'test_dataloader', 'test_cfg', 'test_evaluator')
    if report:
        require_host('the report (--no-report leaves it out)', 'jinja2', 'det')
    # A resumed comparison.json is read first: if it is damaged, that error names it.
    outputs = [name for name in OUTPUTS if not (resume and name.endswith('.json'))]
    check_outputs(*(Path(work_dir) / name for name in outputs))
    how: Any = dict(base=base, trust=trust, input_order=input_order, input_max=input_max)
    contenders = Contenders(ModelSource(cfg, checkpoint), variants, models, **how)
    images, judge = about.build_image_set(cfg), replace(judge, base=contenders.base)
    contenders.find_images(images.paths, conditions)
    judge.resampling.groups(images.ids)  # refuse an unfit pattern now
    made_with = about.describe(contenders, images) | judge.about()
    made_with['planned'] = dict(conditions=[c.name for c in conditions], variants=contenders.names)
    made_with['seen_in_training'] = about.seen_in_training(contenders, images)
    comparison = Comparison(made_with, metric=judge.metric)
    session = Session(Path(work_dir), contenders, images, judge, comparison)
    if resume:
        session.take_earlier()
    session.judge_all()
    if is_main_process() and session.comparison.results:
        session.write(report, changed)  # says that it is unfinished, should the rest be cut off
    for condition in conditions:
        session.measure(condition, session.images.spread(pictures), resume)
        session.judge_all()  # earlier results, if the base is new
        if is_main_process():
            session.draw_changed(condition, changed, resume)
            session.write(report, changed)
    return session.comparison
