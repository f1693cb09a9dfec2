"""Refinement with SAM: the embedded model, small random models, Meta's shapes and files, bad files."""

import hashlib
import pickle
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

import cliptrase_core as cc
from cliptrase_core.cache import LRUCache
from cliptrase_core.errors import InputError, WeightsError
from cliptrase_core.models import hub
from cliptrase_core.refine import by_sam, fixes, is_available, load_refiner, refiners, sam_checkpoints
from cliptrase_core.refine.by_sam import SamRefiner
from cliptrase_core.refine.guided_filter import follow_edges
from cliptrase_core.refine.prompting import cover_of, full_size, prompts_of, split
from cliptrase_core.refine.sam import Sam, build_large, build_sam
from cliptrase_core.refine.sam_checkpoints import load_sam
from tests.refine.test_refine import halves, painted, result_of

SMALL = {"image_size": 96, "width": 48, "depth": 2, "heads": 2, "decoder_width": 32}


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    return Sam(build_sam(SMALL).eval().requires_grad_(False), "small")


@pytest.fixture
def refiner(small):
    return SamRefiner(small)


def squares(count, side=12, gap=4):
    """Return a label map with count x count squares of class 1 on class 0."""
    labels = np.zeros(((side + gap) * count,) * 2, np.int32)
    for row in range(count):
        for column in range(count):
            top, left = row * (side + gap), column * (side + gap)
            labels[top : top + side, left : left + side] = 1
    return labels


# The model


