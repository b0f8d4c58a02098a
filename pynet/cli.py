"""The command ``pynet``: train, evaluate and apply networks without writing a program.

Results go to standard output, progress and errors to standard error. Exit codes: 0, 1 where ``diagnose`` has
found something, 2 after an error, 130 and 143 after Ctrl-C and SIGTERM.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shlex
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import __version__, models, runtime
from .data import available as data_sets
from .report import Monitor, compare, write_report
from .report.compare import history_of
from .report.run_page import MONITOR
from .train import augment, recipes
from .train.history import History
from .train.run import Run, RunHistory, versions
from .train.trainer import Trainer

_INTERRUPTED = {"SIGINT": 130, "SIGTERM": 143}
_SETTINGS = (
    "model", "epochs", "batch_size", "lr", "optimizer", "preprocess", "augment", "seed", "validation",
    "image_size", "root",
)  # fmt: skip


class _Parser(argparse.ArgumentParser):
    """Reports an error in one sentence, without the usage."""

    def error(self, message: str) -> Any:
        self.exit(2, f"{self.prog}: error: {message}; see `{self.prog} --help`\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line `arguments`, by default the process's own; return the exit code."""
    line = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(line)
    options.command_line = line
    try:
        if options.threads is not None:
            runtime.set_num_threads(options.threads)
        return options.command(options)
    except KeyboardInterrupt:
        print("pynet: aborted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of a pipe has had enough; nothing may be written at exit either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if options.debug:
            raise
        print(f"pynet: error: {_sentence(error)}", file=sys.stderr)
        return 2


def train(options: argparse.Namespace) -> int:
    """``pynet train``: make or continue a RUN folder."""
    if options.resume is not None:
        run, settings = _resumed(options)
    else:
        if options.data is None:
            raise ValueError(
                f"train: give --data ({', '.join(data_sets())} or a folder), or --resume with a run"
            )
        settings = recipes.suitable(options.data, {key: getattr(options, key) for key in _SETTINGS})
        run = None
    parts = recipes.load_parts(settings)
    if run is None:
        run = _created(options, settings, parts)
    run.description.update(status="training", versions=versions())
    run.save()
    model = recipes.make_model(settings, run.description["model"]["arguments"])
    preprocessing = run.preprocessing
    train_loader, validation = recipes.loaders(parts, settings, preprocessing)
    trainer = recipes.make_trainer(model, settings, len(train_loader), len(parts.classes))
    print(_headline(run, parts, model), file=sys.stderr)

    begin = time.perf_counter()
    trainer.fit(
        train_loader,
        validation,
        settings.epochs,
        callbacks=[RunHistory(run), Monitor(run.path / MONITOR, recipes.sample(parts, preprocessing))],
        checkpoint=run.checkpoints,
        resume=options.resume is not None,
    )
    seconds = time.perf_counter() - begin
    run.save_model(model)
    if trainer.interrupted is not None or len(trainer.history) < settings.epochs:
        return _stopped(run, trainer, model)
    result = recipes.test(model, parts.test, preprocessing, len(parts.classes))
    total = sum(trainer.history["seconds"])
    run.description["status"] = "finished"
    run.description["figures"] = {"test_accuracy": result.accuracy, "seconds": round(total, 3)}
    run.save()
    missing = run.save_pictures(trainer.history, result.matrix)
    if missing:
        print(missing, file=sys.stderr)
    print(f"run: {run.path}")
    _report(run, trainer.history, model, parts.test, result.outputs)
    print(f"time: {seconds:.1f} s")
    print(_closing(result.accuracy))
    return 0


def evaluate(options: argparse.Namespace) -> int:
    """``pynet eval``: apply a run to its test images."""
    run = Run.open(options.run)
    settings = _settings(run)
    if options.root is not None:
        settings = dataclasses.replace(settings, root=options.root)
    model = run.load_model()
    begin = time.perf_counter()
    part, classes = recipes.load_test(settings)
    if classes != run.classes:
        raise ValueError(f"eval: the data has the classes {classes}, the run was trained on {run.classes}")
    result = recipes.test(model, part, run.preprocessing, len(classes))
    print(f"test images: {len(part)}")
    print(f"time: {time.perf_counter() - begin:.1f} s")
    print(_closing(result.accuracy))
    return 0


def predict(options: argparse.Namespace) -> int:
    """``pynet predict``: name the classes of images."""
    from .data import open_image
    from .data.images import read_image

    if options.top < 1:
        raise ValueError(f"predict: --top must be at least 1, not {options.top}")
    run = Run.open(options.run)
    model, preprocessing = run.load_model(), run.preprocessing
    arguments = run.description["model"]["arguments"]
    channels, size = arguments["in_channels"], arguments["image_size"]
    images = []
    for path in options.images:
        image = read_image(path, channels, (size, size))
        images.append(255 - image if options.invert else image)
        if channels == 1:
            colours = np.asarray(open_image(path, 3), np.int16)
            if np.ptp(colours, axis=2).max() > 8:  # JPEG greys differ by a few steps
                print(
                    f"{path}: a colour image; it was converted to grey, as this network takes 1 channel",
                    file=sys.stderr,
                )
    scores = Trainer(model, None, None).predict(preprocessing(np.stack(images)))
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    for path, row in zip(options.images, shares, strict=True):
        best = np.argsort(-row, kind="stable")[: options.top]
        print(f"{path}: " + ", ".join(f"{run.classes[index]} {100 * row[index]:.1f} %" for index in best))
    return 0


def diagnose(options: argparse.Namespace) -> int:
    """``pynet diagnose``: look at a run, or at a training before it is begun, in six steps."""
    from .analysis import diagnose as look

    history = None
    if (options.run is None) == (options.data is None):
        raise ValueError(f"diagnose: give a RUN folder, or --data ({', '.join(data_sets())} or a folder)")
    if options.run is not None:
        run = Run.open(options.run)
        settings, preprocessing = _settings(run), run.preprocessing
        if options.root is not None:
            settings = dataclasses.replace(settings, root=options.root)
        parts, arguments = recipes.load_parts(settings), run.description["model"]["arguments"]
        if (run.path / "history.json").exists():
            history = History.load(run.path / "history.json")
    else:
        given = {key: getattr(options, key, None) for key in _SETTINGS}
        settings = recipes.suitable(options.data, given)
        parts = recipes.load_parts(settings)
        preprocessing = recipes.fit_preprocessing(parts, settings)
        arguments = recipes.model_arguments(parts)
    model = recipes.make_model(settings, arguments)
    loader, validation = recipes.loaders(parts, settings, preprocessing)
    trainer = recipes.make_trainer(model, settings, len(loader), len(parts.classes))
    found = look(model, loader, trainer.loss, trainer.optimizer, validation=validation, history=history)
    found.title = f"Diagnosis of {settings.model} on {os.path.basename(settings.data)}"
    print(found)
    target = options.out or (None if options.run is None else os.path.join(options.run, "diagnosis.html"))
    if target is not None:
        try:
            found.save(target)
            print(f"page: {target}")
        except ImportError as error:
            print(f"no pictures: {error}", file=sys.stderr)
    return 0 if found.healthy else 1


def doctor(options: argparse.Namespace) -> int:
    """``pynet doctor``: say what pynet found on this machine."""
    build = runtime.build_info()
    lines: list[tuple[str, Any]] = [*versions().items()]
    lines += [
        ("isa", f"{runtime.isa()} (available: {', '.join(runtime.isa_levels())})"),
        ("threads", f"{runtime.get_num_threads()} ({runtime.thread_choice()})"),
    ]
    for key, amount in runtime.memory_stats().items():
        lines.append((f"pool {key.removesuffix('_bytes').replace('_', ' ')}", _amount(key, amount)))
    for key, value in build.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list) else value
        lines.append((f"built with {key.replace('_', ' ')}", shown))
    width = max(len(key) for key, _ in lines)
    for key, value in lines:
        print(f"{key:{width}}  {value}")
    return 0


