"""Training of the embedded models at a small scale: on ten generated pictures, with a stub for the picture teacher.

Teachers and WordNet are not installed for tests: a small WordNet is written, and no teacher is loaded.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import itertools
import json
import random
import tarfile
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from assets.training import (
    crops,
    image,
    ladder,
    mask_losses,
    prompting,
    schedule,
    synonyms,
    text,
    tower,
    wordnet,
    words,
)
from assets.training import pack as packing
from assets.training import photographs as photographs_of_training
from assets.training.photographs import (
    CLASSES,
    FACE,
    PERSON,
    REPORT,
    SCENE_CLASSES,
    SELECTION,
    class_map,
    decode,
    imagenet_class,
    label,
    read,
    read_scenes,
)
from cliptrase_core.models.blocks import project
from cliptrase_core.models.embedded import EMBEDDING, ROWS, unpack
from cliptrase_core.text.encoder import TEMPLATES

DOG, GRASS, SKY = (
    next(i for i, group in enumerate(SCENE_CLASSES) if group[0] == name) for name in ("dog", "grass", "sky")
)
RED, GREEN, BLUE = (220, 30, 30), (30, 170, 40), (40, 60, 220)
SCENES = {"3": DOG, "10": DOG, "20": DOG, "21": PERSON}  # class of the object on the grass, by scene

# --- a small WordNet ---

SYNSETS = {  # lemmas and hypernym by id; the ids of ImageNet's classes are real
    "n00000001": ("entity", None),
    "n00000002": ("animal", "n00000001"),
    "n00000003": ("dog domestic_dog", "n00000002"),
    "n00000004": ("fish", "n00000002"),
    "n00000005": ("sofa couch lounge", "n00000001"),
    "n00000006": ("grass", "n00000001"),
    "n00000007": ("wolf", "n00000002"),
    "n00000008": ("child", "n00000001"),
    "n00000009": ("box casket_box", "n00000001"),
    "n00000010": ("mouse shiner", "n00000001"),
    "n00000011": ("mouse", "n00000002"),
    "n00000012": ("quokka short-tailed_wallaby", "n00000002"),
    "n00000013": ("Lassie", "n00000003"),
    "n00000014": ("heron", "n00000002"),
    "n02085620": ("Chihuahua", "n00000003"),
    "n02085782": ("Japanese_spaniel", "n00000003"),
    "n01440764": ("tench", "n00000004"),
    "n01443537": ("goldfish", "n00000004"),
}
SEEN_ON_PICTURES = {"n00000011", "n00000012", "n00000013", "n00000014"}
NAMES = {"n00000013"}


def write_wordnet(folder: Path) -> None:
    data, index = ["  1 a line of the licence"], ["  1 a line of the licence"]
    meant: dict[str, list[str]] = {}
    for wnid, (lemmas, above) in SYNSETS.items():
        names = lemmas.split()
        pointers = f"001 {'@i' if wnid in NAMES else '@'} {above[1:]} n 0000" if above else "000"
        forms = " ".join(f"{name} 0" for name in names)
        kind = "05" if wnid in SEEN_ON_PICTURES else "03"
        data.append(f"{wnid[1:]} {kind} n {len(names):02x} {forms} {pointers} | (rare) what {names[0]} is; an example")
        for name in names:
            meant.setdefault(name.lower(), []).append(wnid[1:])
    index += [f"{name} n {len(ids)} 1 @ {len(ids)} 0 {' '.join(ids)}" for name, ids in meant.items()]
    (folder / "data.noun").write_text("\n".join(data) + "\n")
    (folder / "index.noun").write_text("\n".join([*index[:1], *sorted(index[1:])]) + "\n")
    (folder / "noun.exc").write_text("children child\nwolves wolf\n")
    (folder / "cntlist.rev").write_text("dog%1:05:00:: 1 42\ndog%2:38:00:: 1 7\ngrass%1:20:00:: 1 3\n")


@pytest.fixture(scope="module", autouse=True)
def small_wordnet(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wordnet")
    write_wordnet(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wordnet, "WORDNET", folder)
        for cached in (wordnet.synsets, wordnet.irregular_plurals):
            cached.cache_clear()
        yield
    for cached in (wordnet.synsets, wordnet.irregular_plurals):
        cached.cache_clear()


@pytest.mark.parametrize(
    ("noun", "many"),
    [("dog", "dogs"), ("box", "boxes"), ("bench", "benches"), ("city", "cities"), ("toy", "toys"),
     ("child", "children"), ("grey wolf", "grey wolves"), ("glass bus", "glass buses"),
     ("policeman", "policemen"), ("human", "humans")],
)  # fmt: skip
def test_plurals_are_regular_or_wordnets(noun, many):
    assert wordnet.plural(noun) == many


def test_nouns_counts_and_meanings_come_from_wordnet():
    assert {"dog", "domestic dog", "sofa"} <= set(wordnet.nouns())
    assert wordnet.counts() == {"dog": 42, "grass": 3}  # the verb does not count
    assert wordnet.meanings()["couch"] == (["sofa", "couch", "lounge"], "what sofa is")
    assert wordnet.meanings()["shiner"] == (["mouse", "shiner"], "what mouse is")
    assert wordnet.meanings()["mouse"] == (["mouse"], "what mouse is")  # the meaning that can be seen


def test_nouns_that_a_picture_can_show_are_those_of_a_visible_kind():
    assert wordnet.visible() == {"mouse", "quokka", "short-tailed wallaby", "heron"}  # no name of a dog
    weights = dict(zip(*words.phrases(0), strict=True))
    assert (weights["quokka"], weights["shiner"]) == (0.8, 0.7)
    assert weights["heron"] == pytest.approx(1.2)  # a token of its own


def test_a_continued_run_prefers_things_that_people_speak_of(monkeypatch):
    counts = Counter({"casket": 2661, "heron": 263, "anorak": 99, "tent": 500, "pole": 499, "box": 900})
    monkeypatch.setattr(words, "SpellChecker", lambda: SimpleNamespace(word_frequency=counts))
    assert words.spoken({"casket", "heron", "anorak", "quokka", "tent pole", "box tent"}) == {
        "casket": 4.0,
        "heron": pytest.approx(2.63**0.5),
        "box tent": 1.6,
    }
    said = ["heron", "mouse", "quokka", "dog"]  # the dog is no visible thing of this WordNet
    monkeypatch.setattr(words, "spoken", lambda things: dict.fromkeys(things & {"heron", "mouse", "dog"}, 1.5))
    drawn = words.continued(said, torch.tensor([0.8, 3.0, 0.8, 1.2]))
    assert drawn.tolist() == pytest.approx([1.5, 3.0, 0.24, 1.2])


def test_levels_are_hypernyms_of_several_classes_that_a_person_might_say():
    index = wordnet.wnids().index
    fish, dogs = [index("n01440764"), index("n01443537")], [index("n02085620"), index("n02085782")]
    assert wordnet.levels() == [("animal", [*fish, *dogs]), ("dog", dogs), ("fish", fish)]  # not "entity"


@pytest.mark.parametrize(
    ("caption", "nouns"),
    [
        ("Two dogs on the grass", ["dog", "grass"]),
        ("children and a CHILD", ["child"]),
        ("boxes, wolves; a sofa.", ["box", "wolf", "sofa"]),
        ("nothing xyzzy", []),
        ("", []),
    ],
)
def test_nouns_of_a_caption_are_singular_and_each_once(caption, nouns):
    assert wordnet.noun_reader()(caption) == nouns


@pytest.mark.parametrize("read_it", [wordnet.nouns, wordnet.counts, wordnet.meanings, wordnet.noun_reader])
def test_a_folder_without_wordnet_is_named(monkeypatch, tmp_path, read_it):
    monkeypatch.setattr(wordnet, "WORDNET", tmp_path)
    with pytest.raises(SystemExit, match=r"expected WordNet's file .* set WORDNET"):
        read_it()


REAL = Path("/usr/share/wordnet")


@pytest.mark.skipif(not (REAL / "data.noun").is_file(), reason="needs WordNet's files (Debian: wordnet-base)")
def test_the_real_wordnet_knows_breeds_sofas_and_mice(monkeypatch):
    monkeypatch.setattr(wordnet, "WORDNET", REAL)
    wordnet.irregular_plurals.cache_clear()
    try:
        assert wordnet.plural("mouse") == "mice"
        wordnet.synsets.cache_clear()
        assert {"couch", "lounge"} <= set(wordnet.meanings()["sofa"][0])
        assert wordnet.meanings()["crane"][1].startswith("lifts and moves heavy objects")  # no writer of that name
        assert len(dict(wordnet.levels())["dog"]) > 100
    finally:
        wordnet.synsets.cache_clear()
        wordnet.irregular_plurals.cache_clear()


# --- photographs ---


@pytest.fixture(scope="module", autouse=True)
def no_grids():
    """Remove the grids of real photographs, because generated ones can have the same names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(photographs_of_training, "GRIDS", {})
        yield


