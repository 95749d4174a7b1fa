"""The board: networks on their sets, under many conditions, with many enhancers.

Every cell is a comparison in a folder of its own, so that processes can share the work.
"""

import fcntl
import logging
import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import torch
import yaml
from mmengine.logging import print_log

from sci_plugins.apis.compare import compare
from sci_plugins.apis.compare.contenders import NO_CHECKPOINT, enhancer_of
from sci_plugins.apis.compare.measuring import RecordStore
from sci_plugins.apis.config import load_config
from sci_plugins.errors import ConfigError, DataError
from sci_plugins.evaluation import comparison
from sci_plugins.evaluation.bootstrap import ALPHA, HELPS, HURTS, SAME, adjust
from sci_plugins.evaluation.comparison import Comparison, percent_factor, read_comparison
from sci_plugins.evaluation.conditions import Condition, parse_condition
from sci_plugins.models.enhancers import build_enhancer
from sci_plugins.utils.checkpoint import use_safe_loading
from sci_plugins.utils.files import file_slug
from sci_plugins.utils.folders import PathLike
from sci_plugins.utils.machine import describe_machine, machine_line
from sci_plugins.utils.schema import Measured, from_content, read_json

# Points by which a base measured twice may differ: by the order of sums on another processor.
_SAME_BASE = 0.05


@dataclass(frozen=True)
class Network:
    """A network on its test set."""

    name: str  # in the tables
    config: str  # as for ``tools/compare.py``; ``$NAME`` stands for an environment variable
    checkpoint: str
    metric: str | None = None  # that decides; ``None``: the one that the field compares models by
    resample: str = 'images'  # what the bootstrap draws
    options: dict[str, Any] = field(default_factory=dict)  # settings of the config to override


@dataclass(frozen=True)
class Board:
    """What is measured: all networks under all conditions with all enhancers."""

    networks: list[Network]  # the rows of tables
    conditions: list[str]  # as after ``--darken``
    enhancers: list[str]  # as after ``--variants``; the first is the base
    resamples: int = 1000  # of the bootstrap


def read_board(path: PathLike) -> Board:
    """Read ``BOARD.yml``.

    Raises:
        ConfigError: for a name twice, a condition or config that cannot be read, an unset variable.
        DataError: if the file is not such a board.
        FileNotFoundError: if it, a config or a checkpoint is missing.
    """
    try:
        text = Path(path).read_text(encoding='utf-8')
        content, as_text = yaml.safe_load(text), yaml.load(text, yaml.BaseLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f'{path}: expected YAML ({" ".join(str(error).split())})') from error
    if isinstance(content, dict) and 'conditions' in content:
        content['conditions'] = as_text['conditions']  # 1:0.003 is a number in YAML: 60.003
    board = from_content(Board, content, path)
    board = replace(board, networks=[_expanded(each, path) for each in board.networks])
    for what, found, most, least in (
        ('networks', [each.name for each in board.networks], 0, 'one'),
        ('conditions', board.conditions, 0, 'one'),
        ('enhancers', board.enhancers, 1, 'the base and one more'),
    ):
        if len(found) <= most or len(set(found)) < len(found):
            raise ConfigError(f'{path}: {what}: expected different names, at least {least}')
    for condition in board.conditions:
        parse_condition(condition)
    for network in board.networks:
        load_config(network.config, network.options)
        if network.checkpoint != NO_CHECKPOINT and not Path(network.checkpoint).is_file():
            raise FileNotFoundError(f'{path}: checkpoint not found: {network.checkpoint}')
    return board


def _expanded(network: Network, path: Any) -> Network:
    config, checkpoint = map(os.path.expandvars, (network.config, network.checkpoint))
    for each in (config, checkpoint):
        if '$' in each:
            raise ConfigError(f'{path}: a variable is not set: {each}')
    return replace(network, config=config, checkpoint=checkpoint)


@dataclass(frozen=True)
class Cell:
    """A network under a condition, with all enhancers."""

    network: Network
    condition: Condition
    folder: Path  # of its comparison

    def comparison(self) -> Comparison | None:
        """What has been measured; ``None`` before anything was."""
        path = self.folder / 'comparison.json'
        return read_comparison(path) if path.exists() else None

    def missing(self, enhancers: Sequence[str]) -> list[str]:
        """The enhancers without a result."""
        found = self.comparison()
        return [n for n in enhancers if found is None or not found.find(self.condition, n)]


def cells_of(board: Board, work_dir: PathLike) -> list[Cell]:
    """All cells, network by network."""
    pairs = product(board.networks, map(parse_condition, board.conditions))
    return [Cell(n, each, Path(work_dir) / file_slug(n.name) / each.slug) for n, each in pairs]


