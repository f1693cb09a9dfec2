"""The adapter equals open_clip: its own forward, its resized positions, both attention classes, any float type."""

from __future__ import annotations

import numpy as np
import open_clip
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cliptrase_core import InputError, Segmenter, UnsupportedBackboneError
from cliptrase_core.models.backbone import Backbone, resize_positions
from cliptrase_core.models.blocks import project, vanilla_block
from tests.conftest import tiny_clip


def plain_forward(backbone: Backbone, pixels: torch.Tensor) -> torch.Tensor:
    tokens = backbone.embed(pixels, "size")
    for block in backbone.blocks:
        tokens = vanilla_block(block, tokens)
    return backbone.features(tokens)


@pytest.mark.parametrize(
    "vision",
    [
        {},
        {"ls_init_value": 0.1},
        {"qk_norm": True},  # open_clip's own Attention class
        {"block_type": "custom"},
        {"scale_attn": True},
        {"no_ln_pre": True},
    ],
    ids=str,
)
def test_all_blocks_vanilla_equal_open_clip_s_own_forward(vision):
    model = tiny_clip(**vision)
    pixels = torch.randn(2, 3, 32, 32)
    expected = model.encode_image(pixels, normalize=True)
    torch.testing.assert_close(plain_forward(Backbone(model.visual), pixels)[:, 0], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_any_float_type_runs_and_features_are_at_least_float32(dtype):
    features = plain_forward(Backbone(tiny_clip(dtype=dtype).visual), torch.randn(1, 3, 32, 32))
    assert features.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    torch.testing.assert_close(features.norm(dim=-1).float(), torch.ones(1, 17))


def test_projections_are_those_of_the_packed_weight():
    block = tiny_clip().visual.transformer.resblocks[0]
    tokens = torch.randn(1, 5, 32)
    p = project(block, tokens)
    packed = block.ln_1(tokens) @ block.attn.in_proj_weight.T + block.attn.in_proj_bias
    assert p.q.shape == (1, 2, 5, 16)
    torch.testing.assert_close(p.k[0, 1], packed[0, :, 32 + 16 : 64])  # second head of k
    torch.testing.assert_close(p.v[0, 0], packed[0, :, 64:80])


def test_size_way_equals_a_model_that_open_clip_itself_resized():
    positions = torch.randn(1 + 16, 8)
    state = {"visual.positional_embedding": positions.clone()}
    larger = tiny_clip(image_size=48, width=8, head_width=8)
    open_clip.factory.resize_pos_embed(state, larger)
    torch.testing.assert_close(
        resize_positions(positions, (4, 4), (6, 6), "size"), state["visual.positional_embedding"]
    )


def test_published_way_adds_a_tenth_to_the_scale():
    positions = torch.randn(1 + 16, 8)
    places = positions[1:].T.reshape(1, 8, 4, 4)
    expected = F.interpolate(places, scale_factor=(6.1 / 4, 5.1 / 4), mode="bicubic", recompute_scale_factor=False)
    got = resize_positions(positions, (4, 4), (6, 5), "published")
    torch.testing.assert_close(got[1:], expected[0].flatten(1).T)
    assert torch.equal(got[0], positions[0])


@pytest.mark.parametrize("how", ["published", "size"])
def test_trained_grid_is_left_alone_but_another_grid_of_equal_count_is_not(how):
    positions = torch.randn(1 + 16, 8)
    assert torch.equal(resize_positions(positions, (4, 4), (4, 4), how), positions)
    assert not torch.equal(resize_positions(positions, (4, 4), (2, 8), how), positions)


def test_rows_and_columns_are_not_swapped():
    positions = torch.zeros(1 + 16, 1)
    positions[1:, 0] = torch.arange(4).repeat_interleave(4)  # value = row
    wide = resize_positions(positions, (4, 4), (2, 8), "size")[1:].reshape(2, 8)
    assert torch.allclose(wide, wide[:, :1].expand(2, 8), atol=1e-5)
    assert (wide[1] > wide[0]).all()


def without_cls() -> nn.Module:
    visual = tiny_clip().visual
    visual.class_embedding = None
    return visual


def unpacked() -> nn.Module:
    visual = tiny_clip().visual
    attn = visual.transformer.resblocks[1].attn
    del attn.in_proj_weight
    attn.in_proj_weight = None
    return visual


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda: open_clip.create_model("RN50").visual, "no \\[CLS\\]"),
        (lambda: open_clip.create_model("ViT-B-16-SigLIP").visual, "no \\[CLS\\]"),
        (without_cls, "no \\[CLS\\]"),
        (unpacked, "packed"),
        (lambda: tiny_clip(layers=1).visual, "1 block"),
        (lambda: tiny_clip(attentional_pool=True, attn_pooler_heads=2).visual, "from \\[CLS\\]"),
        (lambda: tiny_clip(pool_type="avg").visual, "from \\[CLS\\]"),
        (lambda: tiny_clip(final_ln_after_pool=True).visual, "last norm"),
        (lambda: tiny_clip(scaled_cosine_attn=True).visual, "scaled attention"),
        (lambda: nn.Linear(2, 2), "no \\[CLS\\]"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_is_supported(make, found):
    with pytest.raises(UnsupportedBackboneError, match=f"expected an open_clip ViT .*{found}.*Supported: .*ViT-B-16"):
        Backbone(make())


def hooked(part):
    part.register_forward_hook(lambda *_: None)


def hooked_before(part):
    part.register_forward_pre_hook(lambda *_: None)


def replaced(part):
    part.forward = lambda *_, **__: None


@pytest.mark.parametrize("change", [hooked, hooked_before, replaced])
@pytest.mark.parametrize("name", ["", "attn", "mlp"])
def test_hooks_and_another_forward_that_nothing_would_call_are_refused(change, name):
    model = tiny_clip()
    change(model.visual.transformer.resblocks[1].get_submodule(name))
    place = f"block 2{'.' * bool(name)}{name} of the model"
    with pytest.raises(InputError, match=f"{place}: expected no hooks and its own forward.*Remove them"):
        Segmenter.from_open_clip(model)


def test_a_hook_on_a_module_that_is_called_is_called():
    model, seen = tiny_clip(), []
    model.visual.transformer.resblocks[1].ln_1.register_forward_hook(lambda *_: seen.append(1))
    Segmenter.from_open_clip(model).encode(np.zeros((32, 32, 3), np.uint8))
    assert seen
