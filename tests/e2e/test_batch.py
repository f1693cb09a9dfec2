"""The Batch tab in a real browser: five pictures of which one is corrupt, stop and resume, one zip."""

from __future__ import annotations

import json
import shutil
import zipfile

import pytest

pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install -e '.[dev]'")
from PIL import Image
from playwright.sync_api import expect

from demo.settings import EXAMPLES, MAX_FILES
from tests.e2e import steps

pytestmark = pytest.mark.e2e

NAMES = ("cows", "horses", "kitten", "room")


@pytest.fixture
def five(tmp_path):
    for name in NAMES:
        shutil.copy(EXAMPLES / f"{name}.jpg", tmp_path)
    (tmp_path / "broken.jpg").write_bytes((EXAMPLES / "palace.jpg").read_bytes()[:3000])
    return [tmp_path / f"{name}.jpg" for name in ("cows", "broken", "horses", "kitten", "room")]


def opened(page) -> None:
    steps.expect_result_of(page, steps.FIRST_WORDS)
    page.get_by_role("tab", name="Batch").click()


def test_five_pictures_of_which_one_is_corrupt_give_one_zip_and_one_line(open_page, artifacts, five):
    page = open_page(375, 812)
    opened(page)
    page.locator("#batch-files input[type=file]").set_input_files(five)
    lines = page.locator("#batch-queue li")
    expect(page.locator("#batch-queue img")).to_have_count(4)
    expect(lines).to_have_count(5)
    expect(page.locator("#batch-news")).to_contain_text("1 cannot be used")
    page.locator("#batch-go").click()
    expect(page.locator("#batch-queue li.done")).to_have_count(4)
    expect(page.locator("#batch-news")).to_contain_text("4 of 5 are done")
    failed = page.locator("#batch-queue li.failed")
    expect(failed).to_have_count(1)
    expect(failed).to_contain_text("broken.jpg")
    page.screenshot(path=artifacts / "batch_375.png", full_page=True)
    with page.expect_download() as download:
        page.locator("#batch-download").click()
    assert download.value.suggested_filename == "cliptrase-batch.zip"
    archive = zipfile.ZipFile(download.value.path())
    assert len(json.loads(archive.read("coco/annotations.json"))["images"]) == 4
    assert sum(name.startswith("masks/") for name in archive.namelist()) >= 4
    steps.expect_no_sideways_scroll(page)
    assert page.strangers == []


@pytest.mark.parametrize("width", [1280, 375])
def test_a_finished_picture_is_opened_above_and_can_be_fixed(open_page, artifacts, five, width):
    page = open_page(width, 800 if width > 600 else 812)
    opened(page)
    page.locator("#words textarea").fill("cow; grass; horse")
    page.locator("#batch-files input[type=file]").set_input_files(five[:3])
    expect(page.locator("#batch-queue img")).to_have_count(2)
    page.locator("#batch-go").click()
    expect(page.locator("#batch-queue li.done")).to_have_count(2)
    page.locator("#batch-queue").screenshot(path=artifacts / f"batch_queue_{width}.png")
    page.locator("#words textarea").fill("something else")
    page.get_by_role("button", name="Show above").nth(1).press("Enter")
    steps.expect_result_of(page, "cow; grass; horse")
    expect(page.locator("#status")).to_contain_text("From the batch: horses.jpg")
    expect(page.locator("#words textarea")).to_have_value("cow; grass; horse")
    expect(page.locator("#result .stage")).to_be_in_viewport()
    expect(page.locator("#stop")).to_be_hidden()
    expect(page.locator("#result .open-bench")).to_be_enabled()
    page.screenshot(path=artifacts / f"batch_shown_{width}.png")
    page.locator("#batch-queue li.done img").first.click()
    expect(page.locator("#status")).to_contain_text("From the batch: cows.jpg")
    steps.expect_no_sideways_scroll(page)
    assert page.strangers == []


def two_done(page, five) -> None:
    """Segment two pictures in the queue."""
    opened(page)
    page.locator("#words textarea").fill("cow; grass; horse")
    page.locator("#batch-files input[type=file]").set_input_files([five[0], five[2]])
    expect(page.locator("#batch-queue img")).to_have_count(2)
    page.locator("#batch-go").click()
    expect(page.locator("#batch-queue li.done")).to_have_count(2)


