"""`evaluate`: execution and printed output."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch

from cliptrase_core.cli.arguments import about_model, given_options, words_of_argument
from cliptrase_core.cli.evaluate_arguments import WITHOUT
from cliptrase_core.cli.evaluate_modes import FOLDER, expect_accepted
from cliptrase_core.cli.tasks import note
from cliptrase_core.errors import InputError, counted, expect_one_of
from cliptrase_core.evaluation import sheets, table
from cliptrase_core.evaluation.between import chain, steps, to_lines
from cliptrase_core.evaluation.between import to_json as to_json_between
from cliptrase_core.evaluation.compare import compared
from cliptrase_core.evaluation.data import check, check_folders, expect_root, find_data
from cliptrase_core.evaluation.folder import YAML_ENDS, folder_layout, folder_set, read_folder_set
from cliptrase_core.evaluation.html_report import to_html
from cliptrase_core.evaluation.plan import Plan, expect_fitting, make_plan
from cliptrase_core.evaluation.predictions import expect_apart
from cliptrase_core.evaluation.profiles import PROFILES
from cliptrase_core.evaluation.readers.base import ReadSet, with_words
from cliptrase_core.evaluation.readers.registry import recognised
from cliptrase_core.evaluation.records import every_record
from cliptrase_core.evaluation.report import Report, headline, make_report, run_facts, to_json, to_markdown
from cliptrase_core.evaluation.request import OwnSet, Request
from cliptrase_core.evaluation.run import (
    Finished,
    Group,
    Part,
    joined,
    only_writer,
    own_device,
    records_folder,
    run_together,
    started_by,
)
from cliptrase_core.evaluation.settings import EXAMPLES, SETTINGS
from cliptrase_core.io.files import expect_ours, is_ours, write_all, writing
from cliptrase_core.options import ProtocolOptions, SegmentOptions
from cliptrase_core.segmenter import Segmenter

Load = Callable[[argparse.Namespace], Segmenter]

INCOMPLETE = 2
"""Exit code if a picture could not be used or nothing counts, as for other bad input; the report is written first."""


def execute(options: argparse.Namespace, load: Load) -> int:
    """Run the command.

    Args:
        options: parsed arguments.
        load: function that loads the model from the options.

    Raises:
        CliptraseError: bad input.
    """
    if options.vocabulary is not None:
        options.vocabulary = words_of_argument(options.vocabulary)
    if options.compare or not options.check:
        expect_accepted(options)
    if options.compare:
        for line in compared(*options.compare):
            print(line)
        return 0
    if options.check:
        for line in _checked(options):
            print(line)
        return 0
    if options.output is None or options.output.suffix != ".json":
        got = "nothing" if options.output is None else options.output.name
        raise InputError("output", expected="a file that ends in .json", got=got, remedy="Give --output.")
    with joined(options.device) as group:
        options.device = own_device(options.device)
        if options.between is not None:
            return _run_between(options, load, group)
        if options.methods is not None:
            return _run_methods(options, load, group)
        notes = about_model(options) if options.predictions is None else []
        report = _run(_request(options), options.output, options, load, group, notes)
        return 0 if report is None else _code(report)


def _run(
    request: Request, output: Path, options: argparse.Namespace, load: Load, group: Group, notes: Sequence[str]
) -> Report | None:
    """Run one evaluation, write its report and print its summary after the notes.

    Return the report in the first process, None in the others.
    """
    found = _reports([request], [output], options, load, group)
    if found is None:
        return None
    (report,) = found
    _tell_about(report, output, notes)
    print(f"{report['column']}, {counted(report['pictures']['scored'], 'picture')}: {headline(report)}")
    print(f"{_pace(report)} -> {output}")
    return report


def _reports(
    requests: Sequence[Request], outputs: Sequence[Path], options: argparse.Namespace, load: Load, group: Group
) -> list[Report] | None:
    """Run evaluations that differ in the method alone together and write their reports.

    Return the reports in the first process, None in the others.
    """
    for request in requests:
        expect_fitting(request)
    expect_ours([path for output in outputs for path in _files(output).values()], "--output")
    data = find_data(requests[0])
    expect_apart([output.parent for output in outputs], data.pairs, "output")
    group.by_first(data.expect_usable)
    model = cache(lambda: load(options))  # weights are downloaded only after the data check
    with ExitStack() as locks:
        for output in outputs:
            locks.enter_context(only_writer(output, group))
        plans = [make_plan(request, data, model) for request in requests]
        with _resumption_noted(outputs, options, group):
            parts = [Part(plan.job, plan.header, output) for plan, output in zip(plans, outputs, strict=True)]
            found = run_together(parts, plans[0].batch, group, fresh=options.fresh)
            if found is None:
                return None
            done = zip(found, plans, outputs, strict=True)
            return [_write(finished, plan, output, options, group) for finished, plan, output in done]


@contextmanager
def _resumption_noted(outputs: Sequence[Path], options: argparse.Namespace, group: Group) -> Iterator[None]:
    """Say how to go on if the user interrupts a run that has records."""
    try:
        yield
    except KeyboardInterrupt:
        if group.first and any(every_record(records_folder(output)) for output in outputs):
            note(f"the same command{' without --fresh' if options.fresh else ''} goes on from here.")
        raise


def _run_methods(options: argparse.Namespace, load: Load, group: Group) -> int:
    """Run several methods on the same data together, and write their reports and their table."""
    names = table.read_methods(options.methods)
    output: Path = options.output
    beside = output.with_suffix(".md")
    expect_ours([output, beside], "--output")
    base = _request(options)
    requests = [dataclasses.replace(base, options=dataclasses.replace(base.options, method=name)) for name in names]
    paths = [output.with_name(f"{output.stem}.{name}.json") for name in names]
    reports = _reports(requests, paths, options, load, group)
    if reports is None:
        return 0
    rows = table.rows_of(names, reports, paths)
    setup = reports[0]["setup"]
    title = f"{setup['title']}: {len(rows)} methods, protocol {setup['protocol']}"
    with _writing(output):
        write_all(output.parent, {output.name: table.to_json(title, rows), beside.name: table.to_markdown(title, rows)})
        _remove_earlier(output, {output, beside})
    worst = max(zip(reports, paths, strict=True), key=lambda pair: len(pair[0]["pictures"]["problems"]))
    _tell_about(*worst, about_model(options))
    for line in table.to_lines(rows):
        print(line)
    print(f"{_pace(max(reports, key=lambda report: int(report['run']['images'])))} -> {output}")
    return max(map(_code, reports))


def _run_between(options: argparse.Namespace, load: Load, group: Group) -> int:
    """Run one evaluation for each single difference between two profiles, and write their table."""
    first, second = options.between
    options.protocol = first
    request = _request(options)
    if isinstance(request.data, str) and request.vocabulary is not None:
        raise InputError("between", expected="each protocol's own words", got="--vocabulary", remedy="Leave it out.")
    found = steps(first, second, request.data if isinstance(request.data, str) else None)
    reports = [options.output.with_name(f"{options.output.stem}.{place}.json") for place in range(len(found))]
    expect_ours([options.output], "--output")
    model, code = cache(lambda: load(options)), 0
    for step, path in zip(found, reports, strict=True):
        chosen = dataclasses.replace(request.options, method=step.method.name)
        now = dataclasses.replace(request, step=step, words=step.words, options=chosen)
        notes = about_model(options) if path == reports[0] else []
        report = _run(now, path, options, lambda _: model(), group, notes)
        code = max(code, 0 if report is None else _code(report))
        if report is not None and not _any_pixel(report):
            return code
    if group.first:
        rows = chain(found, reports)
        with _writing(options.output):
            write_all(options.output.parent, {options.output.name: to_json_between(first, second, rows)})
            _remove_earlier(options.output, {options.output})
        for line in to_lines(rows):
            print(line)
    return code


def _request(options: argparse.Namespace) -> Request:
    data = _requested_folder(options)
    given = given_options(SegmentOptions, options)
    chosen = {name: value for name, value in given.items() if value is not None and name not in WITHOUT}
    if options.protocol in PROFILES and options.predictions is None:
        chosen.setdefault("method", PROFILES[options.protocol].method)
    return Request(
        data,
        root=options.data,
        protocol=options.protocol,
        preset=options.preset,
        short_side=options.short_side,
        options=SegmentOptions(**chosen),
        values=ProtocolOptions(**given_options(ProtocolOptions, options)),
        image_prior=options.image_prior,
        vocabulary=options.vocabulary,
        words=options.words,
        limit=options.limit,
        batch=options.batch,
        readers=options.readers,
        quirks=options.reference_quirks,
        predictions=options.predictions,
        predicted_background=options.predicted_background,
        save_predictions=options.save_predictions,
        layout=options.layout if isinstance(data, str) else None,
    )


def _requested_folder(options: argparse.Namespace) -> str | OwnSet:
    """Return the name of a setting, or the user's own data set."""
    own = options.images is not None or options.masks is not None
    if options.setting is None and not own and options.data is not None:
        found = _recognised(options)
        if isinstance(found, ReadSet):
            return found
        options.setting = found  # from here on the same as a given --setting
    if own == (options.setting is not None):
        got = "both" if own else "neither"
        expected = "--setting, or --images with --masks, or --data alone"
        raise InputError("data", expected=expected, got=got, remedy="Give one of them.")
    given = _folder_entries(options)
    _expect_heeded(options, own, sorted(given))
    if own:
        _expect_described(options, "images", "masks", "vocabulary")
        return folder_set({**given, "vocabulary": options.vocabulary}, Path())
    if _is_file(options.setting):
        return read_folder_set(options.setting)
    expect_one_of("setting", options.setting, (*SETTINGS, EXAMPLES))
    return str(options.setting)