def as_bytes(pixels: np.ndarray, kind: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **({"quality": 95, "subsampling": 0} if kind == "JPEG" else {}))
    return stream.getvalue()


def scene(thing: int, seed: int) -> tuple[bytes, bytes]:
    """Return a JPEG of 300 x 240 pixels, a red object on green grass below a blue sky, and its mask as PNG."""
    rng = np.random.default_rng(seed)
    mask = np.full((240, 300), GRASS + 1, np.uint8)
    mask[:60] = SKY + 1
    top, left = rng.integers(40, 80), rng.integers(40, 100)
    mask[top : top + 130, left : left + 150] = thing + 1
    colours = np.zeros((256, 3), np.uint8)
    colours[GRASS + 1], colours[SKY + 1], colours[thing + 1] = GREEN, BLUE, RED
    return as_bytes(colours[mask], "JPEG"), as_bytes(mask, "PNG")


def ten_pictures() -> dict[str, bytes]:
    """Return files by path: four scenes and six photographs, one of them from a set that is left out."""
    found = {}
    for number, thing in SCENES.items():
        found[f"scenes/{number}.jpg"], found[f"scenes/{number}.png"] = scene(thing, int(number))
    across = np.broadcast_to(np.linspace(0, 255, 600).astype(np.uint8)[None, :, None], (240, 600, 3))
    for path in (
        f"imagenet1000/{wordnet.wnids()[7]}_4.JPEG",
        f"imagenet1000/{wordnet.wnids()[8]}_4.JPEG",
        "caltech101/airplanes_image_0001.jpg",
        "catsdogs/7_cat_1.jpg",
        "people/1.jpeg",
        "ade_val_unlabelled/ADE_val_1.jpg",
    ):
        found[path] = as_bytes(across, "JPEG")
    found["captions.json"] = json.dumps({"scene/3.jpg": "a dog on the grass", "people/1": "children"}).encode()
    found["faces.json"] = json.dumps(
        {"people/1.jpeg": [[270, 60, 60, 80]], "scenes/21.jpg": [[90, 90, 60, 60]]}
    ).encode()
    found["README.md"] = b"no photograph"
    return found


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("photographs"), ten_pictures())


@pytest.fixture(scope="module")
def photographs(folder):
    return read(folder)


def test_a_folder_is_read_without_the_set_that_evaluate_scores(photographs):
    p = photographs
    assert len(p.names) == len(p.pixels) == 9
    assert not any("ade_val" in name for name in p.names)
    place = p.names.index("people/1")
    assert p.sizes[place].tolist() == [224, 320]  # the middle of a long photograph
    assert p.pixels.shape[1:] == (3, 320, 320)
    assert (p.pixels[place, :, 224:] == 124).all()
    said = {name: [p.vocabulary[i] for i in row if i >= 0] for name, row in zip(p.names, p.words.tolist(), strict=True)}
    assert said["scenes/3"] == ["dog", "grass"]
    assert said["people/1"] == ["child"]
    assert said["caltech101/airplanes_image_0001"] == ["airplane"]
    assert said["catsdogs/7_cat_1"] == ["cat"]
    assert p.whole[p.masked[p.names.index("scenes/21")]]
    assert not p.whole[p.masked[place]]  # a face is known, the rest is not
    assert p.masks.shape == (5, 320, 320)
    assert p.masks[p.masked[place]].unique().tolist() == [0, FACE + 1]


def test_tar_files_are_read_as_if_unpacked(photographs, tmp_path):
    files = ten_pictures()
    for name, prefix in (("scenes-0.tar", "scenes/"), ("photos-0.tar", "")):
        with tarfile.open(tmp_path / name, "w") as tar:
            for path in list(files):
                if "/" in path and path.startswith(prefix):
                    entry = tarfile.TarInfo(path.removeprefix(prefix))
                    entry.size = len(files[path])
                    tar.addfile(entry, io.BytesIO(files.pop(path)))
    packed = read(write(tmp_path, files), threads=1)
    assert packed.names == photographs.names
    assert torch.equal(packed.pixels, photographs.pixels)
    assert torch.equal(packed.masks, photographs.masks)
    assert len(read_scenes(tmp_path)) == 2


def test_what_is_held_out_is_never_drawn(photographs):
    p = photographs
    held = {name for name, out in zip(p.names, p.held_out().tolist(), strict=True) if out}
    assert held == {"scenes/10", "scenes/20", f"imagenet1000/{wordnet.wnids()[7]}_4"}
    source = crops.CropSource(p)
    drawn = {*source.plain.tolist(), *source.said.tolist(), *source.scenes(40).index.tolist()}
    assert {p.names[i] for i in drawn} == set(p.names) - held
    for use, number in ((SELECTION, "20"), (REPORT, "10")):
        assert [name for i, name in enumerate(p.names) if name in held and p.is_scene(i, use)] == [f"scenes/{number}"]
    check = ladder.QuickLadder(p, [torch.eye(38)[i : i + 1] for i in range(38)])
    assert len(check.pixels) == 1
    assert torch.equal(check.pixels[0], p.pixels[p.names.index("scenes/20"), :, :224, 24:248] / 255)
    assert check.classes.tolist() == [7]


def test_both_readers_of_scenes_hold_out_the_same_ones(tmp_path):
    names = {"20": True, "2": False, "20_1": False, "2_0": True, "20b": True, "none": True}
    for name in names:
        picture, mask = scene(DOG, 1)
        write(tmp_path, {f"scenes/{name}.jpg": picture, f"scenes/{name}.png": mask})
    p = read(tmp_path)
    assert dict(zip(p.names, p.held_out().tolist(), strict=True)) == {
        f"scenes/{name}": out for name, out in names.items()
    }
    assert len(read_scenes(tmp_path)) == 2


