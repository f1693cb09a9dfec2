"""Pipeline: equal to the equations of the paper as loops in float64; batches, threads, unchanged model, bad input."""

from __future__ import annotations

import copy
import dataclasses
import gc
import hashlib
import pickle
import threading

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import median_filter
from scipy.spatial.distance import cdist
from sklearn.cluster import DBSCAN
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from cliptrase_core import METHODS, InputError, Segmenter, UnsupportedBackboneError, parse_vocabulary
from cliptrase_core.inspection.scores import notes_on
from cliptrase_core.io.files import asset
from cliptrase_core.models.encoder import normalise, resize_and_crop
from cliptrase_core.regions import cache, clustering
from cliptrase_core.regions.decode import vote
from cliptrase_core.results import EVERYTHING_ELSE
from cliptrase_core.segmenter import try_out
from cliptrase_core.text.linter import lint
from tests.conftest import tiny_clip
from tests.reference import Reference, bilinear

NAMES = ["one", "two", "three", "four"]


def text_rows(count=4, seed=1):
    rows = torch.randn(count, 16, generator=torch.Generator().manual_seed(seed))
    return rows / rows.norm(dim=-1, keepdim=True)


def with_zeros(row):
    rows = text_rows()
    rows[row] = 0
    return rows


def test_encoding_equals_the_equations_as_loops_in_float64(picture):
    model = tiny_clip(dtype=torch.float64)
    segmenter = Segmenter.from_open_clip(model)
    encoding = segmenter.encode(picture)
    pixels = normalise(resize_and_crop(picture, encoding.frame), segmenter.info.mean, segmenter.info.std)
    features, affinity = Reference(model).encode(pixels.double())
    np.testing.assert_allclose(encoding.patches.numpy(), features[1:], atol=1e-9)
    np.testing.assert_allclose(encoding.cls.numpy(), features[0], atol=1e-9)
    np.testing.assert_allclose(encoding.affinity.numpy(), affinity, atol=1e-9)


@pytest.mark.parametrize("denoise", ["cls", "none"])
def test_labels_equal_the_plain_computation_on_whole_maps(segmenter, picture, denoise):
    encoding = segmenter.encode(picture, short_side=64)
    text = text_rows()
    result = segmenter.segment(encoding, text_features=text, class_names=NAMES, eps=1.0, min_samples=2, denoise=denoise)
    h, w = encoding.grid
    affinity = encoding.affinity.numpy()
    rows = affinity[1:, 1:]
    if denoise == "cls":
        rows = np.maximum(rows - affinity[0, 1:], 0)
    clusters = DBSCAN(eps=1.0, min_samples=2).fit_predict(rows)
    assert clusters.max() >= 1, "the test needs at least two clusters"
    maps = []
    for cluster in range(clusters.max() + 1):
        grid = rows[clusters == cluster].mean(0).reshape(h, w)
        maps.append(bilinear(median_filter(bilinear(grid, (4 * h, 4 * w)), size=7), picture.shape[:2]))
    regions = np.argmax(maps, 0)
    logits = encoding.patches.numpy() @ text.numpy().T
    pixels = np.argmax([bilinear(logits[:, c].reshape(h, w), picture.shape[:2]) for c in range(4)], 0)
    np.testing.assert_array_equal(result.patch_clusters, clusters)
    assert (result.regions != regions).mean() < 1e-3  # ties in float32
    expected = vote(pixels.astype(np.int32), result.regions, 4)
    assert (result.labels != expected).mean() < 1e-3


def test_plain_clip_is_open_clip_s_last_block_without_a_vote(segmenter, picture):
    encoding = segmenter.encode(picture)
    result = segmenter.segment(encoding, text_features=text_rows(), class_names=NAMES, method="clip")
    pixels = normalise(resize_and_crop(picture, encoding.frame), segmenter.info.mean, segmenter.info.std)
    features = Reference(tiny_clip(dtype=torch.float64)).vanilla(pixels.double())
    logits = features[1:] @ text_rows().double().numpy().T
    pixels = np.argmax([bilinear(logits[:, c].reshape(encoding.grid), picture.shape[:2]) for c in range(4)], 0)
    assert (result.labels != pixels).mean() < 1e-3