def _resumed(options: argparse.Namespace) -> tuple[Run, recipes.Settings]:
    given = [key for key in ("data", *_SETTINGS, "out") if getattr(options, key) is not None]
    if given:
        flags = ", ".join(f"--{key.replace('_', '-')}" for key in given)
        raise ValueError(f"train: --resume takes all settings from {options.resume}; leave out {flags}")
    run = Run.open(options.resume)
    return run, _settings(run)


def _settings(run: Run) -> recipes.Settings:
    try:
        return recipes.Settings(**run.description["settings"])
    except TypeError as error:
        raise ValueError(f"{run.path}/run.json: its settings do not fit this pynet ({error})") from None


def _created(options: argparse.Namespace, settings: recipes.Settings, parts: recipes.Parts) -> Run:
    arguments = recipes.model_arguments(parts)
    models.create(settings.model, **arguments)  # an error comes before the folder
    return Run.create(
        options.out or os.path.join("runs", os.path.basename(settings.data)),
        model=settings.model,
        arguments=arguments,
        preprocessing=recipes.fit_preprocessing(parts, settings),
        classes=parts.classes,
        data={"name": os.path.basename(settings.data), "train": len(parts.train), "test": len(parts.test)},
        settings=dataclasses.asdict(settings),
        command=shlex.join(["pynet", *options.command_line]),
    )