def test_only_sets_whose_name_begins_as_that_of_the_validation_pictures_are_left_out(tmp_path):
    picture, _ = scene(DOG, 1)
    write(
        tmp_path, {f"{name}.jpg": picture for name in ("shade_valley/1", "people/ade_val_1", "ade_val/1", "ade_val2/1")}
    )
    assert read(tmp_path).names == ["people/ade_val_1", "shade_valley/1"]


@pytest.mark.parametrize("kind", ["nothing", "README.md", "ade_val_unlabelled/1.jpg"])
def test_a_folder_without_photographs_is_refused(tmp_path, kind):
    if kind != "nothing":
        write(tmp_path, {kind: ten_pictures()["people/1.jpeg"]})
    with pytest.raises(SystemExit, match=r"expected photographs"):
        read(tmp_path)
    with pytest.raises(SystemExit, match=r"expected scenes"):
        read_scenes(tmp_path)


@pytest.mark.parametrize(
    ("path", "said"),
    [("caltech101/Faces_easy_image_0007.jpg", ["face"]), ("caltech101/BACKGROUND_Google_image_0001.jpg", []),
     ("grocery_mit/Granny-Smith_001.jpg", ["apple"]), ("grocery_mit/Red-Beet_3.jpg", ["beet"]),
     ("weather/cloudy12.jpg", ["clouds"]), ("houses/17_frontal.jpg", ["house"]), ("catsdogs/1_dog.jpg", ["dog"]),
     ("flickr8k/123_dog.jpg", []), ("alone.jpg", [])],
)  # fmt: skip
def test_names_of_files_say_what_a_person_would(path, said):
    assert label(path) == said


def test_imagenet_classes_stand_in_names_of_files():
    assert imagenet_class(f"imagenet1000/{wordnet.wnids()[151]}_9.jpg") == 151
    assert imagenet_class("imagenet1000/n99999999_9.jpg") == imagenet_class("a/b.jpg") == -1


def test_a_face_is_drawn_over_nothing_but_a_person():
    pixels, mask = scene(PERSON, 0)
    photograph = decode(pixels)
    before, after = (class_map(photograph, mask, boxes) for boxes in ([], [[0, 0, 300, 240]]))
    changed = before != after
    assert changed.any()
    assert (before[changed] == PERSON + 1).all()
    assert (after[changed] == FACE + 1).all()


# --- crops ---


@pytest.fixture
def plain_light(monkeypatch):
    monkeypatch.setattr(crops, "_jitter", lambda pixels: pixels)
    monkeypatch.setattr(crops, "TILED", 0.0)


def test_shares_of_cells_are_a_plain_count():
    labels = np.random.default_rng(0).integers(0, 38, (2, 48, 32)).astype(np.uint8)
    found = crops.cell_shares(torch.from_numpy(labels), 16)
    assert found.shape == (2, crops.LABELS, 3, 2)
    for picture, row, column in np.ndindex(2, 3, 2):
        cell = labels[picture, row * 16 : row * 16 + 16, column * 16 : column * 16 + 16]
        plain = np.bincount(cell.ravel(), minlength=crops.LABELS) / 256
        np.testing.assert_allclose(found[picture, :, row, column].numpy(), plain, atol=1e-6)


def colours_of(pixels: torch.Tensor) -> torch.Tensor:
    """Return (B, 3) shares of red, green and blue pixels."""
    return F.one_hot(pixels.argmax(1), 3).float().mean((1, 2))


@pytest.mark.parametrize("pasted", [0.0, 1.0])
def test_crops_of_scenes_show_what_is_said_of_them(photographs, plain_light, monkeypatch, pasted):
    monkeypatch.setattr(crops, "PASTED", pasted)
    torch.manual_seed(0)
    found = crops.CropSource(photographs).scenes(24)
    assert found.pixels.shape == (24, 3, 224, 224)
    assert 0 <= found.pixels.min() <= found.pixels.max() <= 1
    shares = found.cells.mean((2, 3))
    torch.testing.assert_close(shares.sum(1), torch.ones(24))
    said = torch.stack([shares[:, [1 + DOG, 1 + PERSON, 1 + FACE]].sum(1), shares[:, 1 + GRASS], shares[:, 1 + SKY]], 1)
    whole = torch.tensor([photographs.names[i].startswith("scenes/") for i in found.index.tolist()])
    assert torch.equal(found.whole, whole)
    assert whole.sum() > 12
    assert (said - colours_of(found.pixels))[whole].abs().max() < 0.03


def test_crops_of_photographs_are_a_part_of_them(photographs, plain_light):
    torch.manual_seed(0)
    place = photographs.names.index("imagenet1000/" + wordnet.wnids()[8] + "_4")  # darker to lighter, from the left
    found = crops.CropSource(photographs).of(torch.tensor([place] * 24), 0.1)
    row = found.pixels[:, 0, 100]
    wide = (row[:, -1] - row[:, 0]).abs()
    whole = (photographs.pixels[place, 0, 100].float() / 255).aminmax()
    assert (whole.min - 0.01 <= row).all()
    assert (row <= whole.max + 0.01).all()
    assert 0.2 * (whole.max - whole.min) < wide.min() < wide.max()
    assert 0 < (row[:, -1] < row[:, 0]).sum() < 24  # some are mirrored


def test_crops_hold_the_class_that_was_drawn(photographs, monkeypatch):
    monkeypatch.setattr(crops, "PASTED", 0.0)
    monkeypatch.setattr(crops, "TILED", 0.0)
    source = crops.CropSource(photographs)
    torch.manual_seed(1)
    classes, index = source._draw(60)
    torch.manual_seed(1)
    found = source.scenes(60)
    assert torch.equal(found.index, index)
    held = found.cells.mean((2, 3))[torch.arange(60), 1 + classes] > crops.HOLDS - 0.02
    big = classes != FACE  # the only face is too small to fill its share of most crops
    assert held[big].float().mean() > 0.9


def test_a_thing_is_pasted_along_its_mask_and_ground_is_not(monkeypatch):
    monkeypatch.setattr(crops, "PASTED", 1.0)
    labels = torch.full((3, 8, 8), 1 + GRASS, dtype=torch.uint8)
    labels[0, 2:6, 2:6] = 1 + DOG
    pixels = torch.stack([torch.full((3, 8, 8), value) for value in (0.1, 0.5, 0.9)])
    shown, said = crops.paste(pixels, labels, torch.tensor([DOG, GRASS, GRASS]))
    assert torch.equal(said[1], labels[0])  # the dog is pasted on the grass of the second crop
    assert torch.equal(shown[1, :, 3:5, 3:5], pixels[0, :, 3:5, 3:5])
    assert torch.equal(shown[1, :, :, 0], pixels[1, :, :, 0])
    assert torch.equal(shown[[0, 2]], pixels[[0, 2]])
    assert torch.equal(said[[0, 2]], labels[[0, 2]])