def test_fixes_of_a_picture_return_when_it_is_shown_above_again(open_page, five):
    page = open_page(1280, 800)
    two_done(page, five)
    status, above = page.locator("#status"), page.get_by_role("button", name="Show above")
    above.nth(0).click()
    expect(status).to_contain_text("From the batch: cows.jpg")
    page.locator("#result .open-bench").click()
    page.locator("#result [name=tool][value=brush]").check()
    page.locator("#result .bench select").select_option("horse")
    page.locator("#result canvas").press("Enter")
    expect(status).to_contain_text("Coarse, 1 fix:")
    above.nth(1).click()
    expect(status).to_contain_text("From the batch: horses.jpg")
    expect(status).not_to_contain_text("fix")
    above.nth(0).click()
    expect(status).to_contain_text("From the batch: cows.jpg. Coarse, 1 fix:")
    expect(page.locator("#result [data-do=undo]")).to_be_enabled()


def test_the_zip_holds_the_fixes_of_pictures_that_are_and_were_shown_above(open_page, five):
    page = open_page(1280, 800)
    opened(page)
    page.locator("#words textarea").fill("cow; grass; horse")
    page.locator("#batch-files input[type=file]").set_input_files([five[0], five[2], five[3]])
    expect(page.locator("#batch-queue img")).to_have_count(3)
    page.locator("#batch-go").click()
    expect(page.locator("#batch-queue li.done")).to_have_count(3)
    for number in (0, 1):
        page.get_by_role("button", name="Show above").nth(number).click()
        expect(page.locator("#status")).to_contain_text(f"From the batch: {('cows', 'horses')[number]}.jpg")
        page.locator("#result .open-bench").click()
        page.locator("#result [name=tool][value=brush]").check()
        page.locator("#result .bench select").select_option(("horse", "cow")[number])
        page.locator("#result canvas").press("Enter")
        expect(page.locator("#status")).to_contain_text("Coarse, 1 fix:")
        page.locator("#result .open-bench").click()
    with page.expect_download() as download:
        page.locator("#batch-download").click()
    archive = zipfile.ZipFile(download.value.path())
    fixes = [json.loads(archive.read(f"{name}.json"))["settings"].get("fixes") for name in ("cows", "horses", "kitten")]
    assert [one and [fix["class"] for fix in one] for one in fixes] == [["horse"], ["cow"], None]
    expect(page.locator("#batch-news")).to_contain_text("3 of 3 are done, 2 with your changes.")
    expect(page.locator("#batch-download")).to_be_enabled()


def test_a_batch_that_was_not_downloaded_is_not_left_without_a_question(open_page, five):
    page = open_page(1280, 800)
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))

    def make_batch():
        page.locator("#batch-files input[type=file]").set_input_files([five[0], five[2]])
        expect(page.locator("#batch-queue img")).to_have_count(2)
        page.locator("#batch-go").click()
        expect(page.locator("#batch-queue li.done")).to_have_count(2)

    def download():
        with page.expect_download():
            page.locator("#batch-download").click()

    opened(page)
    page.locator("#batch-files input[type=file]").set_input_files(five[3])
    expect(page.locator("#batch-queue img")).to_have_count(1)
    page.reload()
    assert asked == []  # nothing was made yet
    opened(page)
    make_batch()
    page.reload()
    assert asked == ["beforeunload"]
    steps.open_example(page, 1)
    page.get_by_role("tab", name="Batch").click()
    make_batch()
    with page.expect_event("load"):  # the page loads itself again
        page.go_back()
    assert asked == 2 * ["beforeunload"]
    page.wait_for_function("document.body.classList.contains('opened')")
    page.get_by_role("tab", name="Batch").click()
    make_batch()
    download()
    page.reload()
    assert asked == 2 * ["beforeunload"]  # it was downloaded
    page.wait_for_function("document.body.classList.contains('opened')")
    page.get_by_role("tab", name="Batch").click()
    make_batch()
    download()
    page.get_by_role("button", name="Show above").first.click()
    expect(page.locator("#status")).to_contain_text("From the batch: cows.jpg")
    page.locator("#result .open-bench").click()
    page.locator("#result [name=tool][value=brush]").check()
    page.locator("#result canvas").press("Enter")
    expect(page.locator("#status")).to_contain_text("Coarse, 1 fix:")
    page.get_by_role("button", name="Show above").nth(1).click()
    expect(page.locator("#status")).to_contain_text("From the batch: horses.jpg")
    page.reload()
    assert asked == 3 * ["beforeunload"]  # the fix is not in what was downloaded


