"""Records: one model's results on one image set, kept image by image.

A class of records says which test outputs it accepts, what it keeps of each image, and how
its metrics follow from a weight for each image. Everything else, from the bootstrap to the
report, works on :class:`ImageRecords` alone and finds the classes in ``RECORDS``.
"""

import hashlib
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from os.path import commonpath, relpath
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.random import Generator

from sci_plugins.errors import ConfigError, DataError
from sci_plugins.functional.confusion import ratio
from sci_plugins.functional.detection_ap import RecallPrecision, weight_rows
from sci_plugins.registry import RECORDS
from sci_plugins.utils.files import reading_arrays, write_arrays

#: Metric -> ``(R,)``, its number for each of R resamples.
Numbers = dict[str, np.ndarray]


class ImageSet:
    """Names and ground truth of a data set of MMEngine, or of a wrapper around several."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        places = range(len(dataset)) if hasattr(dataset, 'get_data_info') else ()
        self.infos: list[dict] = [dataset.get_data_info(place) for place in places]
        self.paths = [str(info.get('img_path', '')) for info in self.infos]
        self.ids = image_ids(self.paths)

    def __len__(self) -> int:
        return len(self.dataset)

    @property
    def metainfo(self) -> dict[str, Any]:
        """The data set's own description; empty if it has none."""
        return dict(getattr(self.dataset, 'metainfo', None) or {})

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; empty if the data set names none."""
        return tuple(self.metainfo.get('classes') or ())

    @property
    def has_boxes(self) -> bool:
        """Whether any image has boxes; unlabelled sets have no lists, or empty ones."""
        return any(info.get('instances') for info in self.infos)

    def truth(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Boxes ``(G, 4)`` in original pixels, labels ``(G,)``, ignore flags ``(G,)``."""
        instances = self.infos[index].get('instances') or []
        return (
            np.array([each['bbox'] for each in instances], np.float64).reshape(-1, 4),
            np.array([each['bbox_label'] for each in instances], np.int64),
            np.array([each.get('ignore_flag', 0) for each in instances], bool),
        )

    def file_name(self, index: int) -> str:
        """Name of an image's file; its number if the data set names no file."""
        return Path(self.paths[index]).name if self.infos and self.paths[index] else str(index)

    def spread(self, count: int) -> list[int]:
        """Evenly spaced positions, at most ``count``."""
        count, last = min(count, len(self)), len(self) - 1
        return [round(step * last / max(count - 1, 1)) for step in range(count)]


def image_ids(paths: Sequence[str]) -> list[str]:
    """Paths below their common folder, without suffix: the same on every machine.

    If two of these are equal, all keep their suffix, and a repeated file ends in ``#2``.
    """
    if not (paths and all(paths)):
        return [f'{number:06d}' for number in range(len(paths))]
    folder = commonpath([str(Path(path).parent) for path in paths])
    names = [Path(relpath(path, folder)) for path in paths]
    short = [name.with_suffix('').as_posix() for name in names]
    if len(set(short)) == len(short):
        return short
    seen: Counter[str] = Counter()
    for index, name in enumerate(map(Path.as_posix, names)):
        seen[name] += 1
        short[index] = name if seen[name] == 1 else f'{name}#{seen[name]}'
    return short


@dataclass(frozen=True)
class RunInfo:
    """What a class of records may use while it collects."""

    images: ImageSet  # the test set, with ``metainfo`` and ``infos`` from its data set
    metrics: Sequence[Any] = ()  # of the run's evaluator. They process an image before it is kept.