def test_four_crops_become_one_and_what_is_said_goes_with_them(monkeypatch):
    monkeypatch.setattr(crops, "TILED", 1.0)
    labels = torch.arange(5, dtype=torch.uint8)[:, None, None].expand(-1, 4, 4)
    pixels, whole = labels[:, None].expand(-1, 3, -1, -1).float(), torch.tensor([True, True, True, True, False])
    shown, said, all_whole = crops.tile(pixels, labels, whole)
    assert said[3].tolist() == [[3, 3, 2, 2], [3, 3, 2, 2], [1, 1, 0, 0], [1, 1, 0, 0]]
    assert torch.equal(shown, said[:, None].expand(-1, 3, -1, -1).float())
    assert all_whole.tolist() == [False, False, False, True, False]
    monkeypatch.setattr(crops, "TILED", 0.0)
    assert all(
        torch.equal(*pair) for pair in zip(crops.tile(pixels, labels, whole), (pixels, labels, whole), strict=True)
    )


def test_a_share_of_crops_is_drawn_by_words_that_only_grids_say(photographs, monkeypatch):
    new = len(SCENE_CLASSES)
    row = photographs.masked[photographs.names.index("scenes/3")]
    masks = photographs.masks.clone()
    masks[row][masks[row] == SKY + 1] = new + 1
    source = crops.CropSource(dataclasses.replace(photographs, masks=masks))
    assert source.chances[new:].sum() / source.chances.sum() == pytest.approx(crops.SEEN_BY_EYE)
    assert len(source.of_class[new]) == 1
    assert crops.UNTOLD[new]
    assert not crops.CropSource(photographs).chances[new:].any()  # no share without such words


def test_photographs_are_mixed_with_the_one_before_or_get_a_piece_of_it():
    torch.manual_seed(0)
    pixels = torch.zeros(300, 3, 16, 16)
    pixels[::2] = 1.0
    mixed = crops.mix(pixels)
    changed = (mixed - pixels).abs().amax((1, 2, 3)) > 0
    blended = ((mixed > 0) & (mixed < 1)).any(1).any(1).any(1)
    assert 0.5 < changed.float().mean() < 0.8
    assert 0.2 < blended.float().mean() < 0.45
    pieces = (mixed != pixels)[changed & ~blended].float().mean((1, 2, 3))
    assert 0.05 < pieces.min() < pieces.max() < 0.9


def test_light_and_colours_change_shapes_do_not():
    torch.manual_seed(0)
    ramp = torch.linspace(0, 1, 16).expand(200, 3, 16, 16) * torch.tensor([0.2, 0.5, 0.9]).view(3, 1, 1)
    other = crops._jitter(ramp)
    inner = other[..., 1:-1]  # blur changes a ramp only at its ends
    assert (inner.diff(dim=-1) > 0).all()
    assert torch.allclose(inner.diff(dim=-2), torch.zeros(()), atol=1e-6)
    hue = (inner - inner.mean(1, keepdim=True)).std((1, 2, 3)) / inner.std((1, 2, 3))
    assert 5 < (hue < 0.3).sum() < 60
    assert not torch.isclose(other, ramp).flatten(1).all(1).any()


# --- words and the text tower ---


def test_tokens_are_put_together_as_open_clip_does():
    said = ["dog", "domestic dog", "zyzzyva", "bird's-eye maple", "red car next to a wooden house", "x"]
    sentences = text.Sentences(words.token_ids(said), "cpu")
    for place, sentence in enumerate(words.SENTENCES):
        found = sentences(torch.arange(len(said)), torch.full((len(said),), place))
        expected = open_clip.tokenize([sentence.replace("{}", word) for word in said])
        assert torch.equal(found, expected[:, : found.shape[1]])
        assert not expected[:, found.shape[1] :].any()
    mixed = sentences(torch.tensor([0, 4]), torch.tensor([0, len(words.SENTENCES) - 1]))
    expected = open_clip.tokenize(["dog", words.SENTENCES[-1].replace("{}", said[4])])
    assert torch.equal(mixed, expected[:, : mixed.shape[1]])


def test_words_are_embedded_as_the_program_does(nano):
    said = ["dog", "sofa", "railway track"]
    rows = text.embed(
        tower.shipped_text(), text.Sentences(words.token_ids(said), "cpu"), torch.arange(3), TEMPLATES["simple7"]
    )
    torch.testing.assert_close(rows, nano.embed_words(said), atol=1e-4, rtol=1e-3)


def test_phrases_are_distinct_and_everyday_words_weigh_more():
    said, weights = words.phrases(40)
    weight = dict(zip(said, weights, strict=True))
    assert len(weight) == len(said)
    assert weight["dog"] > weight["grass"] > weight["casket box"]
    assert {"dogs", "animals", "hoodies", "sunflowers", "women"} <= set(said)
    assert "womans" not in weight
    assert weight["hoodie"] == weight["selfie"] > weight["hoodies"] > weight["casket box"]
    assert any(phrase.split(" ")[0] in words.ADJECTIVES for phrase in said if phrase not in wordnet.nouns())
    assert words.phrases(40) == (said, weights)


def test_the_target_of_a_noun_moves_towards_its_definition_and_its_synonyms():
    said = ["sofa", "couch", "sofas", "red sofa"]
    definition = torch.tensor([0.0, 0.0, 0.0, 0.0, 1.0])

    def teacher(texts: list[str]) -> torch.Tensor:
        return torch.stack([torch.eye(5)[said.index(text)] if text in said else definition for text in texts])

    moved = words.meanings(said, teacher)
    assert torch.equal(moved[3], torch.eye(5)[3])
    half, rest = words.SYNONYMS_SHARE / 2, 1 - words.GLOSS_SHARE - words.SYNONYMS_SHARE
    expected = torch.tensor([rest + half, half, 0.0, 0.0, words.GLOSS_SHARE])
    torch.testing.assert_close(moved[0], F.normalize(expected, dim=0))
    third = words.SYNONYMS_SHARE / 3  # a plural has the synonyms of its noun, and stays nearer to itself
    expected = torch.tensor([third, third, third + rest, 0.0, words.GLOSS_SHARE])
    torch.testing.assert_close(moved[2], F.normalize(expected, dim=0))


def test_a_continued_text_tower_keeps_the_words_that_the_image_tower_learned(monkeypatch):
    texts = ["sofa", "casket box", "left out"]  # the first is a class of the masks
    assert {"sofa", "dog", "goldfish"} <= words.learned()
    assert "casket box" not in words.learned()
    start, wanted = tower.shipped_text(), {}

    def loss(said, targets, ids):
        wanted.update(zip(ids.tolist(), targets, strict=True))
        return said.sum() * 0

    monkeypatch.setattr(text, "distil_loss", loss)
    monkeypatch.setattr(text, "UNSEEN", 1)
    monkeypatch.setattr(torch, "randperm", lambda count: torch.arange(count).flip(0))
    new = F.normalize(torch.ones(3, 256), dim=1)
    data = {
        "words": texts,
        "weights": torch.tensor([4.0, 1.0, 1.0]),
        "targets": new,
        "ids": words.token_ids(texts)[:, :4],
    }
    before = text.embed(start, text.Sentences(data["ids"], "cpu"), torch.arange(3), TEMPLATES["simple7"])
    drawn, chances = [], [*words.continued(texts, data["weights"]).tolist()[:2], 0.0]  # the last is left out
    multinomial = torch.multinomial
    monkeypatch.setattr(
        torch,
        "multinomial",
        lambda chances, *rest, **how: drawn.append(chances.clone()) or multinomial(chances, *rest, **how),
    )
    rates = []

    class Recorder(torch.optim.AdamW):
        def step(self, *args, **named):
            rates.append([group["lr"] for group in self.param_groups])
            return super().step(*args, **named)

    monkeypatch.setattr(torch.optim, "AdamW", Recorder)
    text.train(data, 0.01, "cpu", 16, 1e-4, start)
    assert rates[0][0] == pytest.approx(text.FASTER * rates[0][1])  # the token embedding
    assert drawn[0].tolist() == pytest.approx(chances)
    torch.testing.assert_close(wanted[0], before[0])
    torch.testing.assert_close(wanted[1], new[1])