def _expect_described(options: argparse.Namespace, *needed: str) -> None:
    """Raise InputError unless these arguments describe the user's own folders; `folder_set` speaks of YAML entries."""
    for name in needed:
        if not getattr(options, name):
            expected, value = ("classes", "WORDS") if name == "vocabulary" else ("a folder", "DIR")
            raise InputError(name, expected=expected, got="nothing", remedy=f"Give --{name} {value}.")


def _recognised(options: argparse.Namespace) -> str | ReadSet:
    """Detect the data in `--data` by its layout; return the name of a setting, or a data set."""
    found = recognised(expect_root(options.data), options.layout)
    if isinstance(found, str):
        return found
    unused = [*_folder_entries(options), *(("words",) if options.words else ())]
    if unused:
        got = f"--{unused[0].replace('_', '-')} with {found.title}"
        expected = "what its own files say"
        raise InputError(unused[0], expected=expected, got=got, remedy="Leave it out.")
    return found if options.vocabulary is None else with_words(found, options.vocabulary)


def _folder_entries(options: argparse.Namespace) -> dict[str, Any]:
    """Return the given arguments about the user's own folders."""
    return {name: getattr(options, name) for name in FOLDER if getattr(options, name) is not None}


def _checked(options: argparse.Namespace) -> Iterator[str]:
    """Return the lines of `--check`, for folders, for one setting, or for all settings."""
    if options.setting is None and options.images is None and options.masks is None and options.layout is None:
        return check(None, options.data)
    if options.setting is None and options.vocabulary is None and options.layout is None:
        _expect_described(options, "images", "masks")
        return check_folders(folder_layout(_folder_entries(options), Path()))
    data = _requested_folder(options)
    if data == EXAMPLES:
        remedy = "They are part of the program: leave out --check."
        raise InputError("check", expected="data of your own or of a benchmark", got=EXAMPLES, remedy=remedy)
    return check(data, options.data) if isinstance(data, str) else check_folders(data)


