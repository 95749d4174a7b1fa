"""The comparison from its arguments to its files."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import is_main_process

from sci_plugins.apis.compare.about import describe
from sci_plugins.apis.compare.contenders import Contenders, ModelSource
from sci_plugins.apis.compare.earlier import read_earlier
from sci_plugins.apis.compare.images import build_image_set
from sci_plugins.apis.compare.judging import Judge
from sci_plugins.apis.compare.resampling import parse_resampling
from sci_plugins.apis.compare.session import Session, write_comparison
from sci_plugins.apis.config import require
from sci_plugins.errors import ConfigError, MissingDependencyError
from sci_plugins.evaluation.comparison import Comparison
from sci_plugins.evaluation.conditions import Condition

__all__ = ['compare', 'write_comparison']


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
    metric: str | None = None,
    resample: str = 'images',
    resamples: int = 1000,
    seed: int = 0,
    report: bool = True,
) -> Comparison:
    """Evaluate a model under several enhancers, and other models, on the same images.

    Each is judged against the base by a paired bootstrap, from what was found image by
    image: :mod:`sci_plugins.evaluation.analysis`. Where that cannot be kept (no truth,
    another kind of task), the numbers stand alone and a line says why.

    Args:
        cfg: any mmdet or mmseg config, plain or with an enhancer.
        checkpoint: weights of the model, or ``'none'`` for one that carries its own.
        variants: enhancers by name (see :func:`build_enhancer`); ``'none'`` is
            the model as it is, ``'config'`` what the config has in front,
            ``'merge(NAME)'`` a segmentor's mean of raw and enhanced.
        models: other trained models by label, on the test set of ``cfg``.
        base: what the others are compared with; ``None``: the first variant.
        conditions: how the images are darkened before anything else.
        work_dir: gets ``comparison.json``, ``comparison.md``, ``report.html``,
            ``records/`` and ``pictures/``; the first two are written anew after each
            variant, the report after each condition.
        pictures: how many images of the set to draw, evenly spaced.
        changed: of how many images that gained most, and as many that lost most, to
            draw what each variant sees and finds.
        resume: keep the results in ``work_dir`` that were made with the same
            config, checkpoint and images, and measure the rest. What is judged
            otherwise than before is judged anew from the stored records.
        trust: allow a checkpoint that holds other objects than weights.
        input_order: channel order that the config's pipeline loads.
        metric: the one that decides, a host's or the records'.
        resample: what the bootstrap draws: ``'images'``, ``'clips:REGEX'`` or
            ``'blocks:N'``.
        resamples: how often it draws.
        seed: of the draws.
        report: also write ``report.html``, which takes Jinja2.

    Returns:
        The results; under several processes only the main one's have analyses.

    Raises:
        ConfigError: if the config lacks a test set, or a name, the metric or an option
            is not known.
        CheckpointError: if the checkpoint cannot be loaded.
        DataError: if stored records are missing or damaged.
        MissingDependencyError: if the report is wanted and Jinja2 is not installed.
    """
    require(cfg, 'model', 'test_dataloader', 'test_cfg', 'test_evaluator')
    _check_options(resamples, report)
    drawn_units = parse_resampling(resample)
    contenders = Contenders(
        ModelSource(cfg, checkpoint),
        variants,
        models,
        base=base,
        trust=trust,
        input_order=input_order,
    )  # fails before anything slow
    images = build_image_set(cfg)
    drawn_units.groups(images.ids)  # an unfit pattern stops here
    judge = Judge(contenders.base, drawn_units, resamples, seed, metric)
    about = describe(contenders, images) | judge.about()
    comparison = Comparison(about, metric=metric)
    session = Session(Path(work_dir), contenders, images, judge, comparison)
    if resume:
        read_earlier(session.work_dir, comparison, session.store)
    session.judge_all()
    for condition in conditions:
        session.measure(condition, images.spread(pictures), resume)
        if is_main_process():
            session.draw_changed(condition, changed, resume)
            session.write(report)
    return comparison


def _check_options(resamples: int, report: bool) -> None:
    if resamples < 1:
        raise ConfigError(f'resamples must be at least 1, got {resamples}')
    if report and find_spec('jinja2') is None:
        raise MissingDependencyError(
            'the report needs the package Jinja2, which is not installed: pip install '
            '"sci_plugins[det]", or --no-report'
        )
