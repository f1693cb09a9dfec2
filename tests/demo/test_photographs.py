"""Photographs of phone size: results at display size and in full, number of computations, cached memory.

No test measures time. Encodes, labellings, file reads and bytes are counted, which a busy machine does not change.
`python -m tests.benchmarks.page` measures the time.
"""

from __future__ import annotations

import dataclasses
import io
import zipfile
from collections import Counter
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from cliptrase_core import Cancelled, Segmenter, segmenter
from cliptrase_core.cache import LRUCache
from cliptrase_core.io import geometry, image
from cliptrase_core.io.export import saving
from cliptrase_core.models import encoder as encoder_module
from cliptrase_core.refine.guided_filter import follow_edges
from cliptrase_core.regions.cache import CACHED_FOR_EACH
from cliptrase_core.regions.decode import count_votes, vote
from cliptrase_core.viz import palette
from cliptrase_core.viz.overlay import overlay
from demo import settings
from demo.api import Endpoints
from demo.drawing import LONGEST_SHOWN
from demo.errors import UserError
from demo.service import DisplayState, Refinement, SegmentRequest, Service, bundle, pictures, point_at
from demo.service.compare import difference, in_full
from demo.service.ground_truth import read_ground_truth
from demo.service.pictures import Packed
from demo.settings import Settings
from demo.tabs.clusters import ClustersHandlers
from demo.tabs.compare import CompareHandlers
from demo.tabs.model import ModelHandlers
from demo.tabs.result import SegmentHandlers, costs
from tests.demo.test_page import Click
from tests.photographs import MEGAPIXELS_12, MEGAPIXELS_50, WORDS, photograph

HEIGHT, WIDTH = MEGAPIXELS_12
SHOWN = (960, 1280)


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    return str(photograph(tmp_path_factory.mktemp("photo") / "photo.jpg", quality=80))


@pytest.fixture
def service():
    service = Service(Settings(model="nano", device="cpu"))
    service.start()
    service.models.segmenter(None)
    return service


@pytest.fixture
def counted(monkeypatch):
    """Counter of decoded pictures, encodes, labellings (by size), and files read for their hash."""
    seen = Counter()

    def count(owner, name, key=lambda *_, **__: None):
        original = getattr(owner, name)

        def counting(*args, **kwargs):
            seen[name if key(*args, **kwargs) is None else (name, key(*args, **kwargs))] += 1
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, counting)

    count(image, "_read_pil")
    count(encoder_module.Encoder, "run")
    count(segmenter, "label_pixels", lambda maps, label_of, size, regions: size)
    count(pictures.hashlib, "sha256")
    return seen


def labellings(seen):
    return {key[1]: number for key, number in seen.items() if isinstance(key, tuple)}


def test_everything_that_the_page_shows_is_made_at_display_size_and_once(service, photo, counted):
    segment, compare, clusters = (
        handlers(service) for handlers in (SegmentHandlers, CompareHandlers, ClustersHandlers)
    )
    run = service.segment(photo, SegmentRequest(WORDS)).run
    assert counted["_read_pil"] == counted["run"] == counted["sha256"] == 1
    segment.findings(run, photo)
    assert labellings(counted) == {SHOWN: 1}
    for x in (10, 50, 90):
        segment.point(run, run.token, photo, Click([x, 50]))
    clusters.refresh(run, photo)
    clusters.pick(run, photo, 0)
    assert labellings(counted) == {SHOWN: 2}, "what pixels say before the vote is made once for all who ask"
    for eps in (0.5, 0.6):
        changed = service.segment(photo, dataclasses.replace(run.request, eps=eps)).run
        clusters.refresh(changed, photo)
    assert labellings(counted) == {SHOWN: 4}, "one for each eps"
    views = list(compare.compare(run, photo, "cup; spoon"))
    made = labellings(counted)
    assert set(made) == {SHOWN}
    for pair in (("clip", "gem"), ("other words", "cliptrase"), ("naclip", "maskclip")):
        compare.pair(views[-1].comparison, photo, *pair, None)
    list(compare.compare(run, photo, "cup; spoon"))
    assert labellings(counted) == made, "Compare shows what it has"
    service.patch_attention(run.key, photo, 3, 4)
    ModelHandlers(service).show_input(photo, "auto", "auto", None)
    assert counted["_read_pil"] == counted["run"] == 1, "nothing is read or encoded twice"


