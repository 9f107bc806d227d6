"""A study: one YAML that says which methods are compared, at which budget, with which seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anymodal_seg_ros.config import read_yaml
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.foreign_text import quote
from anymodal_seg_training.errors import TrainingError
from anymodal_seg_training.names import check_name
from anymodal_seg_training.recipe import Recipe, parse_recipe
from anymodal_seg_training.run_folder import RunFolder, first_difference
from anymodal_seg_training.runs.named_options import check_named_options

_ENTRIES = {"title", "recipe", "seeds", "methods"}
_METHOD_ENTRIES = {"title", "after", "seeds"}
"""Entries of a method that are no sections of a recipe."""

MAX_RUNS = 1000
"""Of a study: months on any machine."""


@dataclass(frozen=True, slots=True)
class Method:
    """One of the methods that are compared.

    Attributes:
        name: e.g. ``anyseg``.
        title: of its row in tables.
        after: name of a method whose run with the same seed must be finished before; empty if none.
        seeds: of its runs.
        changes: sections of a recipe, whose entries replace those of the study's.
    """

    name: str
    title: str
    after: str
    seeds: tuple[int, ...]
    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """One run of a study.

    Attributes:
        method: of the run.
        seed: of the run.
        folder: where it is.
        after: run folder that must be finished before; None if there is none.
        recipe: of the run.
    """

    method: Method
    seed: int
    folder: RunFolder
    after: RunFolder | None
    recipe: Recipe

    @property
    def finished(self) -> bool:
        """Whether it is trained and evaluated."""
        return self.folder.result_file("test").is_file()

    def check_same(self) -> None:
        """Make sure that what is finished is what is planned.

        Raises:
            TrainingError: it was trained by another recipe.
            ConfigError: it has none.
        """
        if not self.finished:  # who goes on with it looks
            return
        before, now = self.folder.recipe.plain(), self.recipe.plain()
        if self.after is not None:  # the whole study may have been moved
            moved = {k: v for k, v in now["strategy"].items() if v == str(self.after.path)}
            old = before["strategy"]
            if all(Path(str(old.get(key))).name == self.after.path.name for key in moved):
                before["strategy"] = {**old, **moved}
        if found := first_difference(before, now):
            key, was, is_now = found
            raise TrainingError(
                f"{self.folder.path} was trained with {key} {was}, the study now has {is_now}: "
                "name another folder for its runs, or delete this one to do it anew"
            )


@dataclass(frozen=True, slots=True)
class Study:
    """What is compared, and at which budget.

    Attributes:
        title: of the study.
        recipe: content of the recipe that all methods share.
        methods: in the order of their rows.
    """

    title: str
    recipe: Mapping[str, Any]
    methods: tuple[Method, ...]

    def runs(self, out: Path) -> list[PlannedRun]:
        """List the runs, all methods with their first seed, then all with their second.

        Args:
            out: folder in which the run folders lie.

        Raises:
            ConfigError: the recipe of a method is wrong, or it waits for one that has not its seed.
        """
        longest = max(len(method.seeds) for method in self.methods)
        return [
            self._run(method, method.seeds[place], out)
            for place in range(longest)
            for method in self.methods
            if place < len(method.seeds)
        ]

    def _run(self, method: Method, seed: int, out: Path) -> PlannedRun:
        after = None
        if method.after:
            before = next((m for m in self.methods if m.name == method.after), None)
            if before is None or seed not in before.seeds:
                raise ConfigError(
                    f"methods.{method.name}.after is {method.after!r}: expected a method of this "
                    f"study that has the seed {seed} too"
                )
            after = _folder(out, method.after, seed)
        content = {**self.recipe, "name": method.name, "seed": seed}
        for section, entries in method.changes.items():
            shared = content.get(section, {})
            if not isinstance(shared, Mapping):
                raise ConfigError(
                    f"methods.{method.name}.{section} cannot change {section}, which is "
                    f"{quote(repr(shared))} and no section of a recipe"
                )
            content[section] = {**shared, **entries}
        strategy = content.get("strategy")
        if isinstance(strategy, Mapping) and "after" in strategy.values():
            if after is None:
                raise ConfigError(
                    f"methods.{method.name}.strategy has an entry 'after', which means the run of "
                    f"another method: name that one in methods.{method.name}.after"
                )
            content["strategy"] = {
                key: str(after.path) if value == "after" else value
                for key, value in strategy.items()
            }
        try:
            recipe = parse_recipe(content)
            check_named_options(recipe)
        except ConfigError as error:
            raise ConfigError(f"methods.{method.name}: {error}") from error
        return PlannedRun(method, seed, _folder(out, method.name, seed), after, recipe)


def load_study(path: Path) -> Study:
    """Read a study.

    Raises:
        ConfigError: the file cannot be read, or an entry is unknown, missing or wrong.
    """
    content = read_yaml(path, "study")
    if not isinstance(content, Mapping) or set(content) != _ENTRIES:
        found = ", ".join(sorted(map(str, content))) if isinstance(content, Mapping) else "no names"
        raise ConfigError(f"{path} has {found}: expected {', '.join(sorted(_ENTRIES))}")
    for section, wanted in (("methods", "methods"), ("recipe", "sections")):
        if not isinstance(content[section], Mapping) or not content[section]:
            raise ConfigError(f"{path}: {section} is {content[section]!r}: expected named {wanted}")
    try:
        methods = tuple(
            _method(str(name), entry, content["seeds"])
            for name, entry in content["methods"].items()
        )
        runs = sum(len(method.seeds) for method in methods)
        if runs > MAX_RUNS:
            raise ConfigError(f"methods and seeds are {runs} runs: expected at most {MAX_RUNS}")
        _check_order({method.name: method.after for method in methods})
        study = Study(str(content["title"]), content["recipe"], methods)
        study.runs(Path())  # every recipe is checked before the first run begins
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    return study


def _method(name: str, entry: Any, seeds: Any) -> Method:
    check_name(name, "the name of a method")
    if not isinstance(entry, Mapping) or "title" not in entry:
        raise ConfigError(f"methods.{name} is {entry!r}: expected a title and sections of a recipe")
    changes = {key: value for key, value in entry.items() if key not in _METHOD_ENTRIES}
    wrong = [key for key, value in changes.items() if not isinstance(value, Mapping)]
    if wrong:
        raise ConfigError(
            f"methods.{name}.{wrong[0]} is {changes[wrong[0]]!r}: expected a section of a recipe"
        )
    own = _seeds(name, entry.get("seeds", seeds))
    return Method(name, str(entry["title"]), str(entry.get("after", "")), own, changes)


def _check_order(after: Mapping[str, str]) -> None:
    """Refuse methods that wait for one another in a circle: none of them could ever begin."""
    can_begin: set[str] = set()
    for name in after:
        waits_for = [name]
        while (before := after.get(waits_for[-1], "")) and before not in can_begin:
            if before in waits_for:
                raise ConfigError(
                    f"methods.{name}.after is {after[name]!r}, which waits for itself "
                    f"({' after '.join((*waits_for, before))}): expected a method that can be first"
                )
            waits_for.append(before)
        can_begin.update(waits_for)


def _seeds(name: str, seeds: Any) -> tuple[int, ...]:
    if not isinstance(seeds, list) or not seeds or not all(type(seed) is int for seed in seeds):
        raise ConfigError(f"the seeds of {name} are {seeds!r}: expected a list of whole numbers")
    if len(set(seeds)) != len(seeds):  # two runs in one folder, and a spread of nothing
        raise ConfigError(f"the seeds of {name} are {seeds!r}: expected each once")
    return tuple(seeds)


def _folder(out: Path, name: str, seed: int) -> RunFolder:
    return RunFolder(out / f"{name}-{seed}")
