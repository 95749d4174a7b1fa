"""What a comparison was made with: enough to repeat it, and to notice a change."""

import difflib
import hashlib
import json
import os
import platform
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from sci_plugins.apis.compare.contenders import NO_CHECKPOINT, Contenders, folder_of
from sci_plugins.compat import make_printable
from sci_plugins.engine.naming_runner import NamingRunner
from sci_plugins.evaluation.conditions import loading_pipelines
from sci_plugins.evaluation.records import ImageSet
from sci_plugins.models.enhancers import parse_enhancer
from sci_plugins.models.enhancers.weight_files import file_sha256, find_weight_file, is_published
from sci_plugins.models.enhancers.weights import weights_name
from sci_plugins.registry import is_type, scope_of, type_name_of
from sci_plugins.utils.folders import PathLike, list_files
from sci_plugins.utils.images import IMAGE_FORMATS
from sci_plugins.utils.machine import describe_machine, package_versions

#: What the numbers of a data set depend on, as its metainfo names it.
_OF_DATA = ('split', 'annotation_version')
#: Two comparisons that differ in one of these cannot share results.
_IDENTITY = (
    'config', 'checkpoint', 'checkpoint_sha256', 'config_sha256', 'test_set_sha256', 'versions',
)  # fmt: skip
#: An absolute path in a config, of which only the last part is shown.
_FOLDER = re.compile(r"'(?:[A-Za-z]:)?/[^'\n]*?([^/'\n]+/?)'")
#: Set by the tools, not part of the experiment.
_NOT_SETTINGS = ('work_dir', 'launcher', 'model_wrapper_cfg')
#: Settings of a test pipeline that decide at which size a model sees the images.
_SCALES = ('scale', 'scales', 'img_scale', 'size', 'size_divisor', 'scale_factor', 'crop_size')


def build_image_set(cfg: Config) -> ImageSet:
    """The test set of a config, for one of several processes too; DataError if it is unreadable."""
    return ImageSet(_build_dataset(cfg, 'test_dataloader'))


def _build_dataset(cfg: Config, key: str) -> Any:
    loader = cfg[key].to_dict()
    loader.pop('batch_sampler', None)
    # Without a seed, a sampler would wait for all processes to agree on one.
    loader['sampler'] = dict(type='mmengine.DefaultSampler', shuffle=False, seed=0)
    with DefaultScope.overwrite_default_scope(scope_of(cfg)):
        return NamingRunner.build_dataloader(loader).dataset


def seen_in_training(contenders: Contenders, images: ImageSet) -> dict[str, int]:
    """Label of each model whose training set is at hand -> how many test images are in it."""
    tested = {os.path.realpath(path) for path in images.paths if path}
    known = {label: _training_files(each.cfg) for label, each in contenders.sources.items()}
    return {label: len(tested & files) for label, files in known.items() if files}


def _training_files(cfg: Config) -> set[str]:
    try:
        dataset = _build_dataset(cfg, 'train_dataloader')
        while not hasattr(dataset, 'get_data_info'):
            dataset = dataset.dataset
        paths = (dataset.get_data_info(each).get('img_path') for each in range(len(dataset)))
        return {os.path.realpath(path) for path in paths if path}
    except Exception:  # whoever tests need not have what the model was trained on
        return set()


def describe(contenders: Contenders, images: ImageSet) -> dict[str, Any]:
    """Config, checkpoint, hashes, versions, weights, machine, differences of configs.

    File names come without their folders; the labels' split and version if the data set has them.
    """
    first = contenders.sources['']
    data = json.dumps(first.cfg.test_dataloader.to_dict(), sort_keys=True, default=str)
    return _labels(images) | dict(
        config=_config_name(first.cfg),
        checkpoint=Path(first.checkpoint).name,
        checkpoint_sha256=_checkpoint_sha256(first.checkpoint) or contenders.carried_sha256(),
        config_sha256=_config_sha256(first.cfg),
        test_set_sha256=hashlib.sha256(data.encode()).hexdigest(),
        weights=_weights(contenders),
        config_diff={n: config_diff(first.cfg, e.cfg) for n, e in contenders.sources.items() if n},
        **software_and_machine(),
    )


def software_and_machine() -> dict[str, Any]:
    """Versions of what computes the numbers, and the machine without names of its users."""
    machine = describe_machine()
    machine.pop('torch')
    if torch.cuda.is_available():
        machine['gpu'] = torch.cuda.get_device_name()
    machine['platform'] = f'{platform.system()} {platform.release()} {platform.machine()}'
    return dict(versions=package_versions(), environment=machine)