def test_the_queue_tells_a_fix_at_once_and_other_words_for_one_picture(open_page, artifacts, five):
    page = open_page(1280, 800)
    two_done(page, five)
    page.get_by_role("button", name="Show above").first.click()
    expect(page.locator("#status")).to_contain_text("From the batch: cows.jpg")
    page.get_by_role("tab", name="Settings").click()  # the queue follows from any tab
    page.locator("#result .open-bench").click()
    page.locator("#result [name=tool][value=brush]").check()
    page.locator("#result .bench select").select_option("horse")
    page.locator("#result canvas").press("Enter")
    row, news = page.locator("#batch-queue li").first, page.locator("#batch-news")
    expect(row).to_contain_text("done, 1 fix")
    expect(news).to_contain_text("2 of 2 are done, 1 with your changes.")
    page.locator("#result [data-do=undo]").click()
    expect(row).not_to_contain_text("1 fix")
    page.locator("#words textarea").fill("cow; sky")
    page.locator("#segment").click()
    steps.expect_result_of(page, "cow; sky")
    note = page.locator("#in-batch")
    expect(note.locator(".strip")).to_be_visible()
    expect(note).to_contain_text(
        "Not in the batch: cows.jpg has other words here; its row and the archive keep those of"
    )
    expect(row).to_contain_text("Shown above with other words; the archive has those of the batch.")
    page.screenshot(path=artifacts / "batch_other_words.png")
    expect(page.locator("#result .bench")).to_be_visible()  # the note is seen while fixing, too
    page.get_by_role("tab", name="Batch").click()
    page.get_by_role("button", name="Show above").first.click()
    expect(page.locator("#status")).to_contain_text("From the batch: cows.jpg")
    expect(note).not_to_contain_text("other words")
    expect(row).not_to_contain_text("other words")
    page.locator("#words textarea").fill("cow; sky")
    page.locator("#segment").click()
    expect(note).to_contain_text("other words")
    page.locator("#batch-clear").click()
    expect(page.locator("#batch-clear")).to_have_text("Not downloaded: press again")
    page.locator("#batch-clear").click()
    expect(note).not_to_contain_text("other words")


def choose_refiner(page, name: str) -> None:
    page.locator("#batch-refiner input").click()
    page.get_by_role("option", name=name).first.click()


def test_stop_ends_the_slowest_work_and_the_next_press_goes_on(open_page, five):
    page = open_page(1280, 800)
    steps.expect_result_of(page, steps.FIRST_WORDS)
    page.get_by_role("tab", name="Refine").click()
    page.locator("#refine-mode").get_by_text("everything:").click()
    page.get_by_role("tab", name="Batch").click()
    choose_refiner(page, "sam-nano")
    page.locator("#batch-files input[type=file]").set_input_files(five[:3])
    expect(page.locator("#batch-queue img")).to_have_count(2)
    page.locator("#batch-go").click()
    expect(page.locator("#batch-queue li.busy")).to_have_count(1)
    with page.expect_response("**/reset"):
        page.locator("#batch-stop").click()
    expect(page.locator("#batch-queue li.busy")).to_have_count(0)
    expect(page.locator("#batch-stop")).to_be_hidden()
    choose_refiner(page, "coarse")
    page.locator("#batch-go").click()
    expect(page.locator("#batch-queue li.done")).to_have_count(2)
    expect(page.locator("#batch-news")).to_contain_text("2 of 3 are done")
    page.locator("#batch-clear").dblclick()
    expect(page.locator("#batch-clear")).to_have_text("Not downloaded: press again")
    expect(page.locator("#batch-queue li")).to_have_count(3)
    page.locator("#batch-clear").click()
    expect(page.locator("#batch-queue li")).to_have_count(0)
    expect(page.locator("#batch-clear")).to_have_text("Empty the queue")
    expect(page.locator("#batch-download")).to_be_hidden()


def test_several_pictures_dropped_on_the_page_make_a_batch(open_page, five):
    page = open_page(1280, 800)
    steps.expect_result_of(page, steps.FIRST_WORDS)
    page.evaluate(
        """async urls => {
          const carrier = new DataTransfer();
          for (const [name, url] of urls)
            carrier.items.add(new File([await (await fetch(url)).blob()], name, { type: "image/jpeg" }));
          const how = { dataTransfer: carrier, bubbles: true, cancelable: true };
          document.body.dispatchEvent(new DragEvent("drop", how));
        }""",
        [[f"{i}.jpg", page.locator("#examples img").nth(i).get_attribute("src")] for i in range(3)],
    )
    expect(page.locator("#batch-queue li")).to_have_count(3)
    expect(page.get_by_role("tab", name="Batch")).to_have_attribute("aria-selected", "true")


