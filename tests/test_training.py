"""The training code of both embedded models in miniature: objectives by hand, and that a short run learns something."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from assets.training import average_gradients, learning_rate, resume, save
from cliptrase_core.scenes.compose import SceneSettings, compose
from cliptrase_core.scenes.stuff import STUFF, ground
from cliptrase_core.storage import pack, unpack
from tests.test_scenes import shapes

ASSETS = Path(__file__).parents[1] / "assets"
TINY = {
    "embed_dim": 16,
    "quick_gelu": True,
    "vision_cfg": {"layers": 2, "width": 64, "head_width": 32, "patch_size": 16, "image_size": 64},
    "text_cfg": {"context_length": 8, "vocab_size": 16, "width": 16, "heads": 1, "layers": 1},
}


@pytest.fixture
def nano_training(monkeypatch):
    monkeypatch.syspath_prepend(str(ASSETS / "nano" / "train"))


@pytest.fixture
def sam_training(monkeypatch):
    pytest.importorskip("segment_anything")
    monkeypatch.syspath_prepend(str(ASSETS / "sam-nano" / "train"))


@pytest.fixture
def restyling(monkeypatch):
    monkeypatch.syspath_prepend(str(ASSETS / "sprites"))


# --- storage ---


def test_eight_bits_give_back_what_was_stored_within_half_a_step():
    torch.manual_seed(0)
    state = {"weight": torch.randn(64, 128), "bias": torch.randn(64), "pos_embed": torch.randn(1, 40, 40, 4)}
    packed = pack(state)
    assert packed["weight"].dtype == torch.int8
    assert packed["bias"].dtype == packed["pos_embed"].dtype == torch.float16
    restored = unpack(packed)
    step = state["weight"].abs().amax(1, keepdim=True) / 127
    assert ((restored["weight"] - state["weight"]).abs() <= 0.52 * step + 1e-6).all()
    torch.testing.assert_close(restored["bias"], state["bias"], atol=2e-3, rtol=1e-3)


# --- nano: words ---


def test_word_targets_are_centred_and_projected(nano_training):
    from words import targets

    torch.manual_seed(0)
    rows, mean, directions = torch.randn(5, 24), torch.randn(24), torch.linalg.qr(torch.randn(24, 8))[0]
    found = targets(rows, {"mean": mean, "directions": directions})
    torch.testing.assert_close(found.norm(dim=1), torch.ones(5))
    expected = (rows[2] - mean) @ directions
    torch.testing.assert_close(found[2], expected / expected.norm())


def test_held_out_synonyms_are_many_and_name_known_classes(nano_training):
    from words import class_names

    pairs = json.loads((ASSETS / "nano" / "train" / "synonyms.json").read_text(encoding="utf-8"))
    names = set(class_names())
    assert len({pair["word"] for pair in pairs}) == len(pairs) >= 100
    assert all(pair["class"] in names and pair["word"] not in names for pair in pairs)


# --- nano: image tower ---


def test_words_of_a_picture_are_what_covers_enough_of_it(nano_training):
    from losses import shares_to_words

    words = shares_to_words(torch.tensor([[0.01, 0.3, 0.69, 0.0]]), objects=2)
    assert words.tolist() == [[0, 1, pytest.approx(0.35), 0]]


def test_patches_of_a_part_say_together_what_the_part_alone_says(nano_training):
    from losses import parts_disagree

    said, both = torch.full((1, 4, 4, 3), -20.0), torch.tensor([[1.0, 1.0, 0.0]])
    said[:, :, :2, 0] = said[:, :, 2:, 1] = 20.0  # two columns of patches say word 0, two say word 1
    sure, torn = torch.tensor([[20.0, -20.0, 90.0]]), torch.zeros(1, 3)  # of word 2 the whole picture knows nothing
    assert float(parts_disagree(said, (0, 0, 2), sure, both)) == pytest.approx(0, abs=1e-5)
    assert float(parts_disagree(said, (1, 1, 2), torn, both)) == pytest.approx(0, abs=1e-5)  # a half says each
    apart = float(parts_disagree(said, (0, 0, 2), torn, both))
    assert apart == pytest.approx(-math.log(2) - math.log(1e-7) / 2, rel=1e-3)
    sure.requires_grad_()
    assert not parts_disagree(said, (1, 1, 2), sure, both).requires_grad, "[CLS] teaches, it is not taught"


def test_parts_are_told_what_they_show(nano_training):
    from pictures import batches, cut

    settings = SceneSettings(128, 3, single=(0.5, 1.0), several=(0.3, 0.6))
    first, again = (next(batches(shapes(), settings, (2, 3), 6, 7, workers=0)) for _ in range(2))
    images, shares, boxes = first
    assert images.shape == (6, 128, 128, 3)
    assert shares.shape == (6, 3, 2 + len(STUFF))
    assert torch.allclose(shares.sum(2), torch.ones(6, 3))
    assert list(boxes[0]) == [0, 0, 8]
    assert boxes == again[2]
    assert torch.equal(images, again[0])
    for row, column, side in boxes[1:]:
        assert side in (2, 3)
        assert max(row, column) + side <= 8
    assert torch.equal(cut(images, (1, 2, 3), 1), images[:, 16:64, 32:80])


def test_a_small_picture_gets_the_positions_of_the_window_where_it_lies(nano_training):
    from tower import positions_of

    positions = torch.arange(17.0)[:, None]  # row 0 is [CLS], then 4 x 4
    assert positions_of(positions, 2, (1, 2)).flatten().tolist() == [7, 8, 11, 12]
    assert positions_of(positions, 4, (0, 0)).flatten().tolist() == list(range(1, 17))


def test_the_tower_of_training_computes_what_open_clip_computes(nano_training):
    from tower import look, shipped

    model = shipped()
    pixels = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(look(model.visual, pixels)[0], model.encode_image(pixels), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("parts", [(), (2, 3)])
def test_the_image_tower_learns_two_shapes_in_a_few_steps(nano_training, parts):
    from image import Phase, step, top1
    from pictures import batches
    from tower import fresh

    torch.manual_seed(0)
    model, sprites = fresh(TINY), shapes()
    vectors = torch.linalg.qr(torch.randn(16, 16))[0][: len(sprites.names) + len(STUFF)]
    phase = Phase(320, 16, 2e-3, SceneSettings(64, 1, single=(0.6, 1.0)), parts)
    source = batches(sprites, phase.settings, phase.parts, phase.batch, 0, workers=0)
    optimizer = torch.optim.AdamW(model.visual.parameters(), lr=phase.rate)
    losses = []
    for _ in range(phase.pictures // phase.batch):
        loss, _ = step(model, next(source), vectors, 2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert top1(model, sprites, vectors, np.arange(2)) == 1


def test_the_rate_rises_then_falls_to_a_twentieth():
    assert learning_rate(2.0, 0, 10_000) == pytest.approx(0.02)
    assert learning_rate(2.0, 100, 10_000) == pytest.approx(2.0, rel=1e-2)
    assert learning_rate(2.0, 10_000, 10_000) == pytest.approx(0.1)


def test_gradients_are_averaged_over_processes(monkeypatch):
    weights = [
        torch.nn.Parameter(torch.zeros(2, 3)),
        torch.nn.Parameter(torch.zeros(4)),
        torch.nn.Parameter(torch.ones(1)),
    ]
    weights[0].grad, weights[1].grad = torch.ones(2, 3), torch.arange(4.0)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda total: total.add_(torch.ones(11)))  # another process
    average_gradients(weights, 2)
    assert torch.equal(weights[0].grad, torch.ones(2, 3))
    assert torch.equal(weights[1].grad, (torch.arange(4.0) + 1) / 2)
    assert torch.equal(weights[2].grad, torch.full((1,), 0.5))  # used by the other process alone


def test_a_run_resumes_where_it_was_saved(tmp_path):
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    save(tmp_path / "phase.pt", model, optimizer, 640)
    other = torch.nn.Linear(3, 2)
    assert resume(tmp_path / "none.pt", other, torch.optim.AdamW(other.parameters()), "cpu") == 0
    assert resume(tmp_path / "phase.pt", other, torch.optim.AdamW(other.parameters()), "cpu") == 640
    assert torch.equal(other.weight, model.weight)


# --- nano: text tower ---


def test_the_text_tower_comes_closer_to_its_targets(nano_training):
    from text import distil_loss, encode, tokenised
    from tower import shipped

    torch.manual_seed(0)
    model, rng = shipped(), np.random.default_rng(0)
    words = ["zeppelin", "cathedral", "walrus", "trombone"]
    vectors, ids = torch.nn.functional.normalize(torch.randn(4, 256), dim=1), torch.arange(4)
    weights = [value for name, value in model.named_parameters() if not name.startswith("visual")]
    optimizer = torch.optim.AdamW(weights, lr=1e-3)
    losses = []
    for _ in range(8):
        loss = distil_loss(encode(model, tokenised(words, rng)), vectors, ids)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]


def test_a_checkpoint_gives_one_of_its_towers(nano_training):
    from tower import fresh, take_tower

    model, other = fresh(TINY), fresh(TINY).state_dict()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    take_tower(model, other, image=True)
    assert torch.equal(model.state_dict()["visual.proj"], other["visual.proj"])
    assert torch.equal(model.state_dict()["text_projection"], before["text_projection"])
    take_tower(model, other, image=False)
    assert torch.equal(model.state_dict()["text_projection"], other["text_projection"])


def test_a_packed_checkpoint_is_read_back_without_unused_rows(nano_training):
    from pack import packed_state
    from tower import fresh

    from cliptrase_core.nano import EMBEDDING, unpack

    torch.manual_seed(0)
    model, rows = fresh().state_dict(), torch.tensor([3, 7, 49407])
    state = unpack(packed_state(model, rows), 49408)
    for name in ("visual.proj", "text_projection"):
        half_step = float(model[name].abs().max()) / 250
        torch.testing.assert_close(state[name], model[name], atol=half_step, rtol=0)
    torch.testing.assert_close(state[EMBEDDING][rows], model[EMBEDDING][rows], atol=1e-3, rtol=0.02)
    assert not state[EMBEDDING][5].any()


def test_rows_of_tokens_that_one_noun_alone_has_go_first(nano_training, monkeypatch):
    import open_clip
    import pack
    from pack import used_rows

    ids = {word: set(open_clip.tokenize(word).flatten().tolist()) for word in ("zyzzyva", "xylem", "dog", "a photo of")}
    assert ids["zyzzyva"] <= set(used_rows(["zyzzyva", "xylem", "xylem vessel"]).tolist())
    monkeypatch.setattr(pack, "MOST", len(used_rows(["xylem", "xylem vessel"])))
    rows = set(used_rows(["zyzzyva", "xylem", "xylem vessel"]).tolist())
    assert not ids["zyzzyva"] <= rows
    assert ids["xylem"] | ids["dog"] | ids["a photo of"] <= rows


# --- sprites ---


def test_restyled_copies_keep_the_shape(restyling):
    from restyle import coloured_in, fit, flat, hollow, line_drawing, outlined, textured

    drawing = np.zeros((128, 128, 4), np.uint8)
    drawing[40:90, 30:100] = (200, 60, 40, 255)
    drawing = fit(drawing)
    shape = drawing[..., 3] > 127
    for step in (outlined, line_drawing, flat, textured, coloured_in, hollow):
        changed = step(np.random.default_rng(0), drawing)[..., 3] > 127
        assert (changed & shape).sum() / (changed | shape).sum() > 0.9, step.__name__


# --- sam-nano ---


def test_boxes_and_points_lie_on_their_masks(sam_training):
    from prompting import boxes, corrections, random_points

    torch.manual_seed(0)
    truth = torch.zeros(3, 32, 32, dtype=torch.bool)
    truth[:, 4:10, 6:20] = True
    assert boxes(truth, jitter=0)[0].tolist() == [6, 4, 20, 10]
    points = random_points(truth)
    assert ((points[:, 0] > 6) & (points[:, 0] < 20) & (points[:, 1] > 4) & (points[:, 1] < 10)).all()
    nothing, everything = torch.full((3, 32, 32), -1.0), torch.full((3, 32, 32), 1.0)
    assert corrections(nothing, truth)[1].tolist() == [1, 1, 1]
    assert corrections(everything, truth)[1].tolist() == [0, 0, 0]


def test_of_several_answers_only_the_best_counts(sam_training):
    from mask_losses import answer_loss, true_iou

    truth = torch.zeros(1, 4, 4)
    truth[:, :2] = 1
    good, bad = (truth * 2 - 1) * 9, (1 - truth * 2) * 9
    logits = torch.stack([bad, bad, good, bad], dim=1)
    assert true_iou(logits, truth).tolist() == [[0, 0, 1, 0]]
    loss, chosen = answer_loss(logits, torch.tensor([[0.0, 0, 1, 0]]), truth, several=True)
    assert chosen.tolist() == [2]
    assert float(loss) < 0.01
    assert float(answer_loss(logits, torch.zeros(1, 4), truth, several=False)[0]) > 1


def test_a_window_as_large_as_the_frame_is_sam_itself(sam_training):
    from windowed import Window, decode, encode

    from cliptrase_core.refine.sam import build_sam

    torch.manual_seed(0)
    sam = build_sam({"image_size": 64, "width": 32, "depth": 1, "heads": 2, "decoder_width": 32}).eval()
    image = torch.randint(0, 256, (64, 64, 3), dtype=torch.uint8)
    box = torch.tensor([[8.0, 8, 40, 50]])
    with torch.no_grad():
        embedding = encode(sam, image[None], Window(0, 0, 4))
        ours, _ = decode(sam, embedding, Window(0, 0, 4), points=None, box=box, mask=None)
        [theirs] = sam([{"image": image.permute(2, 0, 1).float(), "original_size": (64, 64), "boxes": box}], False)
    torch.testing.assert_close(ours[:, :1], theirs["low_res_logits"], atol=1e-4, rtol=1e-4)


def test_the_prompts_of_two_pictures_are_answered_as_one_by_one(sam_training):
    from windowed import Window, decode

    from cliptrase_core.refine.sam import build_sam

    torch.manual_seed(0)
    sam = build_sam({"image_size": 96, "width": 48, "depth": 1, "heads": 2, "decoder_width": 32})
    window, embedding = Window(1, 2, 4), torch.randn(2, 32, 4, 4)
    box = torch.rand(6, 2).mul(30).repeat(1, 2) + torch.tensor([0.0, 0, 20, 25])
    ask = {"points": None, "mask": None}
    with torch.no_grad():
        together, _ = decode(sam, embedding, window, box=box, **ask)
        apart = [decode(sam, embedding[i : i + 1], window, box=box[3 * i : 3 * i + 3], **ask)[0] for i in (0, 1)]
    torch.testing.assert_close(together, torch.cat(apart), atol=1e-4, rtol=1e-4)


def test_a_small_sam_learns_in_a_few_steps(sam_training):
    from prompting import segments
    from train import batch_loss

    from cliptrase_core.refine.sam import build_sam

    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    sam = build_sam({"image_size": 96, "width": 48, "depth": 1, "heads": 2, "decoder_width": 32})
    stock = ground(rng, 2, 96)
    scenes = [compose(rng, shapes(), stock, SceneSettings(64, 2)) for _ in range(2)]
    truths = torch.from_numpy(np.stack([segments(rng, scene, 2) for scene in scenes]))
    images = torch.from_numpy(np.stack([scene.image for scene in scenes]))
    optimizer = torch.optim.AdamW(sam.parameters(), lr=3e-3)
    losses = []
    for _ in range(12):
        loss, _ = batch_loss(sam, images, truths)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-3:]) < 0.85 * np.mean(losses[:3])


def test_oblong_scenes_keep_their_upper_left_corner_and_are_padded_to_the_square(sam_training):
    from prompting import framed, oblong

    rng = np.random.default_rng(0)
    scene = compose(rng, shapes(), ground(rng, 2, 96), SceneSettings(64, 2))
    shapes_seen = set()
    for _ in range(12):
        cut = oblong(rng, scene)
        height, width = cut.labels.shape
        shapes_seen.add("low" if height < 64 else "narrow" if width < 64 else "square")
        assert np.array_equal(cut.image, scene.image[:height, :width])
        assert cut.objects.shape == (height, width)
        whole = framed(cut.image, 64, (1, 2, 3))
        assert np.array_equal(whole[:height, :width], cut.image)
        assert (whole[height:] == (1, 2, 3)).all()
        assert (whole[:, width:] == (1, 2, 3)).all()
    assert shapes_seen == {"low", "narrow", "square"}