def test_what_is_kept_of_a_photograph_is_small(service, photo):
    run = service.segment(photo, SegmentRequest(WORDS)).run
    list(CompareHandlers(service).compare(run, photo, ""))
    pixels = SHOWN[0] * SHOWN[1]
    results = [packed for _, packed in service._results.items()]
    assert len(results) >= 11
    assert all(packed.labels.size == SHOWN and packed.nbytes < 2.2 * pixels for packed in results)
    assert sum(packed.nbytes for packed in results) < settings.CACHED_RESULT_BYTES / 2
    (entry,) = [entry for _, entry in service._pictures._cached.items()]
    held = (entry.pixels, entry.shown, entry.patches, entry.encoding.model_input)
    assert max(max(part.shape) for part in held) <= LONGEST_SHOWN, "the whole photograph is not held"
    behind = [memoryview(part if part.base is None else part.base).nbytes for part in held]
    assert max(behind) <= 2 * 3 * pixels, "not behind a view either"
    assert entry.nbytes < 16_000_000
    assert settings.CACHED_FOR_EACH == CACHED_FOR_EACH


def test_the_page_says_on_how_many_pixels_areas_are_measured(service, photo):
    shown = service.segment(photo, SegmentRequest(WORDS))
    here, there = (f"{height} &times; {width}" for height, width in (SHOWN, MEGAPIXELS_12))
    assert f"areas measured on {here} pixels, in a download on {there}" in costs(shown)
    assert "measured" not in costs(service.segment(str(settings.EXAMPLES / "horses.jpg"), SegmentRequest(WORDS)))
    cropped = service.segment(photo, SegmentRequest(WORDS, preset="paper-224"))
    assert "measured" not in costs(cropped), "a download has the same size"


@pytest.mark.parametrize("threshold", [0.0, 0.4])
def test_the_page_shows_what_the_full_result_is_seen_from_afar(service, photo, threshold):
    shown = service.segment(photo, SegmentRequest(WORDS, threshold=threshold))
    full = service.again(shown.run, photo, full=True)
    assert shown.result.size == SHOWN
    assert full.result.size == MEGAPIXELS_12
    rows, columns = ((np.arange(n) + 0.5) * whole / n for n, whole in zip(SHOWN, MEGAPIXELS_12, strict=True))
    seen = np.ix_(rows.astype(int), columns.astype(int))
    assert (full.result.labels[seen] == shown.result.labels).mean() > 0.995
    assert (full.result.regions[seen] == shown.result.regions).mean() > 0.995
    same = full.result.labels[seen] == shown.result.labels
    # Where the threshold makes a pixel background, the class below may differ between both sizes.
    assert (np.abs(full.result.confidence[seen] - shown.result.confidence)[same] < 0.01).mean() > 0.9999
    areas = {row.name: row.area for row in full.legend}
    assert areas == pytest.approx({row.name: row.area for row in shown.legend}, abs=2e-3)
    own = service.models.segmenter(None)
    exact = own.segment(own.encode(photo), WORDS, threshold=threshold)
    for name in ("labels", "regions", "confidence"):
        np.testing.assert_array_equal(getattr(full.result, name), getattr(exact, name))
        assert getattr(full.result, name).dtype == getattr(exact, name).dtype