def measure_board(board: Board, work_dir: PathLike) -> None:
    """Measure every cell that no other process is at; what is there is kept.

    Processes with the same folder each take the next free cell, on several machines too if their
    file system has locks. A lock ends with its process.

    Raises:
        SciPluginsError: as :func:`compare` does, also if a cell was measured with something else.
    """
    use_safe_loading()
    bare: Any = dict(resamples=board.resamples, pictures=0, changed=0, resume=True, report=False)
    for cell in cells_of(board, work_dir):
        with _claimed(cell.folder) as is_free:
            if is_free:
                network = cell.network
                cfg = load_config(network.config, network.options)
                cfg.launcher = 'none'
                bare |= dict(metric=network.metric, resample=network.resample)
                where: Any = dict(conditions=[cell.condition], work_dir=cell.folder)
                compare(cfg, network.checkpoint, board.enhancers, **where, **bare)


@contextmanager
def _claimed(folder: Path) -> Iterator[bool]:
    """Whether no other process has this folder; it is ours until the end of the block."""
    folder.mkdir(parents=True, exist_ok=True)
    is_free = False
    with (folder / 'claim').open('w') as file:
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_free = True
        yield is_free


@dataclass(frozen=True)
class Entry:
    """A number in percent, its difference from the base and the interval of that."""

    value: Measured
    delta: Measured = 0.0
    low: Measured = 0.0
    high: Measured = 0.0
    verdict: str = ''
    p: Measured = math.nan
    stands: bool = True  # whether the verdict does after Holm's correction for all of its sheet


@dataclass(frozen=True)
class Column:
    """A condition: as on the command line, in words, the images' mean luma, enhancer -> result."""

    text: str
    name: str
    luma: Measured
    entries: dict[str, Entry]


@dataclass(frozen=True)
class Sheet:
    """The table of a network."""

    network: str
    config: str
    checkpoint: str
    checkpoint_sha256: str | None
    metric: str
    images: int
    resample: str
    columns: list[Column]
    protocol: dict[str, str] = field(default_factory=dict)  # see :attr:`VariantResult.protocol`
    differing: list[str] = field(default_factory=list)  # parts of it in which the columns differ


@dataclass(frozen=True)
class Results:
    """All that is known: the content of ``board.json``."""

    sheets: list[Sheet]  # a table for each network
    enhancers: list[str]  # in order, the base first
    milliseconds: dict[str, Measured]  # enhancer -> its time for an image, see :func:`cost_of`
    machine: str  # of these times
    versions: dict[str, str]  # of the software
    cells: int  # how many there are
    measured: int  # how many of them are finished
    taken: dict[str, int] = field(default_factory=dict)  # file -> how many numbers are from it


def collect_results(board: Board, work_dir: PathLike) -> Results:
    """What has been measured so far, and what every enhancer costs here."""
    cells, sheets, versions = cells_of(board, work_dir), [], {}
    for network in board.networks:
        columns: list[Column] = []
        every: list[Comparison] = []
        of_network = (cell for cell in cells if cell.network == network)
        for text, cell in zip(board.conditions, of_network, strict=True):
            if (found := cell.comparison()) is not None and len(found.results) > 1:
                every.append(found)
                columns.append(_column(text, cell, found, board.enhancers))
        if every:
            versions = every[0].about['versions']
            sheets.append(_sheet(network, every, _corrected(columns)))
    costs = {name: cost_of(name) for name in board.enhancers}
    done = sum(not cell.missing(board.enhancers) for cell in cells)
    machine = machine_line(describe_machine())
    return Results(sheets, board.enhancers, costs, machine, versions, len(cells), done)


def complete_results(results: Results, board: Board, path: PathLike, earlier: Results) -> Results:
    """Results with what is missing, for a board, from an earlier ``board.json`` at ``path``.

    Numbers are taken from the same network with the same weights, on the same images under the same
    conditions, and corrected anew together with the others.

    Raises:
        DataError: if the base is another enhancer there, or has another value on the same images.
    """
    if earlier.enhancers[:1] != board.enhancers[:1]:
        wish, got = board.enhancers[0], ''.join(earlier.enhancers[:1]) or 'nothing'
        raise DataError(f'{path}: expected numbers against {wish}, got them against {got}')
    mine, theirs = ({each.network: each for each in found.sheets} for found in (results, earlier))
    sheets, taken, done = [], 0, 0
    for name in (each.name for each in board.networks if each.name in mine | theirs):
        own = mine.get(name) or replace(theirs[name], columns=[])
        if name in theirs and _test_of(own) == _test_of(theirs[name]):
            columns = _completed(own, theirs[name], board, path)
            taken += sum(len(e.entries) for e in columns) - sum(len(e.entries) for e in own.columns)
            own = replace(own, columns=columns)
        elif name in theirs:
            told = f'{path}: {name} has other weights, images or metric: not taken'
            print_log(told, logger='current', level=logging.WARNING)
        sheets.append(own)
        done += sum(board.enhancers == list(each.entries) for each in own.columns)
    taken_all = results.taken | {Path(path).name: taken}
    versions = results.versions or earlier.versions
    return replace(results, sheets=sheets, measured=done, taken=taken_all, versions=versions)


