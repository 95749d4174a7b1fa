"""What is compared: variants of the first model, and other models on its test set."""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import mmengine
from mmengine.config import Config
from mmengine.model import BaseDataPreprocessor
from mmengine.registry import DATASETS, MODELS, init_default_scope
from torch import nn

from sci_plugins.apis.attach import attach, default_fill_color, detach
from sci_plugins.apis.config import load_config, use_tta
from sci_plugins.errors import ConfigError, DataError
from sci_plugins.evaluation import conditions
from sci_plugins.evaluation.conditions import Condition, data_set_configs
from sci_plugins.models.data_preprocessors.mixin import EnhancementMixin
from sci_plugins.models.enhancement_stage import ValueCheck
from sci_plugins.models.enhancers import build_enhancer
from sci_plugins.models.test_time import RawEnhancedMerge, RawEnhancedSelect
from sci_plugins.registry import is_type, scope_of, type_name_of
from sci_plugins.utils.checkpoint import load_fully, read_checkpoint
from sci_plugins.utils.folders import match_by_name
from sci_plugins.utils.images import IMAGE_FORMATS, read_image_size
from sci_plugins.utils.model_parts import find_preprocessor, unwrap_model

_AS_IS = Condition()
_LOADERS = ('test_dataloader', 'val_dataloader', 'train_dataloader')
#: The variant with the enhancer that the config itself names.
AS_CONFIGURED = 'config'
#: In place of a checkpoint, for a model that carries its own weights.
NO_CHECKPOINT = 'none'
#: Models stay in memory up to this many parameters together (80 MB); building takes seconds.
_KEPT_PARAMETERS = 20_000_000
#: What looks at both the raw and the enhanced image, by the name in front of the enhancer's.
_LOOKS: dict[str, type[nn.Module]] = dict(merge=RawEnhancedMerge, select=RawEnhancedSelect)
#: Enhances right after loading, before any resize, in place of the data preprocessor.
BEFORE = 'before'


def borrow_test_set(cfg: Config, first: Config) -> Config:
    """A copy of ``cfg`` with the test set and the evaluator of ``first``.

    The test pipeline stays the model's own; its last step also packs what that evaluator needs.
    """
    borrowed = copy.deepcopy(cfg)
    for key in ('launcher', 'model_wrapper_cfg'):  # set by the tool, not by a config
        borrowed.pop(key, None)
    for key in ('test_dataloader', 'test_evaluator'):
        borrowed[key] = copy.deepcopy(first[key])
    for key in ('test_cfg', 'env_cfg', 'launcher', 'model_wrapper_cfg'):
        if borrowed.get(key) is None and first.get(key) is not None:
            borrowed[key] = copy.deepcopy(first[key])
    own = _test_pipelines(cfg)
    for pipeline in _test_pipelines(borrowed) if own else ():
        packed = _last_step(pipeline).get('meta_keys')
        pipeline[:] = copy.deepcopy(own[0])
        last = _last_step(pipeline)
        if packed is not None and type_name_of(last).startswith('Pack'):
            last['meta_keys'] = tuple(dict.fromkeys([*last.get('meta_keys', ()), *packed]))
    return borrowed


def check_classes(label: str, cfg: Config, first: Config) -> None:
    """Refuse a model for other classes than the test set's by a ConfigError that names them."""
    scopes = scope_of(cfg), scope_of(first)
    if scopes[0] != scopes[1]:
        raise ConfigError(f'{label} is an {scopes[0]} model, the first is an {scopes[1]} model')
    own, wanted = class_names(cfg), class_names(first)
    if own is not None and wanted is not None and own != wanted:
        wish = f"must have the first one's classes, {_shorten(wanted)}"
        raise ConfigError(f'model {label} {wish}; it has {_shorten(own)}')
    sizes = {*_class_counts(cfg.get('model'))}
    if own is None and wanted is not None and sizes and len(wanted) not in sizes:
        wish = f'must have {len(wanted)} classes, as the first one has'
        raise ConfigError(f'model {label} {wish}; it has {min(sizes)}')


def class_names(cfg: Config) -> tuple[str, ...] | None:
    """Classes of a config's data set, which need not be on the disk; ``None`` if unknown."""
    init_default_scope(scope_of(cfg))
    for name in _LOADERS:
        dataset = next(data_set_configs((cfg.get(name) or {}).get('dataset')), None)
        if not dataset:
            continue
        kind: Any = dataset.get('type')
        if not isinstance(kind, type):
            with DATASETS.switch_scope_and_registry(None) as registry:
                kind = registry.get(str(kind))
        if hasattr(kind, '_load_metainfo'):
            found = kind._load_metainfo(dataset.get('metainfo')).get('classes')
            return None if found is None else tuple(found)
    return None