class ImageRecords(ABC):
    """One model's results on one image set, for the numbers of the set and of resamples.

    A subclass with ``@RECORDS.register_module()`` gets intervals, verdicts, tables and a report
    from the comparison. For means of one number per image there is :class:`MeanRecords`.
    """

    #: Metric -> its definition, with the unit. ``METRIC/CLASS`` stands for every class.
    definitions: ClassVar[Mapping[str, str]] = {}
    #: The metrics in percent, 0 to 100 (``METRIC`` includes every ``METRIC/CLASS``).
    percentages: ClassVar[Collection[str]] = ()
    fractions: ClassVar[Collection[str]] = ()  # those from 0 to 1 that reports show in percent
    lower_is_better: ClassVar[Collection[str]] = ()  # those for which lower is better
    #: The evaluator's name (its part after the last ``/``) -> ours, where they differ.
    host_names: ClassVar[Mapping[str, str]] = {}

    ids: list[str]  # ``(N,)``, names of the images, each once, in the order of the set

    @classmethod
    @abstractmethod
    def accepts(cls, output: Any, run: RunInfo) -> bool:
        """Whether this class keeps results like ``output``, the host's data sample.

        Asked once per run, with the first; other packages' classes before ours, the newest first.
        """

    @classmethod
    @abstractmethod
    def keep(cls, output: Any, run: RunInfo) -> Any:
        """What to keep of one image: small, on the CPU, and picklable.

        ``None`` if it has no ground truth; then the set has no records.
        """

    @classmethod
    @abstractmethod
    def collect(cls, kept: Sequence[Any], run: RunInfo) -> 'ImageRecords':
        """The records of the set, from what was kept of each of ``run.images``."""

    @property
    @abstractmethod
    def main(self) -> str:
        """Name of the metric that decides by default."""

    @property
    def names(self) -> list[str]:
        """Names of all metrics."""
        return list(self.definitions)

    @abstractmethod
    def compute(self, weights: np.ndarray, names: Sequence[str]) -> Numbers:
        """The named metrics, ``(R,)`` each; NaN where a row of weights leaves nothing to measure.

        ``weights`` are ``(R, N)``, float64, how often each image counts, 0 or more. Both arguments
        are checked by :meth:`resampled`.
        """

    @abstractmethod
    def arrays(self) -> dict[str, np.ndarray]:
        """What a file must hold beside ``ids``: arrays of numbers or strings by name."""

    @classmethod
    @abstractmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> 'ImageRecords':
        """The records back from :meth:`arrays` and ``ids``."""

    def metrics(self, names: Sequence[str] | None = None) -> dict[str, float]:
        """The numbers of the whole set, see :meth:`resampled`."""
        return {name: float(value[0]) for name, value in self.resampled(None, names).items()}

    def resampled(
        self, weights: np.ndarray | None = None, names: Sequence[str] | None = None
    ) -> Numbers:
        """The numbers for resamples of the images, ``(R,)`` each; NaN where nothing is to measure.

        Args:
            weights: ``(R, N)``, how often each image counts in each resample, in the order of
                :attr:`ids`; rows of zeros and ones select subsets. ``None``: the set itself.
            names: some of :attr:`names`, and the order of the result; ``None``: all.

        Raises:
            ConfigError: if there is no such metric.
            DataError: if the weights are for another number of images.
        """
        rows, known = weight_rows(weights, len(self.ids)), self.names
        wanted = known if names is None else list(names)
        for name in wanted:
            if name not in known:
                raise ConfigError(f'there is no metric {name!r}; known: {", ".join(known)}')
        found = self.compute(rows, wanted)
        return {name: found[name] for name in wanted}

    def drawn(self, weights: np.ndarray, names: Sequence[str], rng: Generator) -> Numbers:
        """The same for draws of the bootstrap; ``rng`` is for what else may be drawn."""
        return self.resampled(weights, names)

    def higher(self, name: str) -> bool:
        """Whether higher is better."""
        return self.higher_is_better(name)

    @classmethod
    def higher_is_better(cls, name: str) -> bool:
        """Whether higher is better, for a metric or a ``METRIC/CLASS``."""
        return name.partition('/')[0] not in cls.lower_is_better

    def truth(self) -> bytes:
        """The ground truth that results are measured by, for a hash of it."""
        return b''

    def protocol(self) -> dict[str, str]:
        """What two results must share to be compared: images, ground truth, classes."""
        content = dict(images='\n'.join(self.ids).encode(), truth=self.truth())
        found = {f'{key}_sha256': hashlib.sha256(each).hexdigest() for key, each in content.items()}
        classes = ', '.join(getattr(self, 'subset', getattr(self, 'classes', ())))
        return found | dict(images=str(len(self.ids)), classes=classes, records=type(self).__name__)

    def constant(self) -> str:
        """What is predicted where every image gets the same; empty where it does not."""
        return ''

    def weakness(self, metric: str) -> str:
        """Why these results say little where they are the base's, by a metric; else empty."""
        return ''

    def same_as(self, other: 'ImageRecords') -> bool:
        """Whether the other's results are equal to the bit."""
        if type(self) is not type(other):
            return False
        own, its = ({k: v.tobytes() for k, v in each.arrays().items()} for each in (self, other))
        return own == its

    def why_hosts_differ(self, run: RunInfo) -> str:
        """Why the evaluator's number differs, where it does, and which is right; else empty."""
        return ''

    def curve(self) -> RecallPrecision | None:
        """Recall and precision over falling score; ``None`` without such a curve."""
        return None

    @classmethod
    def define(cls, names: Iterable[str]) -> dict[str, str]:
        """Definitions of the known among these metrics, ``METRIC/CLASS`` once for all classes."""
        general = dict.fromkeys(f'{n.partition("/")[0]}/CLASS' if '/' in n else n for n in names)
        return {name: cls.definitions[name] for name in general if name in cls.definitions}

    def save(self, path: str | os.PathLike[str], **more: np.ndarray) -> None:
        """Write a compressed ``.npz``, whole or not at all; :meth:`load` ignores ``more``."""
        kind, ids = np.array(type(self).__name__), np.array(self.ids, dtype=str)
        write_arrays(path, dict(kind=kind, ids=ids, **self.arrays(), **more))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Any:
        """Read what :meth:`save` wrote, of this class or a subclass; data, never code.

        Raises:
            DataError: if the file is missing, or holds something else.
        """
        with reading_arrays(path, cls.__name__) as content:
            name = _kind_in(content)
            RECORDS.import_from_location()
            if (kind := RECORDS.module_dict.get(name)) is None:
                raise ValueError(f'{name} is not registered; import the module that defines it')
            if not issubclass(kind, cls):
                raise ValueError(f'it holds {name}')
            return kind.from_arrays(content)