def _is_file(setting: str) -> bool:
    return setting.lower().endswith(YAML_ENDS)


def _expect_heeded(options: argparse.Namespace, own: bool, given: list[str]) -> None:
    """Raise InputError for an argument that does not apply to the chosen data."""
    file = not own and _is_file(options.setting)
    unused = [] if own else [(name, "pictures of your own by --images and --masks") for name in given]
    if options.data is not None and (own or file or options.setting == EXAMPLES):
        unused.append(("data", "it with a benchmark setting, whose folders lie below it"))
    if options.layout is not None and (own or file or options.setting == EXAMPLES):
        unused.append(("layout", "it with --data"))
    if options.vocabulary is not None and (file or options.setting == EXAMPLES):
        unused.append(("vocabulary", "it in the file" if file else "none, examples have their own words"))
    if options.words is not None and (own or file or options.setting == EXAMPLES or options.vocabulary is not None):
        unused.append(("words", "it with a benchmark setting and without --vocabulary"))
    for name, expected in unused:
        got = f"--{name.replace('_', '-')} with {options.setting or '--images'}"
        raise InputError(name, expected=expected, got=got, remedy="Leave it out.")


def _files(output: Path) -> dict[str, Path]:
    """Return the paths of the report and of all files that are written next to it."""
    ends = {title: f"{title.split()[0].lower()}.png" for title in sheets.TITLES}
    ends |= {"markdown": "md", "page": "html", "json": "json"}
    return {kind: output.with_name(f"{output.stem}.{end}") for kind, end in ends.items()}