def test_new_tokens_are_learned_and_nothing_else_changes(monkeypatch):
    ticks = itertools.count()
    monkeypatch.setattr(text, "time", SimpleNamespace(monotonic=lambda: next(ticks)))  # a step a second
    texts = ["sofa", "cow boat", "boat"]
    ids = words.token_ids(texts)[:, :4]
    start = tower.shipped_text()
    left_out = int(ids[0, 0])
    with torch.no_grad():
        start.token_embedding.weight[left_out] = 0
    zero = (start.token_embedding.weight == 0).all(1)
    before = {name: value.clone() for name, value in start.state_dict().items()}
    sentences = text.Sentences(ids, "cpu")
    known = text.embed(start, sentences, torch.tensor([1, 2]), TEMPLATES["simple7"])
    target = F.normalize(torch.ones(1, 256), dim=1)
    data = {"words": texts, "weights": torch.ones(3), "targets": target.repeat(3, 1), "ids": ids}
    model = text.train(data, 1 / 4, "cpu", 4, 0.1, start, new_tokens=True)  # 15 steps
    for name, value in model.state_dict().items():
        if name == EMBEDDING:
            assert torch.equal(value[~zero], before[name][~zero])
        else:
            assert torch.equal(value, before[name])
    learned = text.embed(model, sentences, torch.arange(3), TEMPLATES["simple7"])
    torch.testing.assert_close(learned[1:], known)
    assert float(learned[0] @ target[0]) > 0.4
    with pytest.raises(SystemExit, match="expected words with tokens that the text tower leaves out"):
        text.train({**data, "ids": ids[1:]}, 2, "cpu", 8, 1e-2, model, new_tokens=True)


def test_synonyms_are_pairs_of_different_words_and_the_nearest_is_found():
    firsts, seconds = synonyms.read_pairs()
    assert len({*firsts, *seconds}) == len(firsts) + len(seconds) >= 400
    assert synonyms.nearest(tower.shipped_text(), ["table", "sofa"], ["couch"]).tolist() == [1]


def test_distillation_wants_the_target_and_no_rival():
    wanted = torch.eye(4)
    ids = torch.tensor([0, 1, 2, 3])
    right, wrong = text.distil_loss(wanted, wanted, ids), text.distil_loss(wanted.roll(1, 0), wanted, ids)
    assert float(right) < 0.01 < 2 < float(wrong)
    twice = torch.eye(4)[[0, 0, 1, 2]]
    assert float(text.distil_loss(twice, twice, torch.tensor([0, 0, 1, 2]))) < 0.4  # equal words are no negatives


# --- the image tower ---


class Teacher(torch.nn.Module):
    """Stub of EfficientNet: fixed weights, answers that depend on the colours of a picture."""

    def __init__(self, weights: object = None) -> None:
        super().__init__()
        self.rows = torch.nn.Linear(3, 1000)
        torch.nn.init.normal_(self.rows.weight, generator=torch.Generator().manual_seed(0))

    @torch.no_grad()
    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.rows(pixels.mean((2, 3)) * 5).softmax(-1)


@pytest.fixture(scope="module")
def losses(photographs):
    """Losses with random word vectors, because the text tower needs seconds for a thousand names."""

    def rows(model, sentences, index, templates):
        generator = torch.Generator().manual_seed(len(index))
        return F.normalize(torch.randn(len(index), 256, generator=generator), dim=-1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image, "embed", rows)
        yield image.Losses(image.Words(None, photographs.vocabulary, "cpu"), photographs)


@pytest.fixture(scope="module")
def shipped():
    return tower.shipped_visual()


@pytest.fixture
def seeded():
    torch.manual_seed(0)
    random.seed(0)


def test_one_step_changes_the_image_tower_and_nothing_else(photographs, losses, seeded, shipped):
    teacher, visual = Teacher(), tower.new_visual(shipped)
    learner = image.Learner(visual, 1e-3)
    vectors = {name: value.clone() for name, value in vars(losses.words).items() if isinstance(value, torch.Tensor)}
    fixed = {"teacher": teacher.rows.weight.clone(), "pixels": photographs.pixels.clone()}
    before = {name: value.detach().clone() for name, value in visual.named_parameters()}
    drawn = image.draw(crops.CropSource(photographs), 2)
    assert {name: len(part.index) for name, part in drawn.items()} == {"plain": 2, "said": 1, "scenes": 2}
    found = image.step_losses(visual, losses, teacher, drawn, mixed=False)
    assert set(found) == set(image.WEIGHTS)
    assert all(torch.isfinite(value) and value >= 0 for value in found.values())
    learner.step(found, 0.0)
    assert all(not torch.equal(value, before[name]) for name, value in visual.named_parameters())
    for name, value in learner.average.named_parameters():  # between the old and the new weights
        torch.testing.assert_close(value, before[name].lerp(dict(visual.named_parameters())[name], 20 / 21))
    assert all(torch.equal(value, vars(losses.words)[name]) for name, value in vectors.items())
    assert torch.equal(fixed["teacher"], teacher.rows.weight)
    assert torch.equal(fixed["pixels"], photographs.pixels)


def test_only_cls_answers(photographs, losses, seeded, shipped, monkeypatch):
    asked = []
    monkeypatch.setattr(image, "cls_of", lambda *given: asked.append(tower.cls_of(*given)) or asked[-1])
    drawn = image.draw(crops.CropSource(photographs), 2)
    image.step_losses(tower.new_visual(shipped), losses, Teacher(), drawn, mixed=False)
    # [CLS] of each whole crop, of one part of a photograph and of four parts of a scene.
    assert sorted(tuple(rows.shape[:2]) for rows in asked) == [(1, 1), (2, 1), (2, 1), (2, 1), (2, 4)]


def test_cls_is_what_the_tower_says_and_of_a_part_only_that_part(shipped):
    torch.manual_seed(0)
    visual, pixels = tower.new_visual(shipped).eval(), torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        tokens = tower.last_tokens(visual, pixels)
        whole = tower.cls_of(visual, tokens)
        torch.testing.assert_close(whole[:, 0], F.normalize(visual(pixels), dim=-1), atol=1e-5, rtol=1e-4)
        box = torch.tensor([[[0, 0, 14, 14], [2, 3, 4, 5]]]).expand(2, -1, -1)
        seen = crops.inside(box, 14)
        assert seen.sum(-1).tolist() == [[196, 20]] * 2
        assert seen[0, 1].view(14, 14)[2:6, 3:8].all()
        both = tower.cls_of(visual, tokens, seen)
        torch.testing.assert_close(both[:, :1], whole, atol=1e-5, rtol=1e-4)
        tokens[:, 1:][~seen[:, 1]] += 1.0  # tokens outside of the part have no effect
        torch.testing.assert_close(tower.cls_of(visual, tokens, seen[:, 1:]), both[:, 1:], atol=1e-5, rtol=1e-4)