def test_files_dropped_on_the_box_of_the_queue_are_sorted_out(open_page):
    page = open_page(1280, 800)
    opened(page)
    page.evaluate(
        """async url => {
          const carrier = new DataTransfer();
          carrier.items.add(new File([await (await fetch(url)).blob()], "one.jpg", { type: "image/jpeg" }));
          carrier.items.add(new File(["x"], "notes.txt", { type: "text/plain" }));
          const how = { dataTransfer: carrier, bubbles: true, cancelable: true };
          document.querySelector("#batch-files button").dispatchEvent(new DragEvent("drop", how));
        }""",
        page.locator("#examples img").first.get_attribute("src"),
    )
    expect(page.locator("#batch-queue img")).to_have_count(1)
    expect(page.locator("#batch-news")).to_contain_text("1 picture. 1 is no picture (notes.txt).")


def small_pictures(folder, count: int):
    """Write different small pictures; return their paths."""
    paths = [folder / f"{number}.png" for number in range(count)]
    for number, path in enumerate(paths):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(path)
    return paths


def test_of_too_many_at_once_the_first_are_taken_and_the_others_counted(open_page, tmp_path):
    page = open_page(1280, 800)
    opened(page)
    many = small_pictures(tmp_path, MAX_FILES + 5)
    page.locator("#batch-files input[type=file]").set_input_files(many)
    expect(page.locator("#batch-queue img")).to_have_count(MAX_FILES)
    news = page.locator("#batch-news")
    expect(news).to_contain_text(f"5 more were left out: a batch takes {MAX_FILES}. Download these, empty the queue")
    page.locator("#batch-files input[type=file]").set_input_files(many[-2:])
    expect(news).to_contain_text("2 more were left out")


def test_a_folder_is_taken_without_its_other_files_and_known_pictures(open_page, tmp_path):
    page = open_page(1280, 800)
    opened(page)
    paths = small_pictures(tmp_path, 5)
    (tmp_path / "notes.txt").write_bytes(bytes(2_000_000))  # one such file would make the server refuse all
    page.locator("#batch-files input[type=file]").set_input_files(paths[:3])
    expect(page.locator("#batch-queue img")).to_have_count(3)
    news, folder = page.locator("#batch-news"), page.locator("input[webkitdirectory]")
    folder.set_input_files(tmp_path)
    expect(page.locator("#batch-queue img")).to_have_count(5)
    expect(news).to_contain_text("5 pictures. 3 of those chosen were there already. 1 is no picture (notes.txt).")
    folder.set_input_files(tmp_path)
    expect(news).to_contain_text("5 pictures. 5 of those chosen were there already. 1 is no picture (notes.txt).")
    expect(page.locator("#batch-queue li")).to_have_count(5)