def _remove_earlier(output: Path, written: Set[Path]) -> None:
    """Remove the files of an earlier single report beside a table of the same name: they would seem to belong to it."""
    for path in _files(output).values():
        if path not in written and path.is_file() and is_ours(path):
            path.unlink()


def _write(found: Finished, plan: Plan, output: Path, options: argparse.Namespace, group: Group) -> Report:
    """Write the report and all files beside it; return the report."""
    report = make_report(found.records, plan.job.source.names, plan.rule, plan.header)
    command = shlex.join([*started_by(), "-m", "cliptrase_core", *sys.argv[1:]])
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    report["run"] = run_facts(found.pace, command, group.world, device, torch.get_num_threads())
    shown = sheets.shown_pictures(plan.job, found.records)
    files = {kind: path.name for kind, path in _files(output).items()}
    contents = {
        **{files[title]: sheets.to_png(rows) for title, rows in shown.items()},
        files["markdown"]: to_markdown(report, {title: files[title] for title in shown}),
        files["page"]: to_html(report, shown),
        files["json"]: to_json(report),
    }
    with _writing(output):
        write_all(output.parent, contents)
        for title in sheets.TITLES:
            if title not in shown:  # left by an earlier run with more pictures
                output.with_name(files[title]).unlink(missing_ok=True)
    return report


def _writing(output: Path) -> AbstractContextManager[None]:
    """Explain a failure to write reports; the records are complete then, so that nothing is computed again."""
    resumes = "Free disk space and run the same command again: it resumes."
    return writing(f"report {output.name!r}", output.parent, "--output", resumes)


def _tell_about(report: Report, output: Path, notes: Sequence[str]) -> None:
    """Print the pictures that could not be used, and notes."""
    problems = report["pictures"]["problems"]
    if problems:
        first = problems[0]
        print(
            f"{len(problems)} of {counted(report['pictures']['listed'], 'picture')} could not be used, "
            f"see {output.stem}.md; the first: {first['key']}: {first['why']}",
            file=sys.stderr,
        )
    note(*notes)
    if len(problems) < report["pictures"]["listed"] and not _any_pixel(report):
        print("no figures: all pixels of the pictures that could be used are ignored.", file=sys.stderr)


def _pace(report: Report) -> str:
    run = report["run"]
    resumed = f"{'all ' * (run['resumed'] != 1)}{counted(run['resumed'], 'picture')} from the records of earlier runs"
    return f"{run['images_per_second']:.2f} pictures a second" if run["images"] else resumed


def _code(report: Report) -> int:
    """Return the exit code: whether every picture could be used and any pixel counts."""
    return INCOMPLETE if report["pictures"]["problems"] or not _any_pixel(report) else 0


def _any_pixel(report: Report) -> bool:
    return any(row["true"] for row in report["classes"])