def _labels(images: ImageSet) -> dict[str, Any]:
    return {key: images.metainfo[key] for key in _OF_DATA if key in images.metainfo}


def protocol_of(cfg: Config, images: ImageSet) -> dict[str, str]:
    """What numbers depend on beside the model: data set, split, scale, rule of the evaluator."""
    steps = _steps_in(loading_pipelines(cfg.test_dataloader.dataset))
    found = [(step, key) for step in steps for key in _SCALES if step.get(key)]
    scale = '; '.join(f'{type_name_of(step)} {key}={step[key]}' for step, key in found)
    rules = cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]
    told = []
    for rule in rules:
        pairs = (f'{key}={value}' for key, value in sorted(rule.items()) if key != 'type')
        told.append(f'{type_name_of(rule)} {" ".join(pair for pair in pairs if "/" not in pair)}')
    known = {key: str(value) for key, value in _labels(images).items()}
    name = images.metainfo.get('dataset_name') or type_name_of(cfg.test_dataloader.dataset)
    return dict(data_set=str(name), **known, scale=scale, rule='; '.join(told).strip())


def _steps_in(pipelines: Iterable[Any]) -> Iterator[Mapping[str, Any]]:
    """The steps of pipelines, also those that ``merge(before(NAME))`` puts into one."""
    for pipeline in pipelines:
        yield from pipeline
        inner = (step['transforms'] for step in pipeline if is_type(step, 'RawAndEnhanced'))
        yield from _steps_in(inner)


def identity_of(about: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a description that must be equal for results to be shared."""
    return {key: about.get(key) for key in _IDENTITY}


def find_change(earlier: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Why results of what :func:`describe` gave earlier cannot be used; empty if they can."""
    if identity_of(earlier) != identity_of(now):
        return 'another config, checkpoint or version'
    known = earlier.get('weights') or {}
    changed = (name for name, each in now['weights'].items() if known.get(name, each) != each)
    return next((f'another {name}' for name in changed), '')


def config_diff(first: Config, other: Config) -> str:
    """Unified diff of two configs, written out in full, without folders."""
    before, after = (_FOLDER.sub(r"'…/\1'", _text(cfg)).splitlines() for cfg in (first, other))
    names = _config_name(first), _config_name(other)
    return '\n'.join(difflib.unified_diff(before, after, *names, lineterm='', n=1))


def _text(cfg: Config) -> str:
    # `to_dict` names the classes of a pure-Python config and leaves its imports out.
    settings = {key: value for key, value in cfg.to_dict().items() if key not in _NOT_SETTINGS}
    # How long processes wait for each other; the tools set it for more than one.
    ((settings.get('env_cfg') or {}).get('dist_cfg') or {}).pop('timeout', None)
    plain = Config(settings)
    make_printable(plain)
    return plain.pretty_text


def _config_name(cfg: Config) -> str:
    return Path(str(cfg.filename)).name


def _config_sha256(cfg: Config) -> str:
    return hashlib.sha256(_text(cfg).encode()).hexdigest()


def _checkpoint_sha256(checkpoint: str) -> str | None:
    return None if checkpoint == NO_CHECKPOINT else file_sha256(Path(checkpoint))


def _weights(contenders: Contenders) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name in contenders.names:
        if contenders.model_of(name):
            source = contenders.sources[name]
            found[name] = dict(
                name=f'{_config_name(source.cfg)}, {Path(source.checkpoint).name}',
                sha256=_checkpoint_sha256(source.checkpoint),
                config_sha256=_config_sha256(source.cfg),
            )
        elif enhancer := contenders.enhancer_name(name):
            if weights := weights_name(parse_enhancer(enhancer)):
                file = find_weight_file(weights)
                told = weights if is_published(weights) else file.path.name
                found[name] = dict(name=told, sha256=file.sha256)
        elif folder := folder_of(name):
            found |= files_of({name: folder})
    return found


def files_of(places: Mapping[str, PathLike]) -> dict[str, dict[str, Any]]:
    """Label -> name and hash of a file, or of all images in a folder."""
    found = {}
    for label, place in places.items():
        path = Path(place)
        files = list_files(path, IMAGE_FORMATS).files if path.is_dir() else [path]
        sums = [file_sha256(file) for file in files]
        content = hashlib.sha256(' '.join(sums).encode()).hexdigest()
        found[label] = dict(name=path.name, sha256=content if path.is_dir() else sums[0])
    return found