def test_result_is_in_the_original_frame_with_every_part(segmenter, picture):
    result = segmenter.segment(segmenter.encode(picture), "cat, kitten; dog | background: wall")
    assert result.labels.shape == result.regions.shape == result.confidence.shape == picture.shape[:2]
    assert result.class_names == ("cat", "dog", "background")
    assert result.labels.dtype == np.int32
    assert 0 <= result.confidence.min() <= result.confidence.max() <= 1
    assert sum(result.areas.values()) == pytest.approx(1)
    assert {"read", "encode", "text", "cluster", "label"} <= set(result.timings)
    assert result.settings["vocabulary"]


def test_confidence_is_the_probability_of_the_shown_class(segmenter, picture):
    encoding = segmenter.encode(picture, short_side=32)
    result = segmenter.segment(encoding, text_features=text_rows(), class_names=NAMES)
    scale = segmenter.info.model.logit_scale.exp().item()
    scores = scale * encoding.patches.numpy() @ text_rows().numpy().T
    shares = np.exp(scores - scores.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    maps = np.stack([bilinear(shares[:, c].reshape(encoding.grid), picture.shape[:2]) for c in range(4)])
    expected = np.take_along_axis(maps, result.labels[None].astype(np.int64), 0)[0]
    np.testing.assert_allclose(result.confidence, expected, atol=1e-5)


def test_a_synonym_that_wins_counts_for_its_class(segmenter, picture):
    encoding = segmenter.encode(picture)
    alone = segmenter.segment(encoding, "a; b; c", method="clip")
    joined = segmenter.segment(encoding, "a, c; b", method="clip")
    expected = np.where(alone.labels == 2, 0, alone.labels)
    np.testing.assert_array_equal(joined.labels, expected)


def test_permuting_words_permutes_labels(segmenter, picture):
    encoding = segmenter.encode(picture)
    first = segmenter.segment(encoding, "red; green; blue")
    second = segmenter.segment(encoding, "blue; red; green")
    names = np.array(first.class_names)[first.labels]
    np.testing.assert_array_equal(names, np.array(second.class_names)[second.labels])


def test_one_word_takes_everything(segmenter, picture):
    result = segmenter.segment(segmenter.encode(picture), "cat")
    assert result.areas == {"cat": 1.0}
    assert result.confidence.min() == 1


def test_without_clusters_pixels_keep_their_own_labels(segmenter, picture):
    encoding = segmenter.encode(picture)
    result = segmenter.segment(encoding, text_features=text_rows(), class_names=NAMES, eps=1e-6, min_samples=50)
    assert (result.patch_clusters == -1).all()
    assert (result.regions == -1).all()
    logits = encoding.patches.numpy() @ text_rows().numpy().T
    own = np.argmax([bilinear(logits[:, c].reshape(encoding.grid), picture.shape[:2]) for c in range(4)], 0)
    assert (result.labels != own).mean() < 1e-3


def test_image_prior_multiplies_by_the_picture_s_own_scores_and_is_off_by_default(segmenter, picture):
    encoding = segmenter.encode(picture)
    text = text_rows()
    plain = segmenter.segment(encoding, text_features=text, class_names=NAMES, eps=1e-6, min_samples=2)
    prior = segmenter.segment(
        encoding, text_features=text, class_names=NAMES, eps=1e-6, min_samples=2, image_prior=True
    )
    scores = encoding.patches.numpy() @ text.numpy().T
    weighted = scores * (encoding.cls.numpy() @ text.numpy().T)
    for result, logits in ((plain, scores), (prior, weighted)):
        maps = [bilinear(logits[:, c].reshape(encoding.grid), picture.shape[:2]) for c in range(4)]
        assert (result.labels != np.argmax(maps, 0)).mean() < 1e-3
    assert plain.settings["image_prior"] is False


def test_an_image_prior_below_zero_is_noted_since_the_product_turns_it_around(segmenter, picture):
    encoding = segmenter.encode(picture)
    like, unlike = encoding.cls[None].float(), -encoding.cls[None].float()
    for rows, said in (([like, like], False), ([like, unlike], True)):
        words = {"text_features": torch.cat(rows), "class_names": ["cat", "dog"]}
        notes = segmenter.segment(encoding, **words, image_prior=True).notes
        assert [note for note in notes if 'similarity to "dog" is negative' in note] == list(notes) * said
        assert segmenter.segment(encoding, **words).notes == ()


def test_only_words_that_compete_are_in_the_note_on_the_image_prior():
    words, negative = parse_vocabulary("cat; dog; car"), torch.tensor([1.0, -1.0, -1.0])
    assert notes_on(words, [1, 2], False, negative) == ()
    (note,) = notes_on(words, [1], False, negative)
    assert 'similarity to "car" is negative' in note
    for all_missing in (notes_on(words, [0, 1, 2], False, negative), notes_on(words, [], False, negative)):
        assert 'similarity to "dog", "car" is negative' in all_missing[-1]


@pytest.mark.parametrize("preset", ["auto", "paper-224"])
def test_a_batch_equals_its_pictures_one_by_one(segmenter, picture, preset):
    images = [picture, picture[::-1].copy(), picture[:, :40].copy(), picture.transpose(1, 0, 2).copy()]
    for batched, image in zip(segmenter.encode_batch(images, preset), images, strict=True):
        single = segmenter.encode(image, preset)
        assert batched.frame == single.frame
        torch.testing.assert_close(batched.patches, single.patches, atol=1e-5, rtol=0)
        torch.testing.assert_close(batched.affinity, single.affinity, atol=1e-5, rtol=0)


def test_an_empty_batch_is_an_empty_list(segmenter):
    assert segmenter.encode_batch([]) == []


@pytest.mark.parametrize("images", [np.zeros((8, 8, 3), np.uint8), "picture.png", None])
def test_one_picture_is_no_list(segmenter, images):
    with pytest.raises(InputError, match="images: expected a list of pictures"):
        segmenter.encode_batch(images)
    with pytest.raises(InputError, match=r"Make it a list: list\(images\)"):
        segmenter.encode_batch(iter([np.zeros((8, 8, 3), np.uint8)]))


@pytest.mark.parametrize(("preset", "width"), [("auto", 70_000), ("paper-224", 2_000)])
def test_endless_strips_are_refused_before_they_fill_the_memory(segmenter, preset, width):
    with pytest.raises(InputError, match="picture: expected at most"):
        segmenter.encode(np.zeros((1, width, 3), np.uint8), preset)


def digest(model):
    state = hashlib.sha256()
    for name, value in model.state_dict().items():
        state.update(name.encode() + value.numpy().tobytes())
    hooks = [hook for part in model.modules() for hook in (*part._forward_hooks, *part._forward_pre_hooks)]
    return state.hexdigest(), hooks, sorted(vars(model)), model.training


def test_the_model_is_byte_identical_after_a_run(picture):
    model = tiny_clip()
    before = digest(model)
    segmenter = Segmenter.from_open_clip(model)
    encoding = segmenter.encode(picture, short_side=64)
    for method in ("cliptrase", "clip"):
        segmenter.segment(encoding, "cat; dog", method=method)
    segmenter.inspect(picture)
    Segmenter.from_open_clip(model, precision="bf16").encode(picture)
    assert digest(model) == before


def test_words_do_not_cluster_again_and_clusterings_go_with_their_encoding(segmenter, picture, monkeypatch):
    calls = []
    gc.collect()
    original = cache.cluster_patches
    monkeypatch.setattr(cache, "cluster_patches", lambda *a: calls.append(1) or original(*a))
    encoding = segmenter.encode(picture)
    segmenter.segment(encoding, "cat")
    segmenter.segment(encoding, "dog; bird")
    assert len(calls) == 1
    for eps in (0.1, 0.2, 0.3, 0.4, 0.5, 0.1):
        segmenter.segment(encoding, "cat", eps=eps)
    assert len(calls) == 7  # the fifth removed the first from the cache
    kept = len(segmenter._regions)
    del encoding
    gc.collect()
    assert len(segmenter._regions) == kept - 1


def test_threads_with_different_pictures_and_words_never_mix(segmenter):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (40 + 8 * i, 56, 3), dtype=np.uint8) for i in range(6)]
    words = [f"thing {i}; other {i}" for i in range(6)]
    alone = [segmenter.segment(segmenter.encode(image), text) for image, text in zip(images, words, strict=True)]
    got = [None] * 6

    def work(i):
        for _ in range(3):
            got[i] = segmenter.segment(segmenter.encode(images[i]), words[i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for ours, expected in zip(got, alone, strict=True):
        assert ours.class_names == expected.class_names
        assert (ours.labels != expected.labels).mean() < 1e-3


def test_half_precision_agrees_with_full_on_nearly_all_pixels(picture):
    model = tiny_clip()
    labels = []
    for precision in ("fp32", "bf16"):
        segmenter = Segmenter.from_open_clip(model, precision=precision)
        encoding = segmenter.encode(picture, short_side=96)
        labels.append(segmenter.segment(encoding, text_features=text_rows(), class_names=NAMES, method="clip").labels)
    assert (labels[0] == labels[1]).mean() > 0.9  # a tiny random model; the benchmark measures a model of real size


def test_float64_segments_too(picture):
    segmenter = Segmenter.from_open_clip(tiny_clip(dtype=torch.float64))
    assert segmenter.segment(segmenter.encode(picture), "cat; dog").confidence.dtype == np.float32


def test_a_model_of_mixed_types_is_cast_as_a_whole(picture):
    model = tiny_clip()
    model.visual.conv1.half()
    segmenter = Segmenter.from_open_clip(model, precision="fp32")
    assert segmenter.segment(segmenter.encode(picture), "cat; dog").size == (48, 64)
    assert model.visual.conv1.weight.dtype == torch.float16


def test_results_cannot_change_what_is_kept(segmenter, picture):
    encoding = segmenter.encode(picture)
    first = segmenter.segment(encoding, "cat; dog")
    labels, regions = first.labels.copy(), first.regions.copy()
    for array in (first.labels, first.regions, first.confidence, first.patch_clusters):
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 0
    second = segmenter.segment(encoding, "cat; dog")
    np.testing.assert_array_equal(second.labels, labels)
    np.testing.assert_array_equal(second.regions, regions)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda result: pickle.loads(pickle.dumps(result))])