def test_parts_lie_on_the_grid_and_are_cut_out_of_pictures():
    torch.manual_seed(0)
    box = crops.parts(200, 3, 3, 10, 14, torch.device("cpu"))
    assert box[..., 2:].min() == 3
    assert box[..., 2:].max() == 10
    assert box[..., :2].min() == 0
    assert (box[..., :2] + box[..., 2:]).max() == 14
    across = torch.arange(224.0).expand(1, 3, 224, 224)
    found = crops.cut(across, 16 * torch.tensor([[2, 3, 4, 5]]), 80)
    torch.testing.assert_close(found[0, 0, 0], torch.arange(48.0, 128.0), atol=1e-3, rtol=0)


def test_what_nobody_said_may_be_there_all_the_same():
    shares = torch.zeros(4, len(CLASSES))
    shares[0, DOG], shares[1, PERSON], shares[2, FACE], shares[3, GRASS] = 0.6, 0.95, 0.3, 0.5
    whole = torch.tensor([True, True, False, True])
    found = image.maybe_there(shares > 0, 1 - shares.sum(1), whole)
    assert found[0, [GRASS, SKY]].all()  # much of the crop is unlabelled, so ground may be present
    assert not found[0, [PERSON, FACE, DOG]].any()
    beside = [CLASSES[index][0] for index in found[1].nonzero()[:, 0]]
    assert set(beside) == {"face", "hair", "hand", "hat", "shirt", "glasses", "helmet", "mask"}
    assert found[3, len(SCENE_CLASSES) :].all()  # masks of scenes do not label these classes
    assert found[2, PERSON]
    assert not found[3, GRASS]
    assert found[3, SKY]


def test_parts_and_other_names_of_a_class_are_listed_and_labels_fit_a_byte():
    words = [group[0] for group in CLASSES]
    assert crops.BESIDE[words.index("tree"), words.index("leaf")]
    assert not crops.BESIDE[words.index("tree"), words.index("dog")]
    assert not crops.BESIDE.diagonal().any()
    assert len(CLASSES) <= 255, "labels of masks are bytes, and 0 is not known"


def test_a_cut_through_wordnet_gives_every_class_one_word(losses, seeded):
    sizes = set()
    for _ in range(20):
        owner, vectors = losses.words.cut()
        assert owner.shape == (1000,)
        assert owner.unique().tolist() == list(range(len(vectors)))
        sizes.add(len(vectors))
        classes = wordnet.wnids().index("n02085620"), wordnet.wnids().index("n02085782")
        merged = owner[classes[0]] == owner[classes[1]]
        assert merged or torch.equal(vectors[owner[classes[0]]], losses.words.names[classes[0]])
    assert len(sizes) > 1


SHORT = {"start": None, "teacher": None, "device": "cpu", "seed": 0, "minutes": 0.005, "batch": 2, "rate": 1e-3}


@pytest.mark.parametrize("sets", ["everything", "photographs", "scenes"])
def test_a_short_run_writes_an_image_tower(losses, monkeypatch, capsys, tmp_path, sets, shipped):
    files = ten_pictures()
    if sets != "everything":
        files = {path: data for path, data in files.items() if path.startswith("scenes/") == (sets == "scenes")}
        files = {path: data for path, data in files.items() if not path.endswith(".json")}
    photographs = read(write(tmp_path / "photographs", files))
    monkeypatch.setattr(image, "PictureTeacher", Teacher)
    monkeypatch.setattr(image, "shipped_visual", lambda: shipped)
    monkeypatch.setattr(image, "embed", lambda m, s, index, t: F.normalize(torch.randn(len(index), 256), dim=-1))
    arguments = argparse.Namespace(**SHORT, every=0.0, output=tmp_path / "visual.pt")
    state = image.train(arguments, photographs, torch.nn.Identity())
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[-1]["end"]
    assert ("recovery_miou" in lines[-1]) == (sets != "photographs")
    assert ("top1" in lines[-1]) == (sets != "scenes")
    assert set(tower.read_visual(arguments.output)) == set(state) == set(shipped)
    assert all(torch.isfinite(value).all() for value in state.values())


def test_photographs_that_are_all_held_out_teach_nothing(monkeypatch, tmp_path, losses, shipped):
    files = {path: data for path, data in ten_pictures().items() if path.startswith("scenes/10.")}
    monkeypatch.setattr(image, "PictureTeacher", Teacher)
    monkeypatch.setattr(image, "shipped_visual", lambda: shipped)
    monkeypatch.setattr(image, "embed", lambda m, s, index, t: torch.zeros(len(index), 256))
    arguments = argparse.Namespace(**SHORT, every=0.1, output=tmp_path / "visual.pt")
    with pytest.raises(SystemExit, match="held out"):
        image.train(arguments, read(write(tmp_path, files)), torch.nn.Identity())


@pytest.mark.parametrize("factor", [0.4, 0.7, 2.0])
def test_a_factor_keeps_every_block_but_the_last_as_it_is(factor, shipped):
    torch.manual_seed(0)
    state = tower.rescaled(shipped, 3)  # near DeiT's own scale; at nano's the epsilon of LayerNorm is noticeable
    pixels = torch.randn(1, 3, 224, 224)
    maps, ends = [], []
    for weights in (state, tower.rescaled(state, factor)):
        visual = tower.new_visual(weights).eval()
        with torch.no_grad():
            tokens, found = tower.first_tokens(visual, pixels), []
            for block in visual.transformer.resblocks:
                p = project(block, tokens)
                found.append((p.q @ p.k.transpose(-1, -2) * p.q.shape[-1] ** -0.5).softmax(-1))
                entered, tokens = tokens, block(tokens)
        maps.append(torch.stack(found))
        ends.append((entered, tokens))
    torch.testing.assert_close(maps[0], maps[1], atol=2e-3, rtol=0)
    torch.testing.assert_close(ends[0][0] * factor, ends[1][0], atol=1e-2, rtol=1e-2)
    assert F.cosine_similarity(ends[0][1], ends[1][1], dim=-1).mean() < 0.999  # the last block does change