class MeanRecords(ImageRecords):
    """Records whose metrics are weighted means of one number per image.

    A subclass has :meth:`accepts`, ``definitions``, and :meth:`keep`, which returns
    metric -> number of one image (NaN: the image does not count for that metric).

    Args:
        ids: names of the images.
        values: metric -> ``(N,)``, the number of each image.

    Raises:
        DataError: if a metric does not have one number per image.
    """

    def __init__(self, ids: Sequence[str], values: Mapping[str, Sequence[float]]) -> None:
        self.ids = list(ids)
        self.values = {name: np.asarray(each, np.float64) for name, each in values.items()}
        for name, each in self.values.items():
            if each.shape != (len(self.ids),):
                raise DataError(f'{name}: expected {len(self.ids)} numbers, got {each.shape}')

    @classmethod
    def collect(cls, kept: Sequence[Mapping[str, float]], run: RunInfo) -> 'MeanRecords':
        return cls(run.images.ids, {name: [each[name] for each in kept] for name in kept[0]})

    @property
    def main(self) -> str:
        """The first metric."""
        return self.names[0]

    @property
    def names(self) -> list[str]:
        """In the order of :meth:`keep`."""
        return list(self.values)

    def compute(self, weights: np.ndarray, names: Sequence[str]) -> Numbers:
        found = {}
        for name in names:
            known = np.isfinite(self.values[name])
            total = weights[:, known] @ self.values[name][known]
            found[name] = ratio(total, weights[:, known].sum(axis=1))
        return found

    def arrays(self) -> dict[str, np.ndarray]:
        return dict(names=np.array(self.names), values=np.array(list(self.values.values())))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> 'MeanRecords':
        values = zip(arrays['names'].tolist(), arrays['values'], strict=True)
        return cls(arrays['ids'].tolist(), dict(values))


def kinds_of_records() -> list[type[ImageRecords]]:
    """All classes of records, in the order in which they are asked."""
    RECORDS.import_from_location()
    newest_first = reversed(list(RECORDS.module_dict.values()))
    # Ours are general; a user's module may be imported before or after them.
    return sorted(newest_first, key=lambda kind: kind.__module__.startswith('sci_plugins.'))


def find_kind(output: Any, run: RunInfo) -> type[ImageRecords] | None:
    """The class of records that accepts the outputs of a run; ``None`` if none does."""
    return next((kind for kind in kinds_of_records() if kind.accepts(output, run)), None)


def check_ids(ids: Sequence[str]) -> None:
    """Refuse duplicate names by a DataError, which names one."""
    name, times = Counter(ids).most_common(1)[0] if ids else ('', 0)
    if times > 1:
        raise DataError(f'duplicate image {name!r}')


def mean_of_known(values: np.ndarray, axis: int) -> np.ndarray:
    """Mean along an axis without NaN; NaN, and no warning, if nothing else is there."""
    known = ~np.isnan(values)
    return ratio(np.where(known, values, 0).sum(axis=axis), known.sum(axis=axis))


def _kind_in(content: Any) -> str:
    if 'kind' in content:
        return str(content['kind'].item())
    # Up to version 0.1 files did not say, and one class `face` had the official AP.
    if 'matrices' in content:
        return 'SegmentationRecords'
    of_faces = content['classes'].tolist() in ([], ['face'])
    return 'DarkFaceRecords' if of_faces else 'DetectionRecords'