def _test_pipelines(cfg: Config) -> list[list]:
    return conditions.loading_pipelines((cfg.get('test_dataloader') or {}).get('dataset'))


def _last_step(pipeline: Any) -> dict[str, Any]:
    """The step that packs, also at the end of test-time augmentation."""
    last = pipeline[-1]
    inner = last if isinstance(last, list | tuple) else last.get('transforms')
    return _last_step(inner) if inner else last


def _class_counts(node: Any) -> Iterator[int]:
    """Every ``num_classes`` in a model's config."""
    if isinstance(node, dict) and isinstance(node.get('num_classes'), int):
        yield node['num_classes']
    inner = node.values() if isinstance(node, dict) else node
    for each in inner if isinstance(node, dict | list | tuple) else ():
        yield from _class_counts(each)


def _shorten(names: tuple[str, ...]) -> str:
    shown = ', '.join(names[:3])
    return f'{shown}, ... ({len(names)})' if len(names) > 3 else shown


@dataclass(frozen=True)
class ModelSource:
    """A trained model: its config and its checkpoint."""

    cfg: Config
    checkpoint: str


def parse_models(texts: Sequence[str], tta: bool = False) -> dict[str, ModelSource]:
    """Read ``LABEL=CONFIG,CHECKPOINT`` of the command line; ``tta`` is of :func:`use_tta`.

    Raises:
        ConfigError: if a text has another form, a label is a duplicate, or a config cannot be read.
        FileNotFoundError: if a file is missing.
    """
    models: dict[str, ModelSource] = {}
    for text in texts:
        label, _, files = text.partition('=')
        config, _, checkpoint = files.rpartition(',')
        if not (label and config and checkpoint):
            raise ConfigError(f'--models must be LABEL=CONFIG,CHECKPOINT, got {text!r}')
        if label in models:
            raise ConfigError(f'--models: duplicate label {label}')
        if checkpoint != NO_CHECKPOINT and not Path(checkpoint).is_file():
            raise FileNotFoundError(f'checkpoint of model {label} not found: {checkpoint}')
        cfg = load_config(config)
        if tta:
            use_tta(cfg)
        models[label] = ModelSource(cfg, checkpoint)
    return models


@dataclass(frozen=True)
class View:
    """How a model gets its images: channel order, padding colour, white."""

    input_order: str = 'bgr'
    fill_color: tuple[float, ...] | None = None
    input_max: float = 255.0