def test_sharper_attention_multiplies_the_scores_and_larger_values_only_those_of_values(shipped):
    torch.manual_seed(0)
    pixels = torch.randn(1, 3, 224, 224)

    def last(weights):
        visual = tower.new_visual(weights).eval()
        with torch.no_grad():
            p = project(visual.transformer.resblocks[-1], tower.last_tokens(visual, pixels))
            return p, visual(pixels), tower.rungs(visual, pixels)

    (before, cls, rungs), (sharp, _, _) = last(shipped), last(tower.sharpened(shipped, {12: 1.5}, {}))
    for name, factor in {"q": 1.5, "k": 1.5, "v": 1.0}.items():
        torch.testing.assert_close(getattr(sharp, name), getattr(before, name) * factor, atol=1e-4, rtol=1e-4)
    larger, same_cls, other_rungs = last(tower.sharpened(shipped, {}, {12: 2.0}))
    torch.testing.assert_close(larger.v, before.v * 2, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(same_cls, cls, atol=1e-4, rtol=1e-3)
    for rung in ("clip", "clearclip"):
        torch.testing.assert_close(other_rungs[rung], rungs[rung], atol=1e-4, rtol=1e-3)
    assert (other_rungs["recovery"] - rungs["recovery"]).abs().max() > 0.01
    whole, once = last(tower.sharpened(shipped, {8: 1.2}, {})), tower.sharpened(shipped, {8: 1.2}, {8: 1.0})
    assert (whole[1] - cls).abs().max() > 1e-3  # an earlier block changes [CLS] too
    assert {name for name in shipped if not torch.equal(shipped[name], once[name])} == {
        f"transformer.resblocks.7.attn.in_proj_{part}" for part in ("weight", "bias")
    }


@pytest.mark.parametrize(("rung", "method"), [("clip", "clip"), ("recovery", "cliptrase"), ("clearclip", "clearclip")])
def test_rungs_are_what_the_program_gives(nano, rung, method, shipped):
    pixels = np.array(Image.open(io.BytesIO(scene(DOG, 5)[0])).resize((224, 224)))
    said = ["dog", "grass", "sky", "sofa"]
    encoding, visual = nano.encode(pixels), tower.new_visual(shipped).eval()
    assert encoding.grid == (14, 14)
    patches = tower.rungs(visual, crops.normalised(torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255))[rung][0]
    cosines = (patches @ nano.embed_words(said).T).T.view(4, 14, 14)
    scores = nano.scores(encoding, said, method=method, templates="simple7")
    torch.testing.assert_close(cosines, scores.logits / scores.scale, atol=1e-3, rtol=0)
    labels = F.interpolate(cosines[None], (224, 224), mode="bilinear").argmax(1)[0].numpy()
    theirs = nano.segment(encoding, said, method=method, templates="simple7", vote=False).labels
    assert (labels == theirs).mean() > 0.995


@pytest.mark.parametrize("masked", [{"scenes/20"}, set()])
def test_a_ladder_needs_a_mask_for_scenes_and_none_for_classes(photographs, shipped, masked):
    names = [name.replace("scenes/10", "scenes/40") for name in photographs.names]
    p = dataclasses.replace(photographs, names=names, masked=photographs.masked.clone())
    for name in {"scenes/20", "scenes/40"} - masked:
        p.masked[names.index(name)] = -1
    width = shipped["proj"].shape[1]
    check = ladder.QuickLadder(p, [torch.eye(38, width)[i : i + 1] for i in range(38)])
    assert len(check.pixels) == len(check.truths) == len(masked)
    found = check(tower.new_visual(shipped), names=torch.eye(1000, width))
    assert {name.split("_")[0] for name in found} == {"top1", *(("clip", "recovery", "clearclip") if masked else ())}


def test_scores_of_a_ladder_by_hand():
    labels, truths = torch.tensor([[0, 0, 1, 2]]), torch.tensor([[0, 1, 1, -1]])
    pixels, miou = ladder.scores(labels, truths, 3)
    assert pixels == pytest.approx(200 / 3)
    assert miou == pytest.approx(50.0)  # IoU 1/2 and 1/2; the third class does not occur


# --- packing, schedule ---


def test_a_packed_text_tower_is_read_back_without_unused_rows():
    torch.manual_seed(0)
    state = {name: value for name, value in tower.new_model().state_dict().items() if not name.startswith("visual")}
    rows = torch.tensor([3, 7, 49407])
    packed = packing.packed_text({**state, "attn_mask": torch.zeros(77, 77)}, rows)
    assert "attn_mask" not in packed
    found = unpack(packed, 49408)
    half_step = float(state["text_projection"].abs().max()) / 250
    torch.testing.assert_close(found["text_projection"], state["text_projection"], atol=half_step, rtol=0)
    torch.testing.assert_close(found[EMBEDDING][rows], state[EMBEDDING][rows], atol=1e-3, rtol=0.02)
    assert not found[EMBEDDING][5].any()


def test_rows_of_the_rarest_tokens_go_first(monkeypatch):
    said = ["zyzzyva", "xylem", "dog"]
    table, weights = words.token_ids(said), torch.tensor([0.5, 2.0, 9.0])
    ids = {word: set(open_clip.tokenize(word).flatten().tolist()) - {0} for word in (*said, "a photo of")}
    rows = words.used_rows(table, weights)
    assert torch.equal(rows, rows.unique())
    assert set().union(*ids.values()) <= set(rows.tolist())
    rare = ids["zyzzyva"] - ids["xylem"] - ids["dog"] - ids["a photo of"]
    monkeypatch.setattr(words, "MOST", len(rows) - len(rare))
    fewer = set(words.used_rows(table, weights).tolist())
    assert len(fewer) == words.MOST
    assert ids["xylem"] | ids["dog"] | ids["a photo of"] <= fewer
    assert not rare & fewer


def test_a_plural_has_no_plural(monkeypatch):
    monkeypatch.setattr(words, "everyday", lambda index: {"sofas": 4.0, "children": 4.0, "sofa": 4.0})
    said, _ = words.phrases(200)
    assert "sofas" in said
    assert not [phrase for phrase in said if "sofases" in phrase or "childrens" in phrase]


def test_new_phrases_have_a_new_token_and_none_that_stays_out():
    said = ["dog", "hoodie", "dog in a hoodie", "zyzzyva", "hoodie and zyzzyva", "hoodie and yeti"]
    stored = words.token_ids(["dog in a and yeti"]).unique()
    rows = words.token_ids(["dog in a hoodie and"]).unique()  # yeti leaves the file
    assert words.with_new_tokens(words.token_ids(said), rows, stored) == [1, 2]


def test_new_phrases_are_written_alone_but_with_the_rows_of_all(tmp_path, monkeypatch):
    said, stored = ["sofa", "couch", "couches", "hoodie"], ["sofa"]
    monkeypatch.setattr(words, "phrases", lambda composed: (said, [2.0, 1.0, 1.0, 1.0]))
    monkeypatch.setattr(words, "load_file", lambda file: {ROWS: words.token_ids(stored).unique()})
    monkeypatch.setattr(words, "WordTeacher", lambda device, folder: lambda texts: torch.eye(256)[: len(texts)])
    monkeypatch.setattr("sys.argv", ["words", "--new-tokens", "--output", str(tmp_path / "words.pt")])
    words.main()
    found = torch.load(tmp_path / "words.pt", weights_only=True)
    assert found["words"] == said[1:]
    assert [len(found[name]) for name in ("weights", "targets", "ids")] == [3, 3, 3]
    assert set(words.token_ids(said).flatten().tolist()) - {0} <= set(found["rows"].tolist())
    couch, couches, hoodie = found["targets"].float()
    assert couch[3] > 0.1  # the sofa moves it, though it is not among the new phrases
    assert couches[3] > 0.1
    assert torch.equal(hoodie, torch.eye(256)[2])
    stored += said[1:]
    with pytest.raises(SystemExit, match="got none"):
        words.main()


def test_the_rate_rises_then_falls_to_a_fiftieth():
    assert schedule.cosine_rate(2.0, 0.0, 0) == pytest.approx(0.02)
    assert schedule.cosine_rate(2.0, 0.0, 99) == pytest.approx(2.0)
    assert schedule.cosine_rate(2.0, 0.5, 500) == pytest.approx(1.02)
    assert schedule.cosine_rate(2.0, 1.0, 900) == schedule.cosine_rate(2.0, 1.3, 900) == pytest.approx(0.04)


def test_an_average_follows_first_quickly_then_slowly():
    average, model = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    for value, number in ((average, 0.0), (model, 1.0)):
        for part in value.parameters():
            torch.nn.init.constant_(part, number)
    schedule.follow(average, model, 0)
    assert torch.equal(average.weight, model.weight)
    torch.nn.init.constant_(model.weight, 2.0)
    schedule.follow(average, model, 10**6)
    torch.testing.assert_close(average.weight, torch.full((2, 2), 1.0 + 1 - schedule.LONGEST))


# --- sam-nano ---


def test_segments_are_components_of_one_class():
    labels = np.zeros((40, 40), np.uint8)
    labels[:10, :10], labels[20:32, 20:32], labels[38:, 38:], labels[12:30, :10] = 1, 1, 1, 2
    masks = prompting.segments(np.random.default_rng(0), labels, 40)
    assert masks.shape == (40, 40, 40)
    assert {int(mask.sum()) for mask in masks} == {100, 144, 180}  # not the component of 4 pixels
    assert all(len(np.unique(labels[mask])) == 1 for mask in masks)
    assert prompting.segments(np.random.default_rng(0), np.zeros((9, 9), np.uint8), 2) is None


def test_crops_for_sam_keep_picture_and_mask_together():
    rng, shapes = np.random.default_rng(0), set()
    for _ in range(8):
        pixels, labels = prompting.cut(rng, *scene(DOG, 1), 96)
        assert pixels.shape[:2] == labels.shape
        assert max(labels.shape) == 96
        shapes.add(labels.shape)
        frame = prompting.framed(pixels, 96, (1, 2, 3))
        assert frame.shape == (96, 96, 3)
        assert np.array_equal(frame[: labels.shape[0], : labels.shape[1]], pixels)
        assert (frame[labels.shape[0] :] == (1, 2, 3)).all()
        named = np.select([labels == DOG + 1, labels == GRASS + 1], [0, 1], 2)
        assert (pixels.argmax(2) == named).mean() > 0.95
    assert len(shapes) > 4


def test_boxes_and_points_lie_on_their_masks():
    torch.manual_seed(0)
    truth = torch.zeros(3, 32, 32, dtype=torch.bool)
    truth[:, 4:10, 6:20] = True
    assert prompting.boxes(truth, jitter=0)[0].tolist() == [6, 4, 20, 10]
    points = prompting.random_points(truth)
    assert ((points[:, 0] > 6) & (points[:, 0] < 20) & (points[:, 1] > 4) & (points[:, 1] < 10)).all()
    nothing, everything = torch.full((3, 32, 32), -1.0), torch.full((3, 32, 32), 1.0)
    assert prompting.corrections(nothing, truth)[1].tolist() == [1, 1, 1]
    assert prompting.corrections(everything, truth)[1].tolist() == [0, 0, 0]


def test_a_coarse_map_is_a_rough_copy_of_the_truth():
    torch.manual_seed(0)
    truth = torch.zeros(16, 128, 128, dtype=torch.bool)
    truth[:, 32:96, 16:80] = True
    coarse = prompting.coarse_map(truth)
    assert coarse.shape == (16, 1, 32, 32)
    assert coarse.abs().max() <= prompting.SURE
    right = ((coarse[:, 0] > 0) == truth[:, ::4, ::4]).float().mean((1, 2))
    assert 0.7 < right.mean() < 0.99


def test_of_several_answers_only_the_best_counts():
    truth = torch.zeros(1, 4, 4)
    truth[:, :2] = 1
    good, bad = (truth * 2 - 1) * 9, (1 - truth * 2) * 9
    logits = torch.stack([bad, bad, good, bad], dim=1)
    assert mask_losses.true_iou(logits, truth).tolist() == [[0, 0, 1, 0]]
    loss, chosen = mask_losses.answer_loss(logits, torch.tensor([[0.0, 0, 1, 0]]), truth, several=True)
    assert chosen.tolist() == [2]
    assert float(loss) < 0.01
    assert float(mask_losses.answer_loss(logits, torch.zeros(1, 4), truth, several=False)[0]) > 1


def small_sam(image_size: int, width: int):
    pytest.importorskip("segment_anything")
    from cliptrase_core.refine.sam import build_sam

    torch.manual_seed(0)
    return build_sam({"image_size": image_size, "width": width, "depth": 1, "heads": 2, "decoder_width": 32})


def test_a_window_as_large_as_the_frame_is_sam_itself():
    from assets.training.windowed import Window, decode, encode

    sam = small_sam(64, 32).eval()
    picture = torch.randint(0, 256, (64, 64, 3), dtype=torch.uint8)
    box = torch.tensor([[8.0, 8, 40, 50]])
    with torch.no_grad():
        embedding = encode(sam, picture[None], Window(0, 0, 4))
        ours, _ = decode(sam, embedding, Window(0, 0, 4), points=None, box=box, mask=None)
        [theirs] = sam([{"image": picture.permute(2, 0, 1).float(), "original_size": (64, 64), "boxes": box}], False)
    torch.testing.assert_close(ours[:, :1], theirs["low_res_logits"], atol=1e-4, rtol=1e-4)


def test_the_prompts_of_two_pictures_are_answered_as_one_by_one():
    from assets.training.windowed import Window, decode

    sam = small_sam(96, 48)
    window, embedding = Window(1, 2, 4), torch.randn(2, 32, 4, 4)
    box = torch.rand(6, 2).mul(30).repeat(1, 2) + torch.tensor([0.0, 0, 20, 25])
    ask = {"points": None, "mask": None}
    with torch.no_grad():
        together, _ = decode(sam, embedding, window, box=box, **ask)
        apart = [decode(sam, embedding[i : i + 1], window, box=box[3 * i : 3 * i + 3], **ask)[0] for i in (0, 1)]
    torch.testing.assert_close(together, torch.cat(apart), atol=1e-4, rtol=1e-4)


def test_sam_is_trained_without_further_processes_too(folder, tmp_path, monkeypatch):
    from assets.training import sam

    monkeypatch.setattr(sam, "load_sam", lambda name: SimpleNamespace(model=small_sam(96, 48)))
    how = {"minutes": 0.001, "batch": 1, "size": 64, "rate": 1e-4, "workers": 0, "device": "cpu", "start": None}
    trained = sam.train(argparse.Namespace(photos=folder, output=tmp_path / "sam.pt", **how))
    assert trained.keys() == small_sam(96, 48).state_dict().keys()


def test_a_small_sam_learns_segments_in_a_few_steps(folder):
    model = small_sam(96, 48)
    from assets.training.sam import PROMPTS, Scenes, batch_loss

    images, truths = next(iter(Scenes(read_scenes(folder), 64, 2)))
    assert images.shape == (2, 64, 64, 3)
    assert truths.shape == (2, PROMPTS, 64, 64)
    assert truths.any((2, 3)).all()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    curve = []
    for _ in range(12):
        loss, _ = batch_loss(model, images, truths)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        curve.append(float(loss.detach()))
    assert np.mean(curve[-3:]) < 0.85 * np.mean(curve[:3])