@pytest.mark.parametrize(("x", "y"), [(0, 0), (1279, 959), (640, 480), (333, 777)])
def test_a_click_on_the_shown_picture_means_the_same_place_of_the_photograph(service, photo, x, y):
    run = service.segment(photo, SegmentRequest(WORDS)).run
    point = point_at(service, run, photo, x, y)
    assert abs((point.row + 0.5) / HEIGHT - (y + 0.5) / SHOWN[0]) < 1 / SHOWN[0]
    assert abs((point.column + 0.5) / WIDTH - (x + 0.5) / SHOWN[1]) < 1 / SHOWN[1]
    own = service.models.segmenter(None)
    h, w = run.key.grid
    expected = own.scores(own.encode(photo), WORDS).of_patch(point.row * h // HEIGHT, point.column * w // WIDTH)
    assert [one.name for one in point.candidates] == [one.name for one in expected]
    assert point.candidates[0].probability == pytest.approx(expected[0].probability, abs=1e-5)


def test_what_is_downloaded_is_in_full_and_says_how_far_it_is(service, photo):
    cut = service.segment(photo, SegmentRequest(WORDS))
    told = []
    _, content = bundle(service, cut.run, photo, step=lambda share, text: told.append((share, text)))
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert shares[0] == 0.0
    assert shares[-1] == 1.0
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        with Image.open(archive.open("photo.labels.png")) as labels:
            assert labels.size == (WIDTH, HEIGHT)
        with Image.open(archive.open("photo.overlay.png")) as overlay:
            assert overlay.size == (WIDTH, HEIGHT)
        with np.load(archive.open("photo.npz")) as arrays:
            kinds = {key: (arrays[key].dtype, arrays[key].shape) for key in ("labels", "regions", "confidence")}
    assert kinds["labels"] == kinds["regions"] == (np.int32, MEGAPIXELS_12)
    assert kinds["confidence"] == (np.float32, MEGAPIXELS_12)


def test_the_button_says_how_far_the_archive_is_and_can_be_pressed_again_after_an_error(service, tmp_path):
    path = str(photograph(tmp_path / "small.png", 3, (120, 160)))
    run = service.segment(path, SegmentRequest(WORDS)).run
    *busy, done = SegmentHandlers(service).download(run, path)
    assert all(not view.download.interactive and "%" in view.download.value for view in busy)
    assert done.download.interactive
    assert zipfile.is_zipfile(done.file)
    photograph(tmp_path / "small.png", 4, (120, 160))
    steps, seen = SegmentHandlers(service).download(run, path), []
    with pytest.raises(gr.Error, match="replaced"):
        seen.extend(steps)
    assert seen[-1].download.interactive


@pytest.mark.parametrize(
    ("refiner", "mode"), [("sam-nano+edges", "prompts"), ("sam-nano", "everything"), ("edges", "prompts")]
)
def test_what_is_refined_for_download_is_what_was_shown_and_sam_is_not_asked_again(
    service, photo, refiner, mode, monkeypatch
):
    from cliptrase_core.refine.sam import Sam

    run = service.segment(photo, SegmentRequest("cat; wall")).run
    shown = service.refine(Refinement(run, refiner, mode), photo)
    assert shown.refined.size == SHOWN == shown.pixels.shape[:2]
    for asked in ("embed", "answer", "everything"):
        monkeypatch.setattr(Sam, asked, lambda *_, **__: pytest.fail("SAM was asked again"))
    full = service.refine(Refinement(run, refiner, mode), photo, full=True)
    assert full.refined.size == MEGAPIXELS_12
    assert [(component.class_name, component.accepted) for component in full.refined.report.components] == [
        (component.class_name, component.accepted) for component in shown.refined.report.components
    ]
    rows, columns = ((np.arange(n) + 0.5) * whole / n for n, whole in zip(SHOWN, MEGAPIXELS_12, strict=True))
    seen = full.refined.labels[np.ix_(rows.astype(int), columns.astype(int))]
    assert (seen == shown.refined.labels).mean() > 0.97


@pytest.mark.parametrize("call", ["segment", "compare", "refine"])
def test_calls_get_results_in_full(service, photo, call):
    asked = {"methods": "clip,cliptrase"} if call == "compare" else {}
    found = getattr(Endpoints(service), call)(photo, "cat; wall", **asked)
    assert found["size"] == [HEIGHT, WIDTH]
    for one in found.get("classes", []):
        assert one["rle"]["size"] == [HEIGHT, WIDTH]
    assert all(packed.labels.size == SHOWN for _, packed in service._results.items())


def test_many_results_of_a_photograph_are_compared_at_the_page_s_size(service, photo):
    few = Endpoints(service).compare(photo, "cat; wall", methods="clip,cliptrase")
    many = Endpoints(service).compare(photo, "cat; wall")
    assert many["size"] == list(SHOWN)
    for name in ("clip", "cliptrase"):
        full, small = (next(one for one in found["compared"] if one["name"] == name) for found in (few, many))
        assert full["changed"] == pytest.approx(small["changed"], abs=0.01)
        assert [one["name"] for one in full["classes"]] == [one["name"] for one in small["classes"]]


@pytest.mark.parametrize(
    ("size", "results", "full"),
    [
        ((4000, 4000), 11, False),  # a 2 kB PNG of one colour; once it took 20 seconds and 1.9 GB
        ((3000, 4000), 13, False),
        ((3000, 4000), 4, True),
        ((6000, 8000), 2, False),
        ((1024, 1024), 13, True),
        ((480, 640), 100, True),
        ((1, 40_000_000), 2, False),
    ],
)
def test_pixels_times_results_are_bounded_before_they_are_paid(size, results, full):
    assert in_full(size, results) == full


def test_queries_and_keys_of_pictures_are_limited_in_bytes_not_in_number(service, monkeypatch):
    paths = [str(settings.EXAMPLES / f"{name}.jpg") for name in ("cows", "horses", "kitten")]
    runs = [service.segment(path, SegmentRequest(WORDS)).run for path in paths]
    for run, path in zip(runs, paths, strict=True):
        service.maps(run.key, path, 3)
    captures = [capture for _, capture in service._captures.items()]
    assert len(captures) == 3
    assert captures[0].nbytes == 3 * captures[0].q.numel() * 2
    monkeypatch.setattr("demo.service.service.CACHED_CAPTURE_BYTES", int(2.5 * captures[0].nbytes))
    small = Service(Settings(), service.models)
    for run, path in zip(runs, paths, strict=True):
        small.maps(run.key, path, 3)
    assert len(small._captures) == 2


@pytest.mark.parametrize(("left", "kept"), [(23_000_000_000, 5), (None, 5), (800, 2), (8, 1), (0, 1)])
def test_where_little_memory_is_left_less_is_kept(left, kept, monkeypatch):
    store = LRUCache(pictures.as_memory_allows(250), len)
    monkeypatch.setattr(pictures.core.io.memory, "available", lambda: left)
    for i in range(7):
        store.get(i, lambda: bytes(50))
    assert len(store) == kept


@pytest.mark.parametrize("names", [("sky", "dog", "road"), ("sky", "dog", "cat"), ("a", "b", "c")])
def test_differences_are_those_of_whole_maps_however_large(names, monkeypatch):
    rng = np.random.default_rng(1)
    views = [
        SimpleNamespace(result=SimpleNamespace(labels=rng.integers(0, 3, (70, 50)), class_names=known))
        for known in (("dog", "Road", "sky"), names)
    ]
    monkeypatch.setattr(geometry, "STRIP_PIXELS", 500)
    found = difference(*views)
    named = [np.array([name.casefold() for name in view.result.class_names])[view.result.labels] for view in views]
    np.testing.assert_array_equal(found.changed, named[0] != named[1])
    assert found.share == pytest.approx((named[0] != named[1]).mean())
    for one in found.classes:
        assert (one.after or 0) == pytest.approx((named[1] == one.name.casefold()).mean())


def test_a_ground_truth_of_a_photograph_is_taken_at_its_own_size(service, photo, tmp_path):
    own = service.segment(photo, SegmentRequest("cat; wall"))
    truth = service.again(own.run, photo, full=True).result.labels
    Image.fromarray(truth.astype(np.uint8)).save(tmp_path / "truth.png")
    read = read_ground_truth(service, photo, str(tmp_path / "truth.png"), own)
    assert read.labels.shape == SHOWN
    assert (read.labels == own.result.labels).mean() > 0.995
    Image.fromarray(truth[::2, ::2].astype(np.uint8)).save(tmp_path / "half.png")
    with pytest.raises(UserError, match="expected 3000 x 4000 pixels"):
        read_ground_truth(service, photo, str(tmp_path / "half.png"), own)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((480, 640), (480, 640)), ((150, 200), (150, 200)), ((1280, 700), (1280, 700)), ((1281, 20), (1280, 20))],
)
def test_pictures_that_fit_a_screen_are_labelled_as_they_are(service, tmp_path, size, expected):
    path = str(photograph(tmp_path / "small.png", 3, size))
    cut = service.segment(path, SegmentRequest(WORDS))
    assert cut.result.size == expected
    if size == expected:
        own = service.models.segmenter(None)
        exact = own.segment(own.encode(path), WORDS)
        for name in ("labels", "regions", "confidence"):
            np.testing.assert_array_equal(getattr(cut.result, name), getattr(exact, name))
        assert service.segment(path, SegmentRequest(WORDS), full=True).result_cached, "and not divided twice"