def test_copies_of_a_result_are_read_only_too(segmenter, picture, copied):
    result = segmenter.segment(segmenter.encode(picture), "cat; dog")
    labels = result.labels
    other = copied(result)
    np.testing.assert_array_equal(other.labels, labels)
    with pytest.raises(ValueError, match="read-only"):
        other.labels[:] = 0


def test_edited_labels_make_a_new_result(segmenter, picture, tmp_path):
    result = segmenter.segment(segmenter.encode(picture), "cat; dog")
    edited = dataclasses.replace(result, labels=np.ones_like(result.labels))
    assert edited.areas["dog"] == 1
    np.testing.assert_array_equal(np.array(Image.open(edited.save(tmp_path, picture).labels)), edited.labels)


def test_an_encoding_can_be_computed_with(segmenter, picture):
    patches = segmenter.encode(picture).patches
    torch.nn.Linear(16, 2)(patches).sum().backward()


def test_more_clusters_than_regions_make_sense_are_refused(segmenter, picture, monkeypatch):
    monkeypatch.setattr(cache, "MOST_CLUSTERS", 1)
    with pytest.raises(InputError, match="clusters: expected at most 1, got .*Raise eps"):
        segmenter.segment(segmenter.encode(picture, short_side=64), "cat", eps=1.0, min_samples=2)


