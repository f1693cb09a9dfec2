"""Deletion of a visitor's own pictures from the disk, from memory and from the page; those of others stay."""

from __future__ import annotations

import time

import numpy as np
import pytest
from PIL import Image

from cliptrase_core.cache import LRUCache
from cliptrase_core.refine import Fix
from cliptrase_core.refine.sam import Sam
from demo.service import DisplayState, Refinement, Run, SegmentRequest
from demo.settings import EXAMPLES
from demo.tabs.my_pictures import NOTHING, deleted
from tests.visitor import API, Visitor


def of_mine(folder, seed: int):
    """Write a picture that no other visitor has; return its path."""
    path = folder / f"mine {seed}.png"
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (60, 80, 3), dtype=np.uint8)).save(path)
    return path


@pytest.fixture
def visitor(server):
    visitor = Visitor(server.address)
    yield visitor
    visitor.close()


def files_of(server) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in server.files()}


def test_everything_of_mine_goes_at_once_and_nothing_of_others(server, visitor, tmp_path):
    other = Visitor(server.address)
    theirs = other.upload(of_mine(tmp_path, 1))
    assert other.segment(picture=theirs, words="dog; road") is None
    before = set(server.files())

    mine = [visitor.upload(of_mine(tmp_path, seed)) for seed in (2, 3)]
    for picture in mine:
        assert visitor.segment(picture=picture, words="dog; road") is None
    visitor.do("download")
    visitor.do("refine-go")
    visitor.do("patches", "select", at=[10, 10])
    assert len(set(server.files()) - before) > 3

    answer = visitor.do("delete-mine")
    assert answer.succeeded
    assert "Deleted: " in visitor.shown("mine")
    assert visitor.shown("picture") is None
    assert visitor.shown("result") is None
    assert set(server.files()) == before
    for picture in mine:
        assert visitor.http.get(f"{API}/file={picture['path']}").status_code in (403, 404)
        assert "no longer here" in visitor.segment(picture=picture)
    assert other.segment(picture=theirs, words="dog; road") is None
    assert other.do("download").succeeded
    visitor.do("delete-mine")
    assert NOTHING in visitor.shown("mine")
    other.close()


def test_what_two_tabs_have_stays_until_both_have_deleted_it(server, visitor, tmp_path):
    path, other = of_mine(tmp_path, 4), Visitor(server.address)
    both = [one.upload(path) for one in (visitor, other)]
    assert both[0]["path"] == both[1]["path"], "files of equal name and content are one file"
    for one, picture in zip((visitor, other), both, strict=True):
        assert one.segment(picture=picture, words="dog; road") is None
    visitor.do("delete-mine")
    assert "1 file stayed" in visitor.shown("mine")
    assert other.segment(words="dog; grass") is None
    other.do("delete-mine")
    assert "stayed" not in other.shown("mine")
    assert both[0]["path"] not in files_of(server)
    other.close()


def test_what_was_uploaded_before_the_page_was_loaded_again_goes_too(server, visitor, tmp_path):
    before = set(server.files())
    pictures = [visitor.upload(of_mine(tmp_path, seed)) for seed in (21, 22)]
    for picture in pictures:
        assert visitor.segment(picture=picture, words="dog; road") is None
    with visitor.http.stream("GET", f"{API}/heartbeat/{visitor.session}") as alive:
        next(alive.iter_lines())  # as a browser, until its page is left
    again = Visitor(server.address)
    assert again.segment(picture=pictures[1], words="dog; road") is None  # the browser restores the last picture
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and set(server.files()) != before:  # the server notices the end of a page late
        again.do("delete-mine", session=visitor.session)
    assert set(server.files()) == before
    again.do("delete-mine", session=visitor.session)
    assert NOTHING in again.shown("mine")
    again.close()


@pytest.mark.parametrize(
    ("way", "seed"), [("download", 11), ("refine-go", 12), ("compare-go", 13), ("regions-after", 14)]
)
def test_files_that_any_tab_makes_go_too(server, visitor, tmp_path, way, seed):
    before = set(server.files())
    assert visitor.segment(picture=visitor.upload(of_mine(tmp_path, seed)), words="dog; road") is None
    answer = visitor.do(way, "select", at=[10, 10]) if way == "regions-after" else visitor.do(way)
    assert answer.succeeded, answer.error
    visitor.do("delete-mine")
    assert set(server.files()) <= before