class Contenders:
    """Everything that is compared, by name; the base first.

    Args:
        first: the model behind every variant.
        variants: enhancers by name, ``'none'``, ``'config'``, ``'merge'``, ``'merge(NAME)'``,
            ``'select'``, ``'select(NAME)'``, ``'before(NAME)'``, ``'merge(before(NAME))'``,
            ``'select(before(NAME))'``, ``'folder/DIR'``.
        models: others by label; each runs as its config says, on the first one's test set.
        base: what the others are compared with; ``None``: the first variant or model.
        trust: allow checkpoints that hold other objects than weights.
        input_order: channel order that the first config's pipeline loads.
        input_max: white of its images if they are not uint8, such as 65535.

    Raises:
        ConfigError: if a name is unknown or a duplicate, or a model does not fit.
        CheckpointError, FileNotFoundError: if a file cannot be loaded.
    """

    def __init__(
        self,
        first: ModelSource,
        variants: Sequence[str],
        models: Mapping[str, ModelSource] | None = None,
        *,
        base: str | None = None,
        trust: bool = False,
        input_order: str = 'bgr',
        input_max: float = 255.0,
    ) -> None:
        self.sources = {'': first, **(models or {})}
        self.trust = trust
        self.input_order, self.input_max = input_order, ValueCheck(input_max).white
        self.names = _ordered([*variants, *(models or {})], base)
        if not self.names:
            raise ConfigError('expected at least one variant or model, got none')
        steps = (step for steps in _test_pipelines(first.cfg) for step in steps)
        has_views = any(is_type(step, 'TestTimeAug') for step in steps)
        for name in (each for each in variants if has_views and _parts_of(each).look):
            why = 'each needs several predictions of the same image'
            raise ConfigError(f'variant {name!r} cannot be combined with --tta: {why}')
        named = {name: enhancer_of(name) for name in variants}
        self._enhancers = {n: build_enhancer(e) for n, e in named.items() if e is not None}
        self._replaced: dict[tuple[str, Condition], dict[str, str]] = {}
        self._built: dict[str, nn.Module] = {}
        self._slots = self._find_slots(variants)
        self._configs = {'': first.cfg}
        for label, source in (models or {}).items():
            check_classes(label, source.cfg, first.cfg)
            self._model(label)  # refuse weights that do not fit before anything slow
            self._configs[label] = borrow_test_set(source.cfg, first.cfg)

    @property
    def base(self) -> str:
        """Name of the contender that the others are compared with."""
        return self.names[0]

    def model_of(self, name: str) -> str:
        """Label of a trained model; empty for a variant of the first."""
        return name if name in self.sources else ''

    def find_images(self, paths: Sequence[str], conditions: Sequence[Condition]) -> None:
        """Match images of ``'folder/DIR'`` with the test set's by name; DataError if one is unfit.

        Those of a darkened test set lie below ``DIR/SLUG``, such as ``gain-0.05_noise-0.004``.
        """
        for name, condition in product(filter(folder_of, self.names), conditions):
            part = '' if condition.gain is None else condition.slug
            found = match_by_name(paths, Path(folder_of(name), part), IMAGE_FORMATS)
            for path, file in found.items():
                sizes = read_image_size(path), read_image_size(file)
                if sorted(sizes[0]) != sorted(sizes[1]):  # a file may lie on its side
                    told = [f'{width} x {height}' for width, height in sizes]
                    raise DataError(f'{file}: expected {told[0]}, as {path}, got {told[1]}')
            self._replaced[name, condition] = {key: str(file) for key, file in found.items()}

    def config(self, name: str, condition: Condition = _AS_IS) -> Config:
        """The config that a contender is tested with; files may take the images' place."""
        cfg, parts = self._configs[self.model_of(name)], _parts_of(name)
        if folder_of(name):
            files = self._replaced[name, condition]
            step: dict[str, Any] = dict(type='sci_plugins.ReplaceImage', files=files)
        elif parts.is_before:
            kind = 'RawAndEnhanced' if parts.look else 'EnhanceImage'
            step = dict(type=f'sci_plugins.{kind}', enhancer=parts.enhancer)
            step |= dict(input_max=self.input_max)
        else:
            return cfg
        cfg = copy.deepcopy(cfg)
        step |= dict(input_order=self.input_order)
        conditions.insert_after_loading(cfg, step, 'enhance')
        if parts.is_before and parts.look:
            # The steps behind a RawAndEnhanced move into it: they follow for each view.
            for pipeline in _test_pipelines(cfg):
                place = [is_type(step, 'RawAndEnhanced') for step in pipeline].index(True)
                pipeline[place] = dict(pipeline[place], transforms=pipeline[place + 1 :])
                del pipeline[place + 1 :]
        return cfg

    def enhancer_name(self, name: str) -> str | None:
        """The enhancer that a variant is named after; ``None`` if it is not."""
        return enhancer_of(name) if name in self._enhancers else None

    def open(self, name: str) -> nn.Module:
        """The contender's model with its enhancer, in eval mode."""
        model = self._model(self.model_of(name))
        if self.model_of(name):
            return model
        detach(model)
        slot, parts = self._slots[name], _parts_of(name)
        if slot is not None and not parts.is_before:
            attach(model, **slot)
        return _LOOKS[parts.look](model, views=parts.is_before).eval() if parts.look else model

    def carried_sha256(self) -> str | None:
        """Hash of the weights that the first model carries itself, if it has one."""
        return getattr(getattr(unwrap_model(self._model('')), 'network', None), 'sha256', None)

    def view(self, name: str) -> View:
        """How a contender's model gets its images."""
        label = self.model_of(name)
        model = self._model(label)
        slot = _slot_of(model) if label else self._slots[AS_CONFIGURED]
        if slot is not None:
            return View(slot['input_order'], slot['fill_color'], slot['input_max'])
        fill = default_fill_color(find_preprocessor(model))
        order = 'bgr' if label else self.input_order
        return View(order, None if fill is None else (fill,) * 3, self.input_max)

    def _find_slots(self, variants: Sequence[str]) -> dict[str, Any]:
        configured = _slot_of(self._model(''))
        for name in (AS_CONFIGURED, *_LOOKS) if configured is None else ():
            if name in variants:
                advice = f"; or name one: '{name}(sci/official/medium)'" * (name in _LOOKS)
                wish = f'an enhancer in the data_preprocessor of the config{advice}'
                raise ConfigError(f'variant {name!r} needs {wish}')
        # Other enhancers see the images as the configured one does.
        standard = configured or dict(input_order=self.input_order, input_max=self.input_max)
        slots: dict[str, Any] = dict.fromkeys((*_LOOKS, AS_CONFIGURED), configured)
        slots |= dict.fromkeys(('none', *filter(folder_of, variants)))
        return slots | {n: dict(standard, enhancer=each) for n, each in self._enhancers.items()}

    def _model(self, label: str) -> nn.Module:
        if label not in self._built:
            if sum(map(_count_parameters, self._built.values())) > _KEPT_PARAMETERS:
                self._built.clear()
            source = self.sources[label]
            self._built[label] = build_model(source.cfg, source.checkpoint, self.trust)
        return self._built[label]