def test_numpy_numbers_are_numbers(segmenter, picture, tmp_path):
    encoding = segmenter.encode(picture, short_side=np.int64(32), max_pixels=np.int64(10_000))
    result = segmenter.segment(encoding, "cat", eps=np.float32(0.5), min_samples=np.int64(2))
    assert type(result.settings["eps"]) is float
    assert type(result.settings["min_samples"]) is int
    assert result.above(np.float32(1)).settings["threshold"] == 1
    assert result.to_polygons(min_area=np.int32(1)).keys() == {"cat"}
    result.save(tmp_path, picture, formats=["coco", "labelme"], min_area=np.int64(1))


def test_a_refused_option_names_its_default(segmenter, picture):
    with pytest.raises(InputError, match=r"or nothing \(by preset and model\), got 'x'\. Leave it out for the default"):
        segmenter.segment(segmenter.encode(picture), "cat", eps="x")


def test_encoding_of_another_model_is_refused(segmenter, picture):
    other = Segmenter.from_open_clip(tiny_clip(seed=7))
    with pytest.raises(InputError, match="encoding: expected one made by this model"):
        segmenter.segment(other.encode(picture), "cat")
    with pytest.raises(InputError, match="encoding: expected one made by this model .* got ndarray"):
        segmenter.segment(picture, "cat")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "words: expected a vocabulary"),
        ({"vocabulary": ""}, "vocabulary"),
        ({"vocabulary": "cat", "method": "magic"}, "method: expected one of cliptrase, clip"),
        ({"vocabulary": "cat", "denoise": "some"}, "denoise: expected one of cls, dice, none"),
        ({"vocabulary": "cat", "eps": -1}, "eps: expected a number above 0"),
        ({"vocabulary": "cat", "min_samples": 0}, "min_samples: expected a whole number"),
        ({"vocabulary": "cat", "templates": "x"}, "templates: expected one of"),
        ({"vocabulary": "cat", "text_features": text_rows(), "class_names": NAMES}, "got both"),
        ({"vocabulary": "cat", "class_names": ["cat"]}, "a vocabulary with class_names"),
        ({"text_features": text_rows()}, "class_names: expected a list of names, got none. Give a name for each class"),
        (
            {"text_features": text_rows(), "class_names": ["a"] * 4},
            "class_names: expected distinct names, got 'a' 4 times",
        ),
        (
            {"text_features": text_rows(), "class_names": list("abcde")},
            "class_names: .* one for each row, got 5 for 4 rows",
        ),
        ({"text_features": text_rows()[:1], "class_names": list("ab")}, "class_names: .*, got 2 for 1 row. "),
        ({"text_features": text_rows(), "class_names": []}, "class_names: expected at least one name .*, got 0 for 4"),
        (
            {"text_features": text_rows()[:, :8], "class_names": NAMES},
            "features: expected rows of width 16, got width 8",
        ),
        ({"text_features": text_rows()[0], "class_names": NAMES}, r"one or more rows of width 16, got shape \(16,\)"),
        (
            {"text_features": text_rows()[:0], "class_names": NAMES},
            r"one or more rows of width 16, got shape \(0, 16\)",
        ),
        (
            {"text_features": text_rows() * float("nan"), "class_names": NAMES},
            "finite numbers, got NaN or infinity in row 0",
        ),
        ({"text_features": with_zeros(2), "class_names": NAMES}, "rows with a direction, got only zeros in row 2"),
        ({"text_features": text_rows() > 0, "class_names": NAMES}, "an array of real numbers, got bool"),
        ({"text_features": text_rows() + 1j, "class_names": NAMES}, "an array of real numbers, got complex64"),
        ({"text_features": text_rows().numpy() > 0, "class_names": NAMES}, "an array of real numbers, got bool"),
        ({"text_features": text_rows() * 1e38, "class_names": NAMES}, "scores: expected finite numbers"),
        (
            {"text_features": text_rows(), "class_names": "abcd"},
            "class_names: expected a list of names, got str 'abcd'",
        ),
        (
            {"text_features": text_rows(), "class_names": [1, 2]},
            "class_names: expected texts that are not empty, got 1",
        ),
        (
            {"text_features": text_rows(), "class_names": ["a", ""]},
            "class_names: expected texts that are not empty, got ''",
        ),
        ({"text_features": text_rows(), "class_names": 3}, "class_names: expected a list of names, got int 3"),
        (
            {"text_features": text_rows(), "class_names": ["a", "a"]},
            "class_names: expected distinct names, got 'a' 2 times",
        ),
        ({"text_features": text_rows(), "class_names": ["a", "Background"]}, "beside background words"),
        ({"text_features": "rows", "class_names": NAMES}, "text_features: expected an array of real numbers, got str"),
    ],
)
def test_wrong_settings_are_named(segmenter, picture, settings, message):
    with pytest.raises(InputError, match=message):
        segmenter.segment(segmenter.encode(picture), **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"preset": "best"}, "preset: expected one of auto, paper-224, paper-336"),
        ({"short_side": 3}, "short side: expected"),
        ({"max_pixels": 100}, "100"),
        ({"short_side": 10**400}, "short side: expected"),
    ],
)
def test_wrong_encode_settings_are_named(segmenter, picture, settings, message):
    with pytest.raises(InputError, match=message):
        segmenter.encode(picture, **settings)