@pytest.mark.parametrize("preset", ["paper-224", "paper-336"])
def test_the_papers_presets_are_exact_on_photographs(service, photo, preset):
    cut = service.segment(photo, SegmentRequest(WORDS, preset=preset))
    own = service.models.segmenter(None)
    exact = own.segment(own.encode(photo, preset), WORDS)
    np.testing.assert_array_equal(cut.result.labels, exact.labels)
    np.testing.assert_array_equal(cut.result.confidence, exact.confidence)


def test_fifty_megapixels_are_read_at_a_reduced_size_and_labelled_in_full(service, tmp_path, counted):
    path = str(photograph(tmp_path / "large.jpg", 2, MEGAPIXELS_50, quality=70))
    cut = service.segment(path, SegmentRequest("cup; table"))
    (_, entry), *_ = service._pictures._cached.items()
    assert entry.encoding.frame.original == entry.encoding.frame.labels == MEGAPIXELS_50
    assert cut.result.size == SHOWN
    assert not entry.complete
    assert labellings(counted) == {SHOWN: 1}
    point = point_at(service, cut.run, path, 1279, 959)
    assert point.row > 0.99 * MEGAPIXELS_50[0]
    assert labellings(counted) == {SHOWN: 2}, "what pixels say before the vote is made once, not at full size"