def build_model(cfg: Config, checkpoint: str, trust: bool = False) -> nn.Module:
    """The config's model in eval mode with all weights of a checkpoint; of its own if ``'none'``.

    Raises:
        ConfigError: if the model has no data preprocessor, or would be left with random weights.
        CheckpointError: if the checkpoint does not fit.
    """
    content = None if checkpoint == NO_CHECKPOINT else read_checkpoint(checkpoint, trust=trust)
    init_default_scope(scope_of(cfg))
    if cfg.get('custom_imports'):
        mmengine.utils.import_modules_from_strings(**cfg.custom_imports)
    model: nn.Module = MODELS.build(copy.deepcopy(cfg.model))
    # Refused before any work: MMEngine's base class stands in where a config has none.
    name = type(model).__name__
    if type(find_preprocessor(model)) is BaseDataPreprocessor:
        why = 'the model would get a list of images instead of a batch'
        raise ConfigError(f'the config of {name} has no data_preprocessor: {why}')
    if content is not None:
        load_fully(model, content, checkpoint)
    elif count := _count_parameters(model):
        why = f'the {count:,} parameters of {name} would be random'
        raise ConfigError(f"checkpoint 'none' is for a model that carries its own weights; {why}")
    return model.eval()


def _ordered(names: list[str], base: str | None) -> list[str]:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f'duplicate names among variants and models: {", ".join(twice)}')
    if base is None:
        return names
    if base not in names:
        known = ', '.join(names)
        raise ConfigError(f'base must be one of the variants or models ({known}), got {base!r}')
    return [base, *(name for name in names if name != base)]


class _Parts(NamedTuple):
    """What the name of a variant says, ``'LOOK(before(NAME))'`` in full."""

    look: str = ''
    is_before: bool = False
    enhancer: str | None = None


def _parts_of(name: str) -> _Parts:
    """``enhancer`` is ``None`` for ``'merge'``, which is of the config's own."""
    look, inner = _split(name, _LOOKS)
    if name in _LOOKS:
        return _Parts(name)
    before, enhancer = _split(inner, [BEFORE])
    return _Parts(look, bool(before), enhancer)


def _split(name: str, prefixes: Iterable[str]) -> tuple[str, str]:
    """``('merge', 'NAME')`` of ``'merge(NAME)'``, ``('', 'NAME')`` of another name."""
    prefix, _, rest = name.partition('(')
    if prefix in prefixes and rest.endswith(')') and rest[:-1].strip():
        return prefix, rest[:-1].strip()
    return '', name


def folder_of(variant: str) -> str:
    """``DIR`` of ``'folder/DIR'``, images that were enhanced elsewhere; empty if it is none."""
    return variant.removeprefix('folder/') if variant.startswith('folder/') else ''


def enhancer_of(variant: str) -> str | None:
    """The enhancer that a variant is named after, ``NAME`` of ``'merge(NAME)'``; or ``None``."""
    if variant in ('none', AS_CONFIGURED) or folder_of(variant):
        return None
    return _parts_of(variant).enhancer


def _slot_of(model: nn.Module) -> dict[str, Any] | None:
    """The model's own enhancer, as arguments of :func:`attach`; ``None`` without one."""
    preprocessor = find_preprocessor(model)
    if not isinstance(preprocessor, EnhancementMixin):
        return None
    names = ('enhancer', 'input_order', 'fill_color', 'input_max', 'check_values')
    return {name: getattr(preprocessor, name) for name in names}


def _count_parameters(model: nn.Module) -> int:
    """Parameters without those of an enhancer in the data preprocessor."""
    named = model.named_parameters()
    return sum(value.numel() for name, value in named if 'data_preprocessor.' not in name)