@pytest.mark.parametrize(("preset", "own"), [("paper-224", 224), ("paper-336", 336)])
@pytest.mark.parametrize("side", [32, 160, 223, 448, 10**400, "224", 224.5])
def test_paper_preset_refuses_another_size_than_its_clustering_was_tuned_for(segmenter, picture, preset, own, side):
    for call in (segmenter.encode, segmenter.capture, segmenter.view, segmenter.inspect):
        with pytest.raises(InputError, match=f"short side of preset {preset}: expected {own}"):
            call(picture, preset=preset, short_side=side)
    assert segmenter.encode(picture, preset, short_side=own).frame.model == (own, own)


class NoDoubles(TorchDispatchMode):
    """Mode in which every operation with a float64 tensor fails, as on Apple GPUs."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for value in tree_leaves((args, kwargs, out)):
            assert not (isinstance(value, torch.Tensor) and value.dtype == torch.float64), func
        return out


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("preset", ["auto", "paper-224"])
def test_nothing_needs_float64_on_the_device(model, picture, method, preset, monkeypatch):
    def on_the_cpu(points, eps):
        assert points.device.type == "cpu"  # the CPU always has float64
        return torch.from_numpy(cdist(points.numpy(), points.numpy()) <= eps)

    monkeypatch.setattr(clustering, "_neighbours", on_the_cpu)
    segmenter = Segmenter.from_open_clip(model)  # new, so that nothing is cached
    with NoDoubles():
        encoding = segmenter.encode(picture, preset)
        for denoise in ("cls", "dice", "none"):
            segmenter.segment(encoding, "cat, tom; dog | background: sky", method=method, denoise=denoise, vote=True)
        segmenter.scores(encoding, "cat; dog", method=method, image_prior=True)


def test_looking_needs_no_float64_either(model, picture):
    segmenter = Segmenter.from_open_clip(model)
    with NoDoubles():
        segmenter.capture(picture)  # its result is on the CPU
        lint(parse_vocabulary("cat; dog; kitten"), segmenter.embed_words, segmenter.unknown_words)


def test_unknown_precision_and_device_are_named(model):
    with pytest.raises(InputError, match="precision: expected one of fp32"):
        Segmenter.from_open_clip(model, precision="int4")
    with pytest.raises(InputError, match="device: expected one that torch has here"):
        Segmenter.from_open_clip(model, device="warp")


def test_an_image_tower_alone_is_refused_with_what_is_needed():
    with pytest.raises(UnsupportedBackboneError, match="expected an open_clip"):
        Segmenter.from_open_clip(tiny_clip().visual)


@pytest.mark.parametrize("name", ["Background", "background", "BACKGROUND", "\uff22ackground"])
@pytest.mark.parametrize("before", ["cat; dog; {}", "{}; cat; dog", "cat; {}, backdrop; dog"])
def test_unsure_pixels_go_to_the_class_that_a_person_named_background(segmenter, picture, name, before):
    result = segmenter.segment(segmenter.encode(picture), before.format(name), threshold=1.0)
    assert len(result.class_names) == 3
    unsure = result.confidence < 1
    assert unsure.any()
    assert {result.class_names[label] for label in np.unique(result.labels[unsure])} == {name}


@pytest.mark.parametrize(
    "words",
    [["dog", "grass"], ("dog", "grass"), np.array(["dog", "grass"]), {"dog": [], "grass": ()}, [["dog"], "grass"]],
)
def test_words_may_come_as_a_list(segmenter, picture, words):
    encoding = segmenter.encode(picture)
    result = segmenter.segment(encoding, words)
    assert result.class_names == ("dog", "grass")
    assert np.array_equal(result.labels, segmenter.segment(encoding, "dog; grass").labels)
    assert segmenter.scores(encoding, words).vocabulary.class_names == ("dog", "grass")


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ({"dog", "grass"}, "A set has no order: make it a list."),
        (7, "Make it a list of texts."),
        (b"dog", "Make it a list of texts."),
        (iter(["dog"]), "Make it a list of texts."),
    ],
)
def test_words_of_no_order_or_kind_are_refused(segmenter, picture, words, remedy):
    with pytest.raises(InputError, match=f"vocabulary: expected a text, or a list .* {remedy}"):
        segmenter.segment(segmenter.encode(picture), words)


@pytest.mark.parametrize("settings", [{"vocabulary": "cat"}, {"vocabulary": ["cat"]}, {"vocabulary": "cat, kitten;"}])
def test_result_of_one_class_says_so(segmenter, picture, settings):
    result = segmenter.segment(segmenter.encode(picture), **settings)
    assert "is the only class, so it takes the whole picture" in result.notes[0]


@pytest.mark.parametrize("names", [{"cat", "dog"}, [" Background ", "dog"]])
def test_names_of_text_features_have_an_order_and_none_is_the_background(segmenter, picture, names):
    with pytest.raises(InputError, match="class_names: expected (a list, got set|no class named 'background')"):
        segmenter.segment(segmenter.encode(picture), text_features=text_rows()[:3], class_names=names)


def test_one_row_of_text_features_says_so_too(segmenter, picture):
    result = segmenter.segment(segmenter.encode(picture), text_features=text_rows()[:1], class_names=["cat"])
    assert "is the only class" in result.notes[0]


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (3, 2)])
@pytest.mark.parametrize("preset", ["auto", "paper-224"])
def test_smallest_pictures_run(segmenter, size, preset):
    image = np.zeros((*size, 3), np.uint8)
    result = segmenter.segment(segmenter.encode(image, preset), "cat; dog")
    assert result.size == (size if preset == "auto" else (224, 224))


# --- everything else, and missing classes ---


@pytest.mark.parametrize("words", ["cat", "cat; dog", "cat | background: wall", "cat, kitten; dog; tree"])
@pytest.mark.parametrize("vote", [True, False])
def test_everything_else_is_a_class_of_its_own_after_all_others(segmenter, picture, words, vote):
    encoding = segmenter.encode(picture)
    plain = segmenter.segment(encoding, words, vote=vote)
    result = segmenter.segment(encoding, words, vote=vote, everything_else=True)
    assert result.class_names == (*plain.class_names, EVERYTHING_ELSE)
    assert 0 < result.areas[EVERYTHING_ELSE] < 1
    if not vote:
        changed = result.labels != plain.labels
        assert (result.labels[changed] == len(plain.class_names)).all(), "else no pixel changes its class"
    assert not any("whole picture" in note for note in result.notes)
    assert ((result.confidence >= 0) & (result.confidence <= 1)).all()


def test_a_class_that_has_the_name_of_everything_else_is_refused(segmenter, picture):
    encoding = segmenter.encode(picture)
    with pytest.raises(InputError, match="everything_else: expected no class named"):
        segmenter.segment(encoding, "cat; Everything Else", everything_else=True)


@pytest.mark.parametrize("missing", [[], [1], [0, 2], [0, 1, 2]])
@pytest.mark.parametrize("rest", [True, False])
def test_missing_classes_keep_their_names_and_win_nothing(segmenter, picture, monkeypatch, missing, rest):
    monkeypatch.setattr("cliptrase_core.segmenter.missing_classes", lambda *_: missing)
    encoding = segmenter.encode(picture)
    result = segmenter.segment(encoding, "cat; dog; tree", skip_missing=True, everything_else=rest)
    assert result.settings["missing"] == [("cat", "dog", "tree")[label] for label in missing]
    assert result.class_names[:3] == ("cat", "dog", "tree")
    if rest or len(missing) < 3:
        assert not np.isin(result.labels, missing).any()
    else:
        assert np.isin(result.labels, [0, 1, 2]).all(), "nothing is left: they are shown, and said to be missing"


def test_on_a_photograph_the_word_gets_what_it_names_and_no_more(nano):
    encoding = nano.encode(str(asset("examples", "horses.jpg")))
    alone = nano.segment(encoding, "horse")
    parted = nano.segment(encoding, "horse", everything_else=True)
    assert alone.areas["horse"] == 1
    assert 0.1 < parted.areas["horse"] < 0.4
    found = nano.segment(encoding, "horse; pizza; laptop", skip_missing=True)
    assert "horse" not in found.settings["missing"]
    assert "pizza" in found.settings["missing"]


def test_options_are_tried_with_the_templates_of_the_preset(segmenter, monkeypatch):
    tried, kind = [], type(segmenter._text)
    embed = kind.embed
    monkeypatch.setattr(kind, "embed", lambda self, words, named: tried.append(named) or embed(self, words, named))
    try_out(segmenter, "zebra; sofa", "paper-224", None)
    try_out(segmenter, "zebra; sofa", "auto", None)
    try_out(segmenter, "zebra; sofa", "paper-224", None, templates="simple7")
    assert tried == ["openai80", "simple7", "simple7"]