@pytest.mark.parametrize("size", [(70, 50), (30, 120), (96, 96)])
def test_all_components_at_once_are_answered_as_segment_anything_answers_each(small, size):
    from segment_anything import SamPredictor

    labels = halves(*size, at=size[1] // 3)
    image = painted(labels)
    components, _ = split(labels, np.ones(size, np.float32))
    seen = small.embed(image)
    prompts = prompts_of(components, size, small.filled(size))
    logits, quality = small.answer(seen, prompts)
    predictor = SamPredictor(small.model)
    predictor.features, predictor.is_image_set = seen.values, True
    predictor.original_size, predictor.input_size = size, small.filled(size)
    h, w = prompts.masks.shape[1:]
    for i in range(len(components)):
        guess = torch.full((1, 1, 24, 24), -8.0)
        guess[0, 0, :h, :w] = prompts.masks[i]
        _, theirs, low = predictor.predict_torch(
            prompts.points[i][None, None] * seen.scale,
            torch.ones(1, 1),
            prompts.boxes[i][None] * seen.scale,
            guess,
            multimask_output=False,
        )
        torch.testing.assert_close(logits[i], low[0, 0, :h, :w], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(quality[i], theirs[0, 0], atol=1e-5, rtol=1e-4)


def test_the_model_is_read_and_never_changed(small, refiner):
    before = {name: value.clone() for name, value in small.model.state_dict().items()}
    refiner.in_mode("prompts")(result_of(halves()), painted(halves()))
    assert all(torch.equal(before[name], value) for name, value in small.model.state_dict().items())
    assert not any(block._forward_pre_hooks for block in small.model.image_encoder.blocks)


@pytest.mark.parametrize("size", [(108, 256), (267, 400), (48, 85), (64, 64)])
def test_masks_lie_where_segment_anything_puts_them(small, size):
    """Also if the picture fills the last of SAM's cells only in part."""
    rows, columns = (-(-side // 4) for side in small.filled(size))
    low = torch.full((1, 1, 24, 24), -8.0)
    low[0, 0] = torch.linspace(-8, 8, 24)[:, None] + torch.linspace(-3, 3, 24)
    theirs = small.model.postprocess_masks(low, small.filled(size), size)[0, 0] > 0
    box, logits = full_size(low[0, 0, :rows, :columns], cover_of(small.filled(size)), size)
    ours = np.zeros(size, bool)
    ours[box] = logits > 0
    assert (ours != theirs.numpy()).mean() < 0.01, "half a cell would be two percent"


# The refiner


@pytest.mark.parametrize("mode", ["prompts", "regions", "everything"])
def test_every_mode_keeps_the_contract(refiner, mode):
    coarse = halves(64, 80, 30)
    result = result_of(coarse, regions=coarse)
    refined = refiner.in_mode(mode)(result, painted(halves(64, 80, 36)))
    assert refined.labels.shape == coarse.shape
    assert set(np.unique(refined.labels)) <= {0, 1}
    assert refined.settings["refine_mode"] == mode
    assert refined.report.refiner == "small"
    assert len(refined.report.components) == (0 if mode == "everything" else 2)
    assert refined.report.changed == (refined.labels != coarse).sum()


def test_a_picture_is_embedded_once_and_a_result_asked_about_once(refiner, monkeypatch):
    embedded, asked = [], []
    embed, answer = refiner.sam.embed, refiner.sam.answer
    monkeypatch.setattr(refiner.sam, "embed", lambda *a: (embedded.append(1), embed(*a))[1])
    monkeypatch.setattr(refiner.sam, "answer", lambda *a: (asked.append(1), answer(*a))[1])
    image, run = painted(halves()), refiner.in_mode("prompts")
    first = run(result_of(halves()), image)
    assert (len(embedded), len(asked)) == (1, 1), "all components in one call"
    run(result_of(halves()), image, keep=[0])
    assert (len(embedded), len(asked)) == (1, 1)
    run(result_of(halves(at=20)), image)
    assert (len(embedded), len(asked)) == (1, 2)
    assert np.array_equal(run(result_of(halves()), image).labels, first.labels)


def test_a_picture_is_embedded_once_for_threads_too(refiner, monkeypatch):
    embedded, both = [], threading.Barrier(2)
    embed = refiner.sam.embed

    def at_once(*a):
        both.wait(10)
        time.sleep(0.05)  # now the other thread asks, too
        return (embedded.append(1), embed(*a))[1]

    monkeypatch.setattr(refiner.sam, "embed", at_once)
    thread = threading.Thread(
        target=lambda: (both.wait(10), refiner.object_at(painted(halves()), (0.2, 0.2), (64, 64)))
    )
    thread.start()
    refiner.in_mode("prompts")(result_of(halves()), painted(halves()))
    thread.join(10)
    assert embedded == [1]


@pytest.mark.parametrize("mode", ["prompts", "everything"])
def test_pictures_are_forgotten_by_name(refiner, monkeypatch, mode):
    computed, embed = [], refiner.sam.embed
    monkeypatch.setattr(refiner.sam, "embed", lambda *a: (computed.append(1), embed(*a))[1])
    run = lambda name: refiner.of(name).in_mode(mode)(result_of(halves()), painted(halves()))  # noqa: E731
    for name in ("a", "b", "", "a"):
        run(name)
    assert len(computed) == 3
    refiner.forget({"a", "c"})
    for name in ("b", "", "a"):
        run(name)
    assert len(computed) == 4
    assert len(refiner._answers) == 3


def test_components_can_be_kept_and_left_out_by_hand(refiner):
    result, image = result_of(halves()), painted(halves(at=40))
    run = refiner.in_mode("prompts")
    none = run(result, image, keep=[])
    assert np.array_equal(none.labels, result.labels)
    assert not any(line.accepted for line in none.report.components)
    one = run(result, image, keep=[1])
    assert [line.accepted for line in one.report.components] == [False, True]
    assert one.settings["keep"] == [1]
    with pytest.raises(InputError, match="keep"):
        run(result, image, keep=[2])


def test_what_a_step_raises_stops_the_work_at_the_next_block(refiner):
    told = []

    class LeftError(Exception):
        pass

    def step(share, text):
        told.append((share, text))
        if len(told) == 2:
            raise LeftError

    with pytest.raises(LeftError):
        refiner.in_mode("prompts")(result_of(halves()), painted(halves()), step=step)
    assert len(told) == 2
    assert not any(block._forward_pre_hooks for block in refiner.sam.model.image_encoder.blocks)
    refiner.in_mode("prompts")(result_of(halves()), painted(halves()))


def test_a_result_of_crumbs_has_no_components_and_stays(refiner):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 40, (60, 60)).astype(np.int32)
    refined = refiner.in_mode("prompts")(result_of(labels), painted(labels % 3))
    assert np.array_equal(refined.labels, labels)
    assert refined.report.components == ()


def test_hundreds_of_components_are_asked_about_in_few_calls(refiner, monkeypatch):
    asked = []
    answer = refiner.sam.answer
    monkeypatch.setattr(refiner.sam, "answer", lambda *a: (asked.append(len(a[1].points)), answer(*a))[1])
    labels = squares(13, side=14, gap=2)
    refined = refiner.in_mode("prompts")(result_of(labels), painted(labels))
    assert sum(asked) == len(refined.report.components) == 13 * 13 + 1
    assert max(asked) <= by_sam.AT_ONCE


@pytest.mark.parametrize("size", [(1, 500), (500, 1), (3, 2)])
@pytest.mark.parametrize("mode", ["prompts", "everything"])
def test_odd_pictures(refiner, size, mode):
    labels = np.zeros(size, np.int32)
    labels.flat[: labels.size // 2] = 1
    assert refiner.in_mode(mode)(result_of(labels), painted(labels)).labels.shape == size


def test_a_large_picture_is_refined_at_its_full_size(refiner):
    coarse = halves(1500, 2100, 1000)
    refined = refiner.in_mode("prompts")(result_of(coarse), painted(coarse))
    assert refined.labels.shape == (1500, 2100)
    line = refined.report.components[0]
    assert line.area == pytest.approx(1500 * 1100, rel=0.01)
    assert line.box[2] == pytest.approx(2100, abs=3)


def test_a_torchvision_that_does_not_fit_is_named(refiner, monkeypatch):
    import torchvision.ops

    def broken(*_):
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(torchvision.ops, "nms", broken)
    with pytest.raises(WeightsError, match="Install both together"):
        refiner.in_mode("everything")(result_of(halves()), painted(halves()))


# The embedded model


def test_the_embedded_model_refines_without_a_network(monkeypatch):
    monkeypatch.setattr(hub, "fetch_file", lambda *a: pytest.fail("asked the hub"))
    assert is_available("sam-nano")
    coarse = halves(120, 160, 70)
    refined = cc.refine(result_of(coarse), painted(halves(120, 160, 80)), "sam-nano")
    assert refined.report.refiner == "sam-nano"
    assert len(refined.report.components) == 2
    assert refined.timings["refine"] > 0


@pytest.mark.parametrize("mode", ["prompts", "regions"])
def test_a_result_without_its_arrays_is_refused_where_they_are_needed(tmp_path, mode):
    coarse, image = result_of(halves()), painted(halves())
    loaded = cc.load_result(coarse.save(tmp_path, stem="a", formats="json").json)
    with pytest.raises(InputError, match="expected a confidence map, got none: it was not saved. Save .* with npz"):
        cc.refine(loaded, image, "sam-nano", mode=mode)
    whole = cc.load_result(coarse.save(tmp_path, stem="b", formats="json,npz").json)
    again = cc.refine(whole, image, "sam-nano", mode=mode)
    assert np.array_equal(again.labels, cc.refine(coarse, image, "sam-nano", mode=mode).labels)


def test_edges_and_a_grid_of_points_need_only_labels(tmp_path):
    coarse, image = result_of(halves()), painted(halves())
    loaded = cc.load_result(coarse.save(tmp_path, stem="a", formats="json").json)
    for how in ({"refiner": "edges"}, {"refiner": "sam-nano", "mode": "everything"}):
        assert np.array_equal(cc.refine(loaded, image, **how).labels, cc.refine(coarse, image, **how).labels)


@pytest.mark.parametrize(
    ("of_result", "given", "expected"),
    [
        ("cpu:0", None, "cpu:0"),
        ("warp:1", None, "cpu"),  # of another machine, from a loaded result
        ("cuda:99", None, "cpu"),
        (["cpu:0"], None, "cpu"),
        (None, None, "cpu"),
        ("warp:1", "cpu:0", "cpu:0"),
    ],
)
def test_sam_runs_where_the_result_was_made_if_it_can(of_result, given, expected, monkeypatch):
    asked, loaded_sam = [], refiners.loaded_sam
    for module in (refiners, fixes):
        monkeypatch.setattr(
            module, "loaded_sam", lambda *a, device, **k: (asked.append(device), loaded_sam(*a, **k))[1]
        )
    settings = {} if of_result is None else {"device": of_result}
    result, image = replace(result_of(halves()), settings=settings), painted(halves())
    cc.refine(result, image, "sam-nano", device=given)
    cc.refine.apply_fixes(result, image, [cc.refine.Fix(((0.2, 0.2),), "class 0", sam="sam-nano")], device=given)
    assert asked == [expected] * 2
    monkeypatch.setattr(refiners, "device_by_name", lambda name: pytest.fail("edges need no device"))
    cc.refine(result, image, "edges")


def test_a_checkpoint_that_was_overwritten_is_read_again(tmp_path, monkeypatch):
    monkeypatch.setattr(refiners, "_LOADED", LRUCache(4))
    monkeypatch.setattr(sam_checkpoints, "load_sam", lambda name, path, *, device: path.read_bytes())
    monkeypatch.setattr(by_sam, "SamRefiner", lambda sam: [sam])
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "sam.pth"
    file.write_bytes(b"first")
    first = refiners.loaded_sam("vit_b", "sam.pth")
    assert refiners.loaded_sam("vit_b", str(file)) is first
    file.write_bytes(b"second")
    assert refiners.loaded_sam("vit_b", "sam.pth") == [b"second"]


@pytest.mark.parametrize("path", ["a\0b.pth", "none.pth", ""])
def test_a_checkpoint_that_is_no_file_is_an_error_of_its_own(path):
    with pytest.raises(WeightsError, match="expected a file"):
        load_refiner("vit_b", checkpoint=path)


def test_sam_leaves_apple_s_gpu_to_the_model(monkeypatch):
    monkeypatch.setattr(refiners, "device_by_name", lambda name: torch.device(name))
    for device, used in (("mps", "cpu"), ("mps:0", "cpu"), ("cuda:1", "cuda:1")):
        assert refiners.device_of(replace(result_of(halves()), settings={"device": device})) == used


def test_a_device_that_is_asked_for_and_missing_is_named():
    with pytest.raises(InputError, match="device: expected one that torch has here, got 'warp:1'"):
        cc.refine(result_of(halves()), painted(halves()), "sam-nano", device="warp:1")


def test_edges_after_sam_are_the_two_one_after_the_other():
    name = "sam-nano+edges"
    assert is_available(name)
    coarse, image = result_of(halves(120, 160, 70)), painted(halves(120, 160, 80))
    by_sam = cc.refine(coarse, image, "sam-nano")
    refined = cc.refine(coarse, image, name)
    assert np.array_equal(refined.labels, follow_edges(image, by_sam.labels, coarse.confidence, coarse.grid))
    assert (refined.labels != by_sam.labels).any()
    assert refined.report.components == by_sam.report.components
    assert (refined.report.refiner, refined.report.mode) == (name, "prompts")
    assert refined.report.changed == (refined.labels != coarse.labels).sum()


def test_components_are_chosen_before_edges_and_the_choice_is_written_down():
    coarse, image = result_of(halves(120, 160, 70)), painted(halves(120, 160, 80))
    refined = load_refiner("sam-nano+edges", mode="prompts")(coarse, image, keep=[])
    assert np.array_equal(refined.labels, cc.refine(coarse, image, "edges").labels)
    assert refined.settings["keep"] == []
    with pytest.raises(InputError, match="keep"):
        load_refiner("sam-nano+edges")(coarse, image, keep=[9])
    told = []
    load_refiner("sam-nano+edges")(coarse, image, step=lambda share, text: told.append((share, text)))
    assert [share for share, _ in told] == sorted(share for share, _ in told)
    assert told[-1][1] == "following edges"


# Files and the hub


def test_a_full_size_file_in_metas_format_loads_and_runs(tmp_path):
    torch.manual_seed(0)
    model = build_large("vit_b")
    file = tmp_path / "sam_vit_b_01ec64.pth"
    torch.save(model.state_dict(), file)
    loaded = load_sam("vit_b", file)
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], value)
    assert torch.equal(loaded.model.pixel_mean, model.pixel_mean)
    assert torch.equal(loaded.model.pixel_std, model.pixel_std)
    with pytest.raises(WeightsError, match="looks like SAM vit_b"):
        load_sam("vit_l", file)
    # At full width on 1024 pixels, one block of each kind is enough of the twelve; the third attends globally.
    loaded.model.image_encoder.blocks = loaded.model.image_encoder.blocks[1:3]
    coarse = halves(60, 90, 40)
    refined = SamRefiner(loaded).in_mode("prompts")(result_of(coarse), painted(coarse))
    assert len(refined.report.components) == 2


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("words.pth", b"these are words, not weights", "damaged file"),
        ("empty.pth", b"", "empty"),
        ("code.pth", pickle.dumps(print), "other objects|damaged"),
        ("words.txt", b"words", "name that ends in"),
    ],
)
def test_files_that_are_no_weights_are_named(tmp_path, name, content, says):
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(WeightsError, match=says) as caught:
        load_sam("vit_b", file)
    assert str(tmp_path) not in str(caught.value)