def test_what_cannot_be_decoded_reduced_is_refused_with_a_way_out(service, tmp_path):
    path = tmp_path / "large.png"
    Image.new("L", MEGAPIXELS_50[::-1]).save(path)
    with pytest.raises(UserError, match="Save it as JPEG"):
        service.segment(str(path), SegmentRequest("cat; wall"))


@pytest.mark.parametrize("way", ["zip", "refined zip", "call", "compare"])
def test_too_little_memory_for_full_size_is_said_before_anything_is_made(service, photo, monkeypatch, counted, way):
    run = service.segment(photo, SegmentRequest("cat; wall")).run
    monkeypatch.setattr(pictures.core.io.memory, "available", lambda: 200_000_000)
    ways = {
        "zip": lambda: bundle(service, run, photo),
        "refined zip": lambda: bundle(service, DisplayState(run, Refinement(run, "edges", "prompts")), photo),
        "call": lambda: Endpoints(service).segment(photo, "cat; wall"),
        "compare": lambda: Endpoints(service).compare(photo, "cat; wall", methods="clip"),
    }
    with pytest.raises((UserError, gr.Error), match=r"3000 x 4000 pixels take about 0.[46] GB.*smaller copy"):
        ways[way]()
    assert labellings(counted) == {SHOWN: 1}
    assert service.segment(photo, SegmentRequest("cat; wall")).result_cached, "the page still shows it"


def test_a_file_that_changed_is_read_again(tmp_path):
    path = photograph(tmp_path / "one.png", 0, (40, 60))
    first = pictures.digest(str(path))
    assert pictures.digest(str(path)) == first
    photograph(path, 1, (40, 60))
    assert pictures.digest(str(path)) != first
    path.unlink()
    with pytest.raises(UserError, match="no longer here"):
        pictures.digest(str(path))


@pytest.mark.parametrize("kind", ["heic", "avif", "webp"])
def test_what_phones_send_is_divided(service, tmp_path, kind):
    import pillow_heif

    pillow_heif.register_heif_opener()
    path = str(photograph(tmp_path / f"photo.{kind}", 1, (600, 800)))
    assert service.segment(path, SegmentRequest("person; wall")).result.size == (600, 800)