def test_others_are_not_harmed_by_a_forged_path(server, visitor, tmp_path):
    victim = Visitor(server.address)
    theirs = victim.upload(of_mine(tmp_path, 5))
    assert victim.segment(picture=theirs, words="dog; road") is None
    forged = {**theirs, "path": theirs["path"] + "/../../x"}
    assert "no longer here" in visitor.segment(picture=forged, words="dog; road")
    assert visitor.segment(picture=theirs, words="dog; road") is None  # the path of a picture is enough to read it
    visitor.do("delete-mine")
    assert "1 file stayed" in visitor.shown("mine")
    assert theirs["path"] in files_of(server)
    assert victim.segment(words="dog; grass") is None
    victim.close()


def test_the_words_of_another_visitor_claim_no_file(server, visitor, tmp_path):
    victim = Visitor(server.address)
    theirs = victim.upload(of_mine(tmp_path, 8))
    assert victim.segment(picture=theirs, words="dog; road") is None
    assert "tokens" in visitor.segment(picture=visitor.upload(of_mine(tmp_path, 9)), words=theirs["path"])
    victim.do("delete-mine")
    assert "stayed" not in victim.shown("mine")
    assert theirs["path"] not in files_of(server)
    victim.close()


def test_the_page_says_where_pictures_lie_before_anybody_uploads_one(visitor):
    line = next(
        part["props"]["value"] for part in visitor.config["components"] if part["props"].get("elem_id") == "mine"
    )
    assert "2 hours" in line
    assert "sent nowhere else" in line


# --- without a server ---


def test_what_was_computed_is_forgotten_by_picture(service, tmp_path):
    first, second = (str(of_mine(tmp_path, seed)) for seed in (6, 7))
    asked = SegmentRequest("dog; road")
    for path in (first, second):
        run = service.segment(path, asked).run
        service.patch_attention(run.key, path, 0, 0)
        service.matrix(run.key, path)
        service.depth(run.key, path)
        service.refine(Refinement(run, "sam-nano", "prompts"), path)
        service.shown(DisplayState(run, fixes=(Fix(((0.5, 0.5),), "road", radius=0.1),)), path)
    stores = [store for store in vars(service).values() if isinstance(store, LRUCache)]
    stores.append(service._pictures._cached)
    assert all(len(store) >= 2 for store in stores)
    count = sum(map(len, stores))
    forgotten = service.forget([first, str(tmp_path / "never there")])
    assert count == 2 * forgotten == 2 * sum(map(len, stores))
    assert service.segment(second, asked).result_cached
    again = service.segment(first, asked)
    assert not again.encoding_cached
    assert isinstance(again.run, Run)


def test_sam_forgets_my_picture_and_no_other(service, tmp_path, monkeypatch):
    embedded, embed = [], Sam.embed
    monkeypatch.setattr(Sam, "embed", lambda self, image, *a: (embedded.append(1), embed(self, image, *a))[1])
    mine, other = (str(of_mine(tmp_path, seed)) for seed in (15, 16))

    def use(path: str, x: float) -> int:
        """Return how many pictures SAM embeds for two requests."""
        before, run = len(embedded), service.segment(path, SegmentRequest("dog; road")).run
        service.refine(Refinement(run, "sam-nano+edges", "prompts", keep=(0,)), path)
        service.shown(DisplayState(run, fixes=(Fix(((x, 0.5),), "road", sam="sam-nano"),)), path)
        return len(embedded) - before

    assert [use(path, 0.2) for path in (mine, other)] == [1, 1]
    service.forget([mine])
    assert [use(path, 0.4) for path in (mine, other)] == [1, 0]


@pytest.mark.parametrize(
    ("files", "shared", "made", "said"),
    [
        (0, 0, 0, NOTHING),
        (1, 0, 2, "1 file, and 2 things"),
        (3, 1, 0, "3 files, and 0 things"),
        (1, 1, 1, "1 file, and 1 thing that this page had computed from them. 1 file stayed"),
        (0, 2, 0, "2 files stayed"),
    ],
)
def test_what_deleting_says(files, shared, made, said):
    assert said in deleted(files, shared, made)
    assert "0 file" not in deleted(files, shared, made)


def test_only_pictures_lie_open_beside_the_page(server, visitor):
    for path in sorted(EXAMPLES.iterdir()):
        status = visitor.http.get(f"{API}/file={path}").status_code
        assert status == (200 if path.suffix == ".jpg" else 403), path.name