def test_back_from_a_picture_of_the_batch_leads_to_the_queue(open_page, five):
    page = open_page(1280)
    steps.open_example(page, 1)
    page.get_by_role("tab", name="Batch").click()
    page.locator("#batch-files input[type=file]").set_input_files([five[0], five[2]])
    expect(page.locator("#batch-queue img")).to_have_count(2)
    page.locator("#batch-go").click()
    expect(page.locator("#batch-queue li.done")).to_have_count(2, timeout=60_000)
    page.get_by_role("button", name="Show above").first.click()
    expect(page.locator("#status")).to_contain_text("From the batch: cows.jpg")
    page.get_by_role("tab", name="Settings").click()
    page.go_back()
    expect(page.get_by_role("tab", name="Batch")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#batch-queue li.done")).to_have_count(2)
    expect(page.locator("#status")).to_contain_text("From the batch: cows.jpg")


def test_the_picture_above_is_marked_in_the_queue_and_the_next_is_a_button_away(open_page, five):
    page = open_page(1366, 768)
    opened(page)
    page.locator("#batch-files input[type=file]").set_input_files(five[2:])
    expect(page.locator("#batch-queue img")).to_have_count(3)
    page.locator("#batch-go").click()
    expect(page.locator("#batch-queue li.done")).to_have_count(3)
    rows, following = page.locator("#batch-queue li"), page.locator("#result .next-in-batch")
    expect(following).to_be_hidden()
    page.get_by_role("button", name="Show above").first.press("Enter")
    expect(page.locator("#status")).to_contain_text("From the batch: horses.jpg", timeout=steps.PATIENCE)
    expect(page.locator("#result .open-bench")).to_be_focused()
    for index, name in ((1, "kitten.jpg"), (2, "room.jpg")):
        expect(rows.nth(index - 1)).to_have_attribute("aria-current", "true")
        following.click()
        expect(page.locator("#status")).to_contain_text(f"From the batch: {name}", timeout=steps.PATIENCE)
        expect(rows.nth(index)).to_have_attribute("aria-current", "true")
    expect(following).to_be_hidden()
    steps.segment(page, EXAMPLES / "coffee.jpg", "cup; table")
    expect(page.locator("#batch-queue li[aria-current]")).to_have_count(0)


def test_a_list_that_scrolls_closes_when_the_tab_key_leaves_it(open_page):
    page = open_page(1366, 600)
    opened(page)
    field = page.locator("#batch-formats input")
    field.evaluate("field => scrollBy(0, field.getBoundingClientRect().top - innerHeight / 2)")
    field.click()
    options = page.locator("[role=listbox]")
    expect(options).to_be_visible()
    scrolls = "list => [list, list.parentElement].some(one => one.scrollHeight > one.clientHeight)"
    assert options.evaluate(scrolls), "the case of this test"
    page.keyboard.press("Tab")
    expect(page.locator("#batch-go")).to_be_focused()
    expect(options).to_be_hidden()


def test_pictures_of_one_name_in_several_folders_keep_their_folder(open_page, tmp_path):
    folder = tmp_path / "customer"
    for place, name in (("", "cows"), ("spring", "horses"), ("autumn", "kitten")):
        (folder / place).mkdir(parents=True, exist_ok=True)
        shutil.copy(EXAMPLES / f"{name}.jpg", folder / place / "dog.jpg")
    shutil.copy(EXAMPLES / "room.jpg", folder / "autumn" / "room.jpg")
    page = open_page(1280)
    opened(page)
    page.locator("input[webkitdirectory]").set_input_files(folder)
    names = page.locator("#batch-queue li bdi")
    expect(names).to_have_count(4)
    assert sorted(names.all_inner_texts()) == ["autumn-dog.jpg", "dog.jpg", "room.jpg", "spring-dog.jpg"]


def test_only_fixes_that_an_archive_has_count_as_downloaded(open_page, five):
    page = open_page(1280, 800)
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))

    def batch_of(path, done: int):
        page.locator("#batch-files input[type=file]").set_input_files(path)
        expect(page.locator("#batch-queue img")).to_have_count(done)
        page.locator("#batch-go").click()
        expect(page.locator("#batch-queue li.done")).to_have_count(done)

    def fix(count: int):
        if page.locator("#result .bench").is_hidden():
            page.locator("#result .open-bench").click()
        page.locator("#result [name=tool][value=brush]").check()
        page.locator("#result canvas").press("Enter")
        expect(page.locator("#status")).to_contain_text(f"Coarse, {count} fix")

    def download():
        with page.expect_download():
            page.locator("#batch-download").click()

    def fix_and_download():
        opened(page)
        batch_of(five[0], 1)
        page.get_by_role("button", name="Show above").click()
        expect(page.locator("#status")).to_contain_text("From the batch: cows.jpg", timeout=steps.PATIENCE)
        fix(1)
        expect(page.locator("#batch-queue")).to_contain_text("1 fix")
        download()

    fix_and_download()
    page.reload()
    assert asked == []  # the archive has the fix

    fix_and_download()
    expect(page.locator("#batch-download")).to_be_enabled()
    page.locator("#batch-clear").click()
    expect(page.locator("#batch-queue li")).to_have_count(0)
    batch_of(five[3], 1)
    expect(page.locator("#batch-queue li[aria-current]")).to_have_count(0)
    fix(2)
    download()
    page.reload()
    assert asked == ["beforeunload"]  # the second fix is in no archive


def test_a_folder_of_repeated_names_is_known_when_it_is_added_again(open_page, tmp_path):
    folder = tmp_path / "customer"
    for place, name in (("spring", "horses"), ("autumn", "kitten")):
        (folder / place).mkdir(parents=True)
        shutil.copy(EXAMPLES / f"{name}.jpg", folder / place / "dog.jpg")
    page = open_page(1280)
    opened(page)
    for _ in range(2):
        page.locator("input[webkitdirectory]").set_input_files(folder)
        expect(page.locator("#batch-queue img")).to_have_count(2)
    expect(page.locator("#batch-news")).to_contain_text("2 of those chosen were there already.")
