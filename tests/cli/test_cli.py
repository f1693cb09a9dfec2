"""The command line as a person runs it: files that reopen, one broken picture, exit codes, one line on stderr."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cliptrase_core import cli
from cliptrase_core.cli import doctor, segment, tasks
from cliptrase_core.io.export.loading import load_result
from cliptrase_core.io.files import asset
from cliptrase_core.models import embedded as nano_model
from cliptrase_core.models import loading
from cliptrase_core.refine import sam_checkpoints
from cliptrase_core.segmenter import Segmenter


@pytest.fixture(autouse=True)
def one_model(monkeypatch, nano):
    """Load nano once for all commands of this file."""
    monkeypatch.setattr(Segmenter, "from_pretrained", classmethod(lambda cls, *args, **settings: nano))


@pytest.fixture
def photo(tmp_path, picture):
    path = tmp_path / "in" / "photo.png"
    path.parent.mkdir()
    Image.fromarray(picture).save(path)
    return path


def run(*arguments):
    return cli.main([str(argument) for argument in arguments])


def code_of(*arguments):
    """Return the exit code, also of what argparse refuses."""
    try:
        return run(*arguments)
    except SystemExit as end:
        return end.code


def test_weights_named_twice_are_refused(photo, tmp_path, monkeypatch, capsys):
    monkeypatch.undo()  # the model is really loaded
    twice = ("--model", "ViT-B-16:laion2b_s34b_b88k", "--pretrained", "mine.pt")
    assert run("segment", photo, "--vocabulary", "cat; dog", "--output", tmp_path / "out", *twice) == 2
    assert "expected one name of weights, got 'ViT-B-16:laion2b_s34b_b88k' and 'mine.pt'" in capsys.readouterr().err
    monkeypatch.setenv("CLIPTRASE_MODEL", "ViT-B-16:laion2b_s34b_b88k")  # only one was typed: it wins
    assert run("segment", photo, "--vocabulary", "cat; dog", "--output", tmp_path / "out", *twice[2:]) == 2
    said = capsys.readouterr().err
    assert re.search("weights.*mine.pt", said)
    assert "laion" not in said


def test_segment_writes_files_that_reopen(photo, tmp_path, capsys):
    assert run("segment", photo, "--vocabulary", "cat; dog | background: wall", "--output", tmp_path / "out") == 0
    with Image.open(tmp_path / "out" / "photo.labels.png") as labels:
        assert labels.mode == "P"
        assert labels.size == (64, 48)
    result = load_result(tmp_path / "out" / "photo.json")
    assert result.class_names == ("cat", "dog", "background")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / "photo.labels.png")), result.labels)
    record = json.loads((tmp_path / "out" / "photo.json").read_text(encoding="utf-8"))
    assert record["settings"]["model"] == "nano"
    assert "photo.overlay.png" in capsys.readouterr().out


@pytest.mark.parametrize("step", ["source_entries", "folder_digest", "save"])
def test_a_picture_that_vanishes_during_the_run_does_not_stop_the_rest(photo, tmp_path, capsys, monkeypatch, step):
    going, before = photo.with_name("going.png"), getattr(segment, step)
    shutil.copy(photo, going)

    def vanish_first(*arguments, **options):
        if going in (options.get("source"), arguments[0]):
            going.unlink()
            if step == "folder_digest":  # which needs the folder only
                raise PermissionError(13, "Permission denied")
        return before(*arguments, **options)

    monkeypatch.setattr(segment, step, vanish_first)
    line = ("segment", photo.parent, "--vocabulary", "cat; dog", "--formats", "labelme", "--output", tmp_path / "out")
    assert run(*line) == 2
    assert (tmp_path / "out" / "photo.json").exists()
    assert not (tmp_path / "out" / "going.json").exists()
    failed = [line for line in capsys.readouterr().err.splitlines() if "going.png:" in line]
    assert len(failed) == 1
    assert "picture 'going.png': expected a file that stays readable" in failed[0]


def test_a_picture_that_cannot_be_read_again_is_not_skipped(photo, tmp_path, capsys, monkeypatch):
    line = ("segment", photo, "--vocabulary", "cat; dog", "--output", tmp_path / "out", "--skip-existing")
    assert run(*line) == 0

    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tasks, "sha256", refuse)
    assert run(*line) == 2
    assert "photo.png: picture 'photo.png': expected a file that stays readable" in capsys.readouterr().err


def test_one_broken_picture_does_not_stop_the_rest_and_is_reported(photo, tmp_path, capsys):
    broken = tmp_path / "broken.png"
    broken.write_text("not a picture")
    code = run("segment", broken, photo, "--vocabulary", "cat; dog", "--output", tmp_path / "out")
    assert code == 2
    assert (tmp_path / "out" / "photo.json").exists()
    assert not list((tmp_path / "out").glob("broken*"))
    assert "1 of 2 pictures could not be segmented" in capsys.readouterr().err


def test_pictures_of_one_name_do_not_overwrite_each_other(photo, tmp_path, picture):
    other = tmp_path / "Photo.jpg"
    Image.fromarray(picture).save(other)
    assert run("segment", photo, other, photo, "--vocabulary", "cat", "--output", tmp_path / "out") == 0
    assert sorted(path.name for path in (tmp_path / "out").glob("*.json")) == ["Photo.jpg.json", "photo.png.json"]


def test_long_names_that_differ_at_their_end_are_kept_apart(tmp_path, picture):
    paths = [tmp_path / ("n" * 120 + f"{i}.png") for i in range(2)]
    for path in paths:
        Image.fromarray(picture).save(path)
    assert run("segment", *paths, "--vocabulary", "cat", "--output", tmp_path / "out") == 0
    assert len(list((tmp_path / "out").glob("*.json"))) == 2


def test_paper_preset_labels_the_crop(photo, tmp_path):
    run("segment", photo, "--vocabulary", "cat; dog", "--preset", "paper-224", "--output", tmp_path / "out")
    assert load_result(tmp_path / "out" / "photo.json").size == (224, 224)


def test_intermediates_are_added_on_request(photo, tmp_path):
    run("segment", photo, "--vocabulary", "cat", "--intermediates", "--output", tmp_path / "out")
    arrays = np.load(tmp_path / "out" / "photo.npz")
    assert arrays["affinity"].shape == (1 + len(arrays["patches"]),) * 2


def test_inspect_writes_heat_maps_and_arrays(photo, tmp_path, capsys):
    code = run("inspect", photo, "--row", 2, "--column", 3, "--layer", 5, "--output", tmp_path / "out")
    assert code == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    stem = "photo.layer5.row2.column3"
    assert names == sorted(
        [f"{stem}.patch.png", f"{stem}.before.png", f"{stem}.after.png", f"{stem}.affinity.png", f"{stem}.npz"]
    )
    arrays = np.load(tmp_path / "out" / f"{stem}.npz")
    token = 1 + 2 * arrays["before"].shape[1] + 3
    for map_name, matrix in (("before", "attention"), ("after", "recovered")):
        assert np.array_equal(arrays[map_name].ravel(), arrays[matrix][token, 1:])
        assert arrays[matrix].sum(axis=1) == pytest.approx(1, abs=1e-3)
    assert arrays["affinity"][token, token] == pytest.approx(1, abs=1e-2)
    assert "global patches" in capsys.readouterr().out


def test_inspect_draws_a_figure_when_asked_and_knows_it_again(photo, tmp_path, capsys):
    line = ["inspect", photo, "--row", 2, "--column", 3, "--figure", "--output", tmp_path]
    assert run(*line) == run(*line) == 0  # the second run replaces the figure of the first
    figure = tmp_path / "photo.layer11.row2.column3.figure.png"
    assert str(figure) in capsys.readouterr().out
    Image.new("RGB", (3, 3)).save(figure)
    assert run(*line) == 2
    assert "figure.png" in capsys.readouterr().err


def test_an_interrupted_inspect_leaves_nothing_that_stops_the_next(photo, tmp_path, monkeypatch):
    line = ["inspect", photo, "--row", 2, "--column", 3, "--output", tmp_path / "out"]

    def cut(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", cut)
        assert run(*line) == 1
    assert not list((tmp_path / "out").iterdir())
    assert run(*line) == 0


def test_doctor_says_what_would_run(capsys):
    assert run("doctor") == 0
    out = capsys.readouterr().out
    assert "nano: included" in out
    assert "naclip: NACLIP, Hajimiri et al., WACV 2025" in out
    assert "page would start with" in out


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "nano"),
        ({"CLIPTRASE_MODEL": "", "CLIPTRASE_DEVICE": "", "CLIPTRASE_PRECISION": ""}, "nano"),
        ({"CLIPTRASE_MODEL": "foo"}, "nothing. model: expected"),
        ({"CLIPTRASE_MODEL": "ViT-B-16:x.pt"}, "nothing. weights file x.pt: expected a file, got no such file"),
        ({"CLIPTRASE_MODEL": "ViT-L-14"}, "nothing. ViT-L-14 is not on this computer, and HF_HUB_OFFLINE=1 forbids"),
        ({"CLIPTRASE_DEVICE": "foo"}, "nothing. device: expected one that torch has here, got 'foo'"),
        ({"CLIPTRASE_PRECISION": "foo"}, "nothing. precision: expected one of"),
    ],
)
def test_doctor_says_why_what_is_set_cannot_run(monkeypatch, capsys, settings, said):
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(loading.hub, "offline", lambda: True)
    monkeypatch.setattr(loading, "hub_answers", lambda timeout: False)
    monkeypatch.setattr(loading.hub, "find_cached", lambda name: None)
    monkeypatch.setattr(doctor, "bf16_gain", lambda device: 1.0)
    assert run("doctor") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].startswith(f"command line would run: {said}")
    assert lines[-1].startswith("page would start with: nothing") == (": expected" in said), "else nano, for now"
    device = next(line for line in lines if line.startswith("device: "))
    assert device.startswith("device: none. ") == (settings.get("CLIPTRASE_DEVICE") == "foo")
    assert device.endswith(("threads", '"cpu" works everywhere.'))


def test_doctor_says_that_a_model_would_be_downloaded_first(monkeypatch, capsys):
    monkeypatch.setenv("CLIPTRASE_MODEL", "ViT-L-14")
    monkeypatch.setattr(loading, "hub_answers", lambda timeout: True)
    monkeypatch.setattr(loading.hub, "find_cached", lambda name: None)
    assert run("doctor") == 0
    assert "command line would run: ViT-L-14, after a download" in capsys.readouterr().out


DAMAGED = {
    "no weights": ("nano", lambda folder: [file.unlink() for file in folder.glob("*.safetensors")], "missing: "),
    "no configuration": ("nano", lambda folder: (folder / "config.json").unlink(), "missing: "),
    "an empty file": ("nano", lambda folder: next(folder.glob("*.safetensors")).write_bytes(b""), "unusable. "),
    "half a file": ("nano", lambda folder: halved(next(folder.glob("*.safetensors"))), "unusable. "),
    "a Git LFS pointer": ("sam-nano", lambda folder: (folder / "model.safetensors").write_bytes(POINTER), "unusable. "),
    "half a SAM": ("sam-nano", lambda folder: halved(folder / "model.safetensors"), "unusable. "),
    "no SAM": ("sam-nano", lambda folder: (folder / "model.safetensors").unlink(), "missing: "),
    "another configuration": ("sam-nano", lambda folder: (folder / "config.json").write_text("{}"), "unusable. "),
}
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"


def halved(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(("name", "damage", "said"), DAMAGED.values(), ids=DAMAGED)
def test_doctor_looks_before_it_says_that_a_bundled_model_is_included(
    tmp_path, monkeypatch, capsys, name, damage, said
):
    folder = tmp_path / name
    shutil.copytree(asset(name), folder, ignore=shutil.ignore_patterns("train"))
    damage(folder)
    monkeypatch.setattr(nano_model if name == "nano" else sam_checkpoints, "FOLDER", folder)
    monkeypatch.setattr(doctor, "bf16_gain", lambda device: 1.0)
    assert run("doctor") == 0
    shown = "SAM sam-nano" if name == "sam-nano" else "nano"
    assert f"  {shown}: {said}" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["segment", "inspect"])
def test_help_tells_how_large_a_picture_may_be(capsys, command):
    with pytest.raises(SystemExit):
        run(command, "--help")
    assert "larger pictures are refused (default: 40000000)" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(("gain", "said"), [(0.0463, "0.046x"), (0.5, "0.50x"), (1.0, "1.0x"), (12.3, "12x")])
def test_doctor_gives_the_gain_of_bf16_in_two_digits(monkeypatch, capsys, gain, said):
    monkeypatch.setattr(doctor, "bf16_gain", lambda device: gain)
    assert run("doctor") == 0
    assert f"bf16 on this CPU: {said} the speed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["segment", "PHOTO", "--vocabulary", "", "--output", "OUT"], "vocabulary"),
        (["segment", "PHOTO", "--vocabulary", "cat", "--output", "PHOTO/x"], "output"),
        (["inspect", "PHOTO", "--row", "99", "--column", "0", "--output", "OUT"], "patch: expected row 0 to"),
        (["inspect", "PHOTO", "--row", "0", "--column", "0", "--layer", "40", "--output", "OUT"], "layer: expected"),
        (["segment", "https://a.org/b.jpg", "--vocabulary", "cat", "--output", "OUT"], "Download it first"),
        (["inspect", "nowhere.png", "--row", "0", "--column", "0", "--output", "OUT"], "nowhere.png"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(photo, tmp_path, capsys, arguments, said):
    places = {"PHOTO": str(photo), "OUT": str(tmp_path / "out"), "PHOTO/x": str(photo / "x")}
    assert run(*(places.get(argument, argument) for argument in arguments)) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert said in lines[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["segment", "", "--vocabulary", "a; b", "--output", "out"], "picture: expected a file, a folder or a pattern"),
        (["segment", "photo.png", "--vocabulary", "a; b", "--output", ""], "argument --output: expected a path, got"),
        (["inspect", "", "--row", "0", "--column", "0", "--output", "out"], "got a folder or a device. Choose"),
        (["inspect", "photo.png", "--row", "0", "--column", "0", "--output", ""], "argument --output: expected a path"),
        (["evaluate", "--setting", "examples", "--output", ""], "argument --output: expected a path, got an empty one"),
        (["evaluate", "--save-predictions", "", "--output", "a.json"], "argument --save-predictions: expected a path"),
    ],
)  # fmt: skip
def test_an_empty_name_is_not_the_current_folder(photo, capsys, monkeypatch, arguments, said):
    monkeypatch.chdir(photo.parent)
    assert code_of(*arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert os.listdir(photo.parent) == ["photo.png"]


def test_a_broken_picture_alone_is_one_line_too(tmp_path, capsys):
    broken = tmp_path / "broken.png"
    broken.write_text("not a picture")
    assert run("segment", broken, "--vocabulary", "cat", "--output", tmp_path / "out") == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "broken.png" in line


def test_what_was_done_before_is_said_even_if_the_rest_is_broken(photo, tmp_path, capsys):
    arguments = ("--vocabulary", "cat; dog", "--output", tmp_path / "out", "--skip-existing")
    assert run("segment", photo, *arguments) == 0
    broken = tmp_path / "broken.png"
    broken.write_text("not a picture")
    capsys.readouterr()
    assert run("segment", photo, broken, *arguments) == 2
    assert "note: 1 of 2 pictures were done before." in capsys.readouterr().err.splitlines()


def test_notes_come_before_the_first_result(photo, tmp_path, capsys):
    assert run("segment", photo, "--vocabulary", "cat", "--output", tmp_path / "out") == 0
    notes = capsys.readouterr().err.splitlines()
    assert all(line.startswith("note: ") and line.endswith(".") for line in notes)
    assert sum("nano is small" in line for line in notes) == 1
    assert any("the only class" in line for line in notes)


@pytest.mark.parametrize(
    "arguments",
    [[], ["fly"], ["segment"], ["segment", "a.png", "--vocabulary", "cat", "--output", "x", "--method", "magic"]],
)
def test_wrong_usage_is_one_line_and_exit_code_2(capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        run(*arguments)
    assert stop.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["segment", "x.jpg", "--vocabluary", "cat"], "no option --vocabluary, did you mean --vocabulary? "),
        (["evaluate", "--modle=nano"], "no option --modle, did you mean --model? "),
        (["inspect", "x.jpg", "--xyzzy"], "no option --xyzzy. "),
        (["segment", "--", "--words"], "arguments are required: --vocabulary, --output. "),  # --words is a file here
        (["segment", "--my photo.jpg", "--vocabulary", "cat"], "arguments are required: --output. "),  # a file
        (["segment", "x.jpg", "--vocab", "cat"], "no option --vocab, did you mean --vocabulary? "),  # only a beginning
        (["evaluate", "--prot=sclip"], "no option --prot, did you mean --protocol? "),
        (["--vers"], "arguments are required: COMMAND. "),
        (["segment", "x.jpg", "--voc20"], "no option --voc20. "),
    ],
)
def test_a_misspelt_option_is_named(capsys, arguments, said):
    with pytest.raises(SystemExit) as stop:
        run(*arguments)
    assert stop.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("command", [["segment", "a.png", "--output", "x"], ["evaluate", "--output", "x.json"]])
def test_words_given_twice_are_refused_and_not_half_of_them_dropped(capsys, command):
    with pytest.raises(SystemExit) as stop:
        run(*command, "--vocabulary", "cat", "--vocabulary=dog")
    assert stop.value.code == 2
    assert "--vocabulary is given twice; give all classes in one, with ; between them." in capsys.readouterr().err


def test_module_runs_as_a_command():
    done = subprocess.run(
        [sys.executable, "-m", "cliptrase_core", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip()


COMMANDS = {
    "segment": ["segment", "photo.png", "--vocabulary", "cat; dog", "--output", "out"],
    "inspect": ["inspect", "photo.png", "--row", "0", "--column", "0", "--output", "out"],
    "evaluate": ["evaluate", "--setting", "examples", "--limit", "1", "--output", "out/report.json"],
    "predictions": [
        *("evaluate", "--setting", "examples", "--limit", "1", "--output", "here/report.json"),
        *("--save-predictions", "out"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("place", ["a full disk", "a file in its place"])
@pytest.mark.parametrize("command", COMMANDS)
def test_an_output_that_cannot_be_written_is_one_line_in_words_and_exit_code_2(
    photo, capsys, monkeypatch, command, place
):
    monkeypatch.chdir(photo.parent)
    really = Path.open

    def without_space(path, mode="r", *more, **settings):
        if path.suffix in (".tmp", ".jsonl") and mode in ("xb", "ab"):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return really(path, mode, *more, **settings)

    if place == "a full disk":
        monkeypatch.setattr(Path, "open", without_space)
    else:
        photo.with_name("out").write_text("mine")
    assert run(*COMMANDS[command]) == 2
    error = capsys.readouterr().err
    said = [line for line in error.splitlines() if "expected" in line]
    assert len(said) == 1
    assert "Errno" not in error
    assert ".tmp" not in error
    if place == "a full disk":
        assert "expected free disk space, got No space left on device. Free disk space" in said[0]
    else:
        assert "expected a folder that can be written, got 'out' (a file is in the way). Choose another" in said[0]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("buffered", ["1", ""])
@pytest.mark.parametrize("end", ["full", "closed", "cut"])
def test_a_full_or_closed_output_is_no_traceback(tmp_path, photo, end, buffered):
    doctor_of_one_line = "from cliptrase_core.cli import doctor, main; doctor.report = lambda: ['x' * 9]; "
    line = f"{doctor_of_one_line} raise SystemExit(main(['doctor']))"
    to = {"full": ">/dev/full", "closed": ">&-", "cut": "| true"}[end]
    command = f'set -o pipefail; {sys.executable} -c "{line}" {to}'
    environment = {**os.environ, "PYTHONUNBUFFERED": buffered}
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=environment)
    said = done.stderr.splitlines()
    if end == "full":
        assert len(said) == 1
        assert said[0].startswith("cliptrase: output: expected free disk space, got No space left on device. Free")
        assert done.returncode == 2
    else:
        assert said == []
        assert done.returncode == 0 or end == "cut"


def test_refine_writes_the_refined_labels_and_what_became_of_each_component(photo, tmp_path):
    records = {}
    for name in ("none", "edges", "sam-nano"):
        out = tmp_path / name
        assert run("segment", photo, "--vocabulary", "cat; dog", "--refine", name, "--output", out) == 0
        records[name] = json.loads((out / "photo.json").read_text(encoding="utf-8"))
        assert records[name]["size"] == [48, 64]
    assert "refinement" not in records["none"]
    assert records["edges"]["refinement"]["refiner"] == "edges"
    assert records["sam-nano"]["settings"]["refiner"] == "sam-nano"
    assert "class_name" in records["sam-nano"]["refinement"]["components"][0]
    assert load_result(tmp_path / "sam-nano" / "photo.json").size == (48, 64)


def test_a_word_that_looks_misspelt_is_asked_about(photo, tmp_path, capsys):
    assert run("segment", photo, "--vocabulary", "cat; trctor; voc20", "--output", tmp_path / "out") == 0
    said = capsys.readouterr().err.splitlines()
    assert 'note: Did you mean "tractor" by "trctor"?' in said
    assert any(line.startswith('note: "voc20" is a word here.') for line in said)


def test_a_bad_sam_checkpoint_is_one_line_before_any_picture(photo, tmp_path, capsys):
    bad, out = tmp_path / "sam.pth", tmp_path / "out"
    bad.write_bytes(b"words")
    words = ("--vocabulary", "cat; dog", "--refine", "vit_b", "--sam-checkpoint", bad)
    assert run("segment", photo, *words, "--output", out) == 2
    assert "damaged" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(("more", "takes_all"), [((), True), (("--everything-else",), False)])
def test_one_word_alone_is_said_to_take_everything_only_where_it_does(photo, tmp_path, capsys, more, takes_all):
    assert run("segment", photo, "--vocabulary", "cat", "--output", tmp_path / "out", *more) == 0
    said = capsys.readouterr().err
    assert ("takes the whole picture" in said) == takes_all
    assert ("note: --everything-else adds a class" in said) == takes_all