def report(options: argparse.Namespace) -> int:
    """``pynet report``: write a run's report again."""
    run = Run.open(options.run)
    history, settings = history_of(run), _settings(run)
    try:
        model = run.load_model()
    except FileNotFoundError:  # in training still
        _report(run, history, None)
        return 0
    if run.description["status"] != "finished":
        _report(run, history, model)
        return 0
    if options.root is not None:
        settings = dataclasses.replace(settings, root=options.root)
    part, classes = recipes.load_test(settings)
    if classes != run.classes:
        raise ValueError(f"report: the data has the classes {classes}, the run was trained on {run.classes}")
    result = recipes.test(model, part, run.preprocessing, len(classes))
    _report(run, history, model, part, result.outputs)
    return 0


def compare_runs(options: argparse.Namespace) -> int:
    """``pynet compare``: set runs side by side."""
    page, table = compare([Run.open(path) for path in options.runs])
    print(table)
    page.save(options.out)
    print(f"page: {options.out}")
    return 0


def _report(
    run: Run, history: Any, model: Any, part: Any = None, outputs: Any = None, *, said_on: Any = None
) -> None:
    try:
        print(f"report: {write_report(run, history, model, part, outputs)}", file=said_on or sys.stdout)
    except ImportError as error:
        print(f"no report: {error}", file=sys.stderr)


def _stopped(run: Run, trainer: Trainer, model: Any) -> int:
    run.description["status"] = "stopped"
    run.save()
    run.save_pictures(trainer.history)
    if trainer.interrupted is None:  # after a signal there is no time for it
        _report(run, trainer.history, model, said_on=sys.stderr)
    print(f"continue with: pynet train --resume {shlex.quote(str(run.path))}", file=sys.stderr)
    return _INTERRUPTED.get(trainer.interrupted or "", 2)


def _headline(run: Run, parts: recipes.Parts, model: Any) -> str:
    weights = sum(parameter.array.size for parameter in model.parameters())
    held = 0 if parts.validation is None else len(parts.validation)
    data, model_name = run.description["data"]["name"], run.description["model"]["name"]
    return (
        f"{data}: {len(parts.train)} training, {held} validation, {len(parts.test)} test images; "
        f"{model_name} with {weights:,} weights; {runtime.get_num_threads()} threads, {runtime.isa()}"
    )


def _closing(accuracy: float) -> str:
    return f"test accuracy: {100 * accuracy:.1f} %"