@pytest.mark.parametrize("classes", [2, 255, 256, 300])
@pytest.mark.parametrize("regions", [-1, 3, 255])
def test_what_is_packed_comes_back(segmenter, picture, classes, regions):
    found = segmenter.segment(segmenter.encode(picture), "; ".join(f"thing {i}" for i in range(classes)))
    rng = np.random.default_rng(classes)
    labels = rng.integers(0, classes, found.labels.shape, dtype=np.int32)
    labels.flat[:2] = 0, classes - 1
    claimed = np.full_like(labels, regions)
    result = dataclasses.replace(found, labels=labels, regions=claimed)
    back = Packed.of(result, exact=False).result()
    assert type(back) is type(result)
    for field in dataclasses.fields(result):
        if field.name != "confidence":
            np.testing.assert_array_equal(getattr(back, field.name), getattr(result, field.name))
    np.testing.assert_allclose(back.confidence, result.confidence, atol=5e-4)
    assert (back.labels.dtype, back.regions.dtype, back.confidence.dtype) == (np.int32, np.int32, np.float32)
    np.testing.assert_array_equal(Packed.of(result, exact=True).result().confidence, result.confidence)


@pytest.mark.parametrize("denoise", ["cls", "dice", "none"])
def test_clusters_without_words_are_those_of_a_result(segmenter, picture, denoise):
    encoding = segmenter.encode(picture)
    found = segmenter.segment(encoding, "cat; dog", denoise=denoise)
    np.testing.assert_array_equal(segmenter.clusters(encoding, denoise=denoise), found.patch_clusters)


def test_a_capture_of_an_encoding_is_that_of_its_picture(segmenter, picture):
    encoding = segmenter.encode(picture)
    one, two = segmenter.capture(encoding).maps(2), segmenter.capture(picture).maps(2)
    np.testing.assert_array_equal(one.attention, two.attention)
    other = Segmenter.from_pretrained("nano", device="cpu")
    with pytest.raises(image.InputError, match="one made by this model"):
        other.capture(encoding)


STRIPPED = {
    "votes": lambda image, result: count_votes(result.labels, result.regions, len(result.class_names)),
    "vote": lambda image, result: vote(result.labels, result.regions, len(result.class_names)),
    "overlay": lambda image, result: overlay(image, result, 0.37),
    "areas": lambda image, result: np.array([(row.index, row.area) for row in palette.legend(result)]),
    "confidence": lambda image, result: np.array([row.confidence for row in palette.legend(result)]),
    "edges": lambda image, result: follow_edges(image, result.labels, result.confidence, result.grid),
}


@pytest.mark.parametrize("name", STRIPPED)
@pytest.mark.parametrize("pixels", [1, 700, 5_000])
def test_what_is_made_strip_by_strip_is_what_is_made_at_once(segmenter, name, pixels, monkeypatch):
    rng = np.random.default_rng(4)
    image = rng.integers(0, 256, (9, 13, 3), dtype=np.uint8).repeat(40, axis=0).repeat(37, axis=1)
    result = segmenter.segment(segmenter.encode(image), "cat; dog; grass", size=(360, 481))
    result = dataclasses.replace(result, regions=np.abs(result.regions))
    monkeypatch.setattr(geometry, "STRIP_PIXELS", 10**9)
    whole = STRIPPED[name](image, result)
    monkeypatch.setattr(geometry, "STRIP_PIXELS", pixels)
    stripped = STRIPPED[name](image, result)
    if name == "edges":
        assert (stripped != whole).mean() < 1e-4, "rounding at a tie at most"
    else:
        np.testing.assert_allclose(stripped, whole, rtol=1e-12)


@pytest.mark.parametrize("share", [0.0, 0.4, 0.8, 1.0])
def test_an_archive_that_nobody_waits_for_is_not_written(segmenter, picture, tmp_path, share):
    def step(done: float, text: str) -> None:
        if done >= share:
            raise Cancelled

    result = segmenter.segment(segmenter.encode(picture), "cat; dog")
    with pytest.raises(Cancelled):
        saving.save(result, picture, tmp_path / "out", "picture", step=step)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("size", [(0, 5), (5.0, 5), "5x5", (5, 5, 3)])
def test_a_size_that_cannot_be_is_refused(segmenter, picture, size):
    with pytest.raises(image.InputError, match="size: expected"):
        segmenter.segment(segmenter.encode(picture), "cat; dog", size=size)