def _test_of(sheet: Sheet) -> tuple[Any, ...]:
    """The host's evaluator may have been another: the numbers are those of the records."""
    protocol = {key: value for key, value in sheet.protocol.items() if key != 'rule'}
    return sheet.checkpoint_sha256, sheet.metric, sheet.images, sheet.resample, protocol


def _completed(own: Sheet, other: Sheet, board: Board, path: PathLike) -> list[Column]:
    """The columns with the entries of both sheets, in order; the own ones count."""
    columns, base = [], board.enhancers[0]
    for text in board.conditions:
        found = [each for sheet in (own, other) for each in sheet.columns if each.text == text]
        bases = [each.entries[base].value for each in found]
        if bases and max(bases) - min(bases) > _SAME_BASE:
            there = f'{base} is {bases[-1]:.4f} there, {bases[0]:.4f} here'
            raise DataError(f'{path}: {own.network}, {text}: {there}')
        if found:
            entries = found[-1].entries | found[0].entries
            ordered = {name: entries[name] for name in board.enhancers if name in entries}
            columns.append(replace(found[0], entries=ordered))
    return _corrected(columns)


def _metric(found: Comparison) -> str:
    return next((each.analysis.metric for each in found.results if each.analysis), '')


def _corrected(columns: Sequence[Column]) -> list[Column]:
    """The columns of a sheet, with the verdicts that do not stand for all of them together."""
    judged = [each for column in columns for each in column.entries.values() if each.verdict]
    pairs = zip(judged, adjust([each.p for each in judged]), strict=True)
    fallen = {id(e) for e, p in pairs if e.verdict in (HELPS, HURTS, SAME) and p > ALPHA}
    corrected = []
    for column in columns:
        entries = {n: replace(e, stands=id(e) not in fallen) for n, e in column.entries.items()}
        corrected.append(replace(column, entries=entries))
    return corrected


def _sheet(network: Network, every: list[Comparison], columns: list[Column]) -> Sheet:
    found = every[0]
    about, bases = found.about, [each.results[0] for each in every]
    named = [replace(b, variant=c.text) for b, c in zip(bases, columns, strict=True)]
    files = str(about['config']), str(about['checkpoint']), about.get('checkpoint_sha256')
    told = _metric(found), bases[0].images, network.resample
    differing = comparison.differing_protocols(named)
    return Sheet(network.name, *files, *told, columns, bases[0].protocol, differing)


def _column(text: str, cell: Cell, found: Comparison, enhancers: Sequence[str]) -> Column:
    scale = percent_factor(_metric(found))
    entries: dict[str, Entry] = {}
    for result in found.results:
        if result.variant in enhancers and result.analysis is not None:
            main, values = result.analysis.main, result.analysis.values[result.analysis.metric]
            delta, low, high = scale * main.delta, scale * main.low, scale * main.high
            p = main.p_same if main.verdict == SAME else main.p
            entries[result.variant] = Entry(scale * values[1], delta, low, high, main.verdict, p)
            entries[enhancers[0]] = Entry(scale * values[0])
    kept = RecordStore(cell.folder / 'records', found.about).load(cell.condition, enhancers[0])
    return Column(text, cell.condition.name, float(kept.luma.mean()), entries)


def cost_of(name: str) -> float:
    """Milliseconds of an enhancer for one dark image of 640 x 480; NaN for files of others.

    Median of five runs: the CPU time of one thread, or a GPU's time where there is one.
    """
    inner = name if name == 'none' else enhancer_of(name)
    if inner is None:
        return math.nan
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    clock = time.perf_counter if device == 'cuda' else time.process_time
    image = 0.2 * torch.rand(1, 3, 480, 640, generator=torch.Generator().manual_seed(0))
    enhancer, image = build_enhancer(inner).eval().to(device), image.to(device)
    threads, times = torch.get_num_threads(), []
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            for _ in range(6):  # the first warms up
                start = clock()
                float(enhancer(image).sum())  # waits for a GPU
                times.append(clock() - start)
    finally:
        torch.set_num_threads(threads)
    return 1000 * median(times[1:])


def read_results(path: PathLike) -> tuple[Results, str]:
    """The results in a ``board.json`` and their command; DataError names what is damaged."""
    content = read_json(path)
    return from_content(Results, content, path), str(content.get('command', ''))