def _amount(key: str, value: Any) -> str:
    return f"{value / 2**20:.1f} MiB" if "bytes" in key else str(value)


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, MemoryError):
        return f"out of memory ({error})" if str(error) else "out of memory; use a smaller --batch-size"
    return " ".join(str(error).split()) or type(error).__name__


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="pynet", description="Convolutional networks on ordinary CPUs.")
    parser.add_argument("--version", action="version", version=f"pynet {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    everywhere = _Parser(add_help=False)
    everywhere.add_argument(
        "--threads", type=int, help="threads; by default what suits the machine (see `pynet doctor`)"
    )
    everywhere.add_argument("--debug", action="store_true", help="show the traceback of an error")
    _add_train(commands, everywhere)

    command = commands.add_parser(
        "eval", parents=[everywhere], help="test a run again", description=evaluate.__doc__
    )
    command.add_argument("run", metavar="RUN", help="a RUN folder")
    command.add_argument("--root", metavar="FOLDER", help="folder of the data set's files")
    command.set_defaults(command=evaluate)

    command = commands.add_parser(
        "report", parents=[everywhere], help="write a run's report again", description=report.__doc__
    )
    command.add_argument("run", metavar="RUN", help="a RUN folder")
    command.add_argument("--root", metavar="FOLDER", help="folder of the data set's files")
    command.set_defaults(command=report)

    command = commands.add_parser(
        "compare", parents=[everywhere], help="set runs side by side", description=compare_runs.__doc__
    )
    command.add_argument("runs", metavar="RUN", nargs="+", help="RUN folders, at least two")
    command.add_argument(
        "--out", default="compare.html", metavar="FILE", help="the page (default %(default)s)"
    )
    command.set_defaults(command=compare_runs)

    command = commands.add_parser("predict", parents=[everywhere], help="name the classes of images")
    command.description = (
        "Name the classes of images. An image is turned into the run's colours (grey for a network of 1 "
        "channel), resized to the run's size whatever its aspect, and preprocessed as in the training."
    )
    command.add_argument("run", metavar="RUN", help="a RUN folder")
    command.add_argument("images", metavar="IMAGE", nargs="+", help="image files")
    command.add_argument("--top", type=int, default=3, help="how many classes to name (default 3)")
    command.add_argument(
        "--invert", action="store_true", help="for dark ink on white paper, where the run saw light on dark"
    )
    command.set_defaults(command=predict)

    command = commands.add_parser("diagnose", parents=[everywhere], help="say what is wrong with a training")
    command.description = (
        "Look at data, first loss, activations, learning rate and curves in six steps, each with a verdict, "
        "and say what is wrong and what to do. Of a RUN the page goes into its folder. "
        "Exit code 1: something was found."
    )
    command.add_argument("run", metavar="RUN", nargs="?", help="a RUN folder; or give --data")
    _add_choice(command)
    command.add_argument("--out", metavar="FILE.html|FOLDER", help="where text and pictures go")
    command.set_defaults(command=diagnose)

    command = commands.add_parser(
        "doctor", parents=[everywhere], help="show what pynet found on this machine"
    )
    command.set_defaults(command=doctor)
    return parser


def _add_train(commands: Any, everywhere: argparse.ArgumentParser) -> None:
    command = commands.add_parser(
        "train", parents=[everywhere], help="train a network", description=train.__doc__
    )
    _add_choice(command)
    command.add_argument("--epochs", type=int)
    command.add_argument(
        "--validation", type=float, help="share of the training images held out for the curves"
    )
    command.add_argument("--out", metavar="RUN", help="where the result goes (default runs/DATA)")
    command.add_argument("--resume", metavar="RUN", help="continue a run that was stopped")
    command.set_defaults(command=train)


def _add_choice(command: argparse.ArgumentParser) -> None:
    """The options that say what is trained, and how."""
    command.add_argument(
        "--data", metavar="NAME|FOLDER", help=f"{', '.join(data_sets())}, or a folder CLASS/*.png"
    )
    command.add_argument("--root", metavar="FOLDER", help="folder of the data set's files")
    command.add_argument("--model", help=f"architecture: {', '.join(models.available())}")
    command.add_argument("--batch-size", type=int)
    command.add_argument("--lr", type=float, help="highest learning rate; it follows half a cosine to zero")
    command.add_argument("--optimizer", help=", ".join(recipes.OPTIMIZERS))
    command.add_argument("--preprocess", help=", ".join(recipes.PREPROCESSING))
    command.add_argument(
        "--augment",
        metavar="NAME,...",
        type=lambda names: [name for name in names.split(",") if name],
        help=f"random changes of the training images, in order; '' for none: {', '.join(augment.NAMES)}",
    )
    command.add_argument("--seed", type=int)
    command.add_argument("--image-size", type=int, help="pixels a side, for a folder of images")
