"""The two searches: trials drawn at random, and successive halving over them."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..runtime import get_num_threads
from .folder import Folder, open_folder
from .processes import Limits, Processes, Task, pack, refuse_unguarded
from .progress import Progress
from .result import SearchResult, rank
from .space import check_space, draw
from .trial import Record, Trial, trial_seed

Objective = Callable[[dict[str, Any], Trial], float]
_HOPELESS = 3  # trials that fail, with none that succeeds, before a search gives up


def random_search(
    objective: Objective,
    space: Mapping[str, Any],
    trials: int,
    *,
    mode: str = "max",
    budget: int | None = None,
    seed: int = 0,
    folder: str | os.PathLike[str] | None = None,
    n_workers: int | None = None,
    threads: int | None = None,
    time_limit: float | None = None,
    idle_limit: float | None = 4.0,
    retries: int = 2,
    progress: bool = True,
) -> SearchResult:
    """Try parameters drawn at random.

    The objective runs in spawned processes, so it must be a function at the top level of a file, and the call
    stands under ``if __name__ == "__main__":`` in a script. A process that dies, runs too long or hangs is
    replaced and its trial tried again. With a `folder`, a search that was stopped goes on when it is called
    again: trials that have a score are kept, failed ones are tried again, and more trials may be asked for.

    Args:
        objective: ``objective(parameters, trial)`` -> score; `parameters` is a dict of JSON values, `trial`
            has number, budget, seed, folder and ``report(step, value)``.
        space: name -> distribution (``uniform``, ``loguniform``, ``integer``, ``choice``, anything with
            scipy's ``rvs``, a function of a ``numpy.random.Generator``) or fixed value.
        trials: how many.
        mode: "max" (default, an accuracy) or "min" (a loss).
        budget: passed on as ``trial.budget``.
        seed: of all draws; the same space and seed give the same trials.
        folder: where trials are kept, ``trials.jsonl`` with a JSON line each, and the tables; default
            nowhere.
        n_workers: processes, default as many as pynet has threads.
        threads: threads of each process, default pynet's threads shared out, at least 1.
        time_limit: seconds an attempt may take, default any.
        idle_limit: seconds without use of the processor, by the process or its children, after which an
            attempt counts as hanging; None where an objective waits for a network.
        retries: attempts after the first, where one failed.
        progress: show a bar, or on something else than a terminal a line a trial, on standard error.

    Returns:
        The result: ``best_parameters``, ``best_score``, ``trials``, ``table()``, ``to_csv()``,
        ``plot(path)``.

    Raises:
        TypeError: the objective cannot be sent to a process, or the space is none.
        ValueError: an argument is out of range, or the folder holds trials of another space or seed.
        RuntimeError: no process can start, or the first trials all fail.
        KeyboardInterrupt: at Ctrl-C, when the processes have ended and the state is kept.

    Source:
        Bergstra and Bengio 2012, "Random Search for Hyper-Parameter Optimization".
    """
    owner = "random_search"
    return _search(
        owner, objective, space, trials, [budget], 1, mode=mode, seed=seed, folder=folder,
        n_workers=n_workers, threads=threads, limits=_limits(owner, time_limit, idle_limit, retries),
        progress=progress,
    )  # fmt: skip


def successive_halving(
    objective: Objective,
    space: Mapping[str, Any],
    trials: int,
    *,
    min_budget: int = 1,
    max_budget: int,
    factor: int = 3,
    mode: str = "max",
    seed: int = 0,
    folder: str | os.PathLike[str] | None = None,
    n_workers: int | None = None,
    threads: int | None = None,
    time_limit: float | None = None,
    idle_limit: float | None = 4.0,
    retries: int = 2,
    progress: bool = True,
) -> SearchResult:
    """Give all trials a small budget, the best of them `factor` times as much, and so on up to `max_budget`.

    The survivors of a rung are chosen when all its trials have ended: they do not depend on the number of
    processes. An objective that saves checkpoints in ``trial.folder`` goes on from the rung before; one that
    does not trains anew with the larger ``trial.budget``.

    Args:
        min_budget: what each trial may spend at first, such as epochs, at least 1.
        max_budget: what the last ones may spend.
        factor: of the budget from rung to rung, and of the trials that are left, at least 2.
        objective, space, trials, mode, seed, folder, n_workers, threads, time_limit, idle_limit, retries,
            progress: as in ``random_search``.

    Returns:
        The result; a trial has a record for every budget it was given, and the best is one of the largest.

    Raises:
        The same as ``random_search``.

    Source:
        Jamieson and Talwalkar 2016, "Non-stochastic Best Arm Identification and Hyperparameter Optimization".
    """
    owner = "successive_halving"
    for name, value, least in (("min_budget", min_budget, 1), ("max_budget", max_budget, min_budget)):
        _check_int(owner, name, value, least)
    _check_int(owner, "factor", factor, 2)
    budgets = [min_budget]
    while budgets[-1] < max_budget:
        budgets.append(min(budgets[-1] * factor, max_budget))
    return _search(
        owner, objective, space, trials, budgets, factor, mode=mode, seed=seed, folder=folder,
        n_workers=n_workers, threads=threads, limits=_limits(owner, time_limit, idle_limit, retries),
        progress=progress,
    )  # fmt: skip


def _search(
    owner: str, objective: Objective, space: Mapping[str, Any], trials: int, budgets: Iterable[int | None],
    factor: int, *, mode: str, seed: int, folder: Any, n_workers: int | None, threads: int | None,
    limits: Limits, progress: bool,
) -> SearchResult:  # fmt: skip
    """Rungs of rising budget, each for the best of the rung before."""
    refuse_unguarded(owner)
    check_space(owner, space)
    _check_int(owner, "trials", trials, 1)
    _check_int(owner, "seed", seed, 0)
    if mode not in ("max", "min"):
        raise ValueError(f"{owner}: mode must be 'max' or 'min', not {mode!r}")
    cores = get_num_threads()
    workers = cores if n_workers is None else _check_int(owner, "n_workers", n_workers, 1)
    each = max(1, cores // workers) if threads is None else _check_int(owner, "threads", threads, 1)
    packed = pack(owner, objective)
    parameters = [draw(space, seed, number) for number in range(trials)]
    rungs = [(budget, math.ceil(trials / factor**rung)) for rung, budget in enumerate(budgets)]
    with open_folder(owner, folder) as kept:
        kept.check(owner, lambda number: draw(space, seed, number))
        shown = Progress(sum(count for _, count in rungs), mode, progress)
        chosen = list(range(trials))
        try:
            with Processes(packed, workers, each, limits, shown.say) as processes:
                for budget, count in rungs:
                    chosen = chosen[:count]
                    _run_rung(owner, kept, chosen, budget, parameters, seed, processes, shown)
                    rung = sorted(
                        (kept.records[number, budget] for number in chosen), key=lambda r: rank(r, mode)
                    )
                    chosen = [record.number for record in rung if not math.isnan(record.score)]
        except KeyboardInterrupt:
            where = f"; call again with the folder {kept.path} to go on" if kept.kept else ""
            shown.say(f"{owner}: interrupted, {shown.done} of {shown.total} trials are done{where}")
            raise
        finally:
            shown.close()
            result = SearchResult(list(kept.records.values()), mode)
            if kept.kept:
                result.save(kept.path)
    return result


def _run_rung(
    owner: str, kept: Folder, chosen: list[int], budget: int | None, parameters: list[dict[str, Any]],
    seed: int, processes: Processes, shown: Progress,
) -> None:  # fmt: skip
    """Run the trials `chosen` with `budget`, unless they have a score."""
    known = [kept.records[number, budget] for number in chosen if (number, budget) in kept.records]
    done = [record for record in known if not record.failed]
    shown.resumed(done)
    left = sorted(set(chosen) - {record.number for record in done})
    failed, succeeded = 0, bool(done)
    tasks = [
        Task(parameters[number], Trial(number, budget, trial_seed(seed, number), kept.place_of(number)))
        for number in left
    ]
    for outcome in processes.run(tasks):
        trial = outcome.task.trial
        score = math.nan if outcome.score is None else outcome.score
        record = Record(
            trial.number, outcome.task.parameters, budget, score, outcome.seconds, trial.attempt,
            outcome.error, outcome.curve,
        )  # fmt: skip
        kept.add(record)
        shown.ended(record)
        failed, succeeded = failed + record.failed, succeeded or not record.failed
        if failed >= min(_HOPELESS, len(chosen)) and not succeeded:
            raise RuntimeError(
                f"{owner}: the first {failed} trials all failed, the last with: {outcome.error}"
            )


def _limits(owner: str, time: float | None, idle: float | None, retries: int) -> Limits:
    for name, value in (("time_limit", time), ("idle_limit", idle)):
        if value is not None and not value > 0:
            raise ValueError(f"{owner}: {name} must be greater than 0 seconds, or None, not {value!r}")
    return Limits(time, idle, _check_int(owner, "retries", retries, 0))


def _check_int(owner: str, name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{owner}: {name} must be an int of at least {least}, not {value!r}")
    return value