def test_a_missing_and_a_truncated_file_are_named(tmp_path):
    with pytest.raises(WeightsError, match="no such file"):
        load_sam("vit_b", tmp_path / "gone.pth")
    whole = tmp_path / "whole.pth"
    torch.save({"image_encoder.pos_embed": torch.zeros(1, 64, 64, 768)}, whole)
    half = tmp_path / "half.pth"
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(WeightsError, match="damaged"):
        load_sam("vit_b", half)
    with pytest.raises(WeightsError, match="SAM vit_b: expected a tensor"):
        load_sam("vit_b", whole)


def test_without_a_network_a_download_says_what_to_do(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "find_file", lambda *a: None)
    with pytest.raises(WeightsError, match="HF_HUB_OFFLINE=1"):
        load_sam("vit_h")
    assert not is_available("vit_h")


def test_a_download_that_is_not_metas_file_is_removed(monkeypatch, tmp_path):
    file = tmp_path / "sam_vit_b_01ec64.pth"
    file.write_bytes(b"something else")
    asked = []
    monkeypatch.setattr(hub, "find_file", lambda *a: None)
    monkeypatch.setattr(hub, "fetch_file", lambda *a: (asked.append(a), file)[1])
    with pytest.raises(WeightsError, match="SHA-256"):
        load_sam("vit_b")
    assert not file.exists()
    assert asked[0][:2] == ("ybelkada/segment-anything", ("checkpoints/sam_vit_b_01ec64.pth",))


def test_what_lies_in_the_cache_is_checked_too(monkeypatch, tmp_path):
    file = tmp_path / "sam_vit_b_01ec64.pth"
    file.write_bytes(b"half of a download whose program was ended")
    monkeypatch.setattr(hub, "find_file", lambda *a: file)
    with pytest.raises(WeightsError, match="SHA-256"):
        load_refiner("vit_b")
    assert not file.exists()


def test_a_download_that_is_what_was_published_is_used(monkeypatch, tmp_path):
    file = tmp_path / "sam_vit_b_01ec64.pth"
    torch.save({"image_encoder.pos_embed": torch.zeros(1)}, file)
    known = sam_checkpoints.PUBLISHED["vit_b"]
    sha = hashlib.sha256(file.read_bytes()).hexdigest()
    published = sam_checkpoints.Published(known.file, sha, known.megabytes, known.width)
    monkeypatch.setattr(sam_checkpoints, "PUBLISHED", {"vit_b": published})
    monkeypatch.setattr(hub, "find_file", lambda *a: None)
    monkeypatch.setattr(hub, "fetch_file", lambda *a: file)
    with pytest.raises(WeightsError, match="pos_embed of shape"):  # it was read
        load_sam("vit_b")
    assert file.exists()
