"""The comparison from its arguments to its files, resumed if asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import is_main_process

from sci_plugins.apis.compare.about import build_image_set, describe, find_change, seen_in_training
from sci_plugins.apis.compare.contenders import Contenders, ModelSource
from sci_plugins.apis.compare.judging import Judge
from sci_plugins.apis.compare.session import OUTPUTS, Session
from sci_plugins.apis.config import require
from sci_plugins.errors import ConfigError, DataError, check_at_least
from sci_plugins.evaluation.comparison import Comparison, read_comparison
from sci_plugins.evaluation.conditions import Condition
from sci_plugins.registry import require_host
from sci_plugins.utils.files import check_outputs
from sci_plugins.utils.folders import check_regular_file

#: How results are judged; changing these needs no new measurement.
_JUDGING = ('base', 'resample', 'resamples', 'seed', 'metric', 'margin')


def read_earlier(path: Path, session: Session) -> None:
    """Put the results in ``comparison.json``, if there is one, into a session that has none yet.

    Analyses with other settings than now are dropped and made again from the records.

    Raises:
        ConfigError: if the file is damaged, or was made with something else.
    """
    if not path.exists():
        return
    comparison = session.comparison
    try:
        earlier = read_comparison(check_regular_file(path))
    except DataError as error:
        raise ConfigError(f'cannot resume: {error}; leave out --resume') from error
    about = earlier.about
    if change := find_change(about, comparison.about):
        raise ConfigError(
            f'{path} was made with {change}; choose another --work-dir or leave out --resume'
        )
    for key in ('weights', 'config_diff'):
        comparison.about[key] = (about.get(key) or {}) | comparison.about[key]
    same = all(about.get(key) == comparison.about.get(key) for key in _JUDGING)
    session.take(each if same else replace(each, analysis=None) for each in earlier.results)


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
    they cannot be kept, a line says why. See docs/compare.md.

    Args:
        cfg, checkpoint: any mmdet or mmseg config, and its model's weights; ``'none'`` for a model
            that carries its own.
        variants, models, base, trust, input_order, input_max: see :class:`Contenders`.
        conditions: how the images are darkened before anything else.
        work_dir: gets tables, report, records and pictures.
        pictures, changed: how many evenly spaced images to draw, and how many of those that gained
            most and of those that lost most.
        resume: keep the results of the same experiment in ``work_dir``.
        report: also write ``report.html``.
        judging: ``metric``, ``resample``, ``resamples``, ``seed``, ``margin`` and ``correction``
            of :class:`Judge`.

    Returns:
        The results; under several processes only the main one's have analyses.

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
    session = _begin(Path(work_dir), contenders, replace(judge, base=contenders.base), conditions)
    if resume:
        read_earlier(Path(work_dir) / 'comparison.json', session)
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


def _begin(
    work_dir: Path, contenders: Contenders, judge: Judge, conditions: Sequence[Condition]
) -> Session:
    images = build_image_set(contenders.sources[''].cfg)
    contenders.find_images(images.paths, conditions)
    judge.resampling.groups(images.ids)  # refuse an unfit pattern now
    about = describe(contenders, images) | judge.about()
    about['planned'] = dict(conditions=[c.name for c in conditions], variants=contenders.names)
    about['seen_in_training'] = seen_in_training(contenders, images)
    comparison = Comparison(about, metric=judge.metric)
    return Session(work_dir, contenders, images, judge, comparison)
