# ruff: noqa: E501

"""Weight files of other libraries and training programs: converted and loaded, or identified in the error."""

from __future__ import annotations

import json

import open_clip
import pytest
import torch
from open_clip.transformer import QuickGELU
from safetensors.torch import save_file
from torch import nn

from cliptrase_core.errors import WeightsError
from cliptrase_core.models import loading
from cliptrase_core.models.checkpoint import from_transformers, kind_of, unwrapped
from tests.models.test_loading import TINY, activations, no_network, random_state, tiny  # noqa: F401 - fixtures


def to_transformers(state):
    """Convert a CLIP state dict to the layout of transformers, written from its documentation."""
    out = {}
    for key, tensor in state.items():
        tower, short = (
            ("vision_model", key.removeprefix("visual.")) if key.startswith("visual.") else ("text_model", key)
        )
        part, _, kind = short.rpartition(".")
        if short.startswith("transformer.resblocks."):
            number, rest = short.removeprefix("transformer.resblocks.").split(".", 1)
            base = f"{tower}.encoder.layers.{number}"
            if rest.startswith("attn.in_proj_"):
                for letter, third in zip("qkv", tensor.chunk(3), strict=True):
                    out[f"{base}.self_attn.{letter}_proj.{rest.removeprefix('attn.in_proj_')}"] = third.clone()
                continue
            inner = rest.rpartition(".")[0]
            renamed = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}
            out[f"{base}.{renamed.get(inner, 'self_attn.out_proj')}.{kind}"] = tensor
        elif key in ("text_projection", "visual.proj"):
            out["text_projection.weight" if tower == "text_model" else "visual_projection.weight"] = (
                tensor.T.contiguous()
            )
        elif key == "logit_scale":
            out[key] = tensor
        else:
            names = {
                "token_embedding": "embeddings.token_embedding", "positional_embedding": "embeddings.position_embedding",
                "ln_final": "final_layer_norm", "class_embedding": "embeddings.class_embedding",
                "conv1": "embeddings.patch_embedding", "ln_pre": "pre_layrnorm", "ln_post": "post_layernorm",
            }  # fmt: skip
            name = names[part or kind]
            end = {"positional_embedding": ".weight", "class_embedding": ""}.get(short, f".{kind}")
            out[f"{tower}.{name}{end}"] = tensor
    return out


def same(loaded, state):
    assert loaded.model.state_dict().keys() == state.keys()
    return all(torch.equal(tensor, state[key]) for key, tensor in loaded.model.state_dict().items())


@pytest.mark.parametrize("counting", [{}, {"text_model.embeddings.position_ids": torch.arange(77)[None]}])
@pytest.mark.parametrize(
    ("config", "asked", "expected", "says"),
    [
        (None, None, QuickGELU, "QuickGELU assumed: there is no config.json"),
        (None, False, nn.GELU, "GELU assumed"),
        ("quick_gelu", None, QuickGELU, "QuickGELU by its config.json"),
        ("gelu", None, nn.GELU, "GELU by its config.json"),
        ("gelu", True, None, "activation of"),
        ("relu", None, QuickGELU, "QuickGELU assumed"),
    ],
)
def test_clip_of_transformers_loads(tmp_path, counting, config, asked, expected, says):
    state = random_state()
    save_file({**to_transformers(state), **counting}, tmp_path / "model.safetensors")
    if config:
        towers = {f"{tower}_config": {"hidden_act": config} for tower in ("text", "vision")}
        (tmp_path / "config.json").write_text(json.dumps(towers))
    if expected is None:
        with pytest.raises(WeightsError, match=says):
            loading.load("tiny", tmp_path / "model.safetensors", quick_gelu=asked)
        return
    loaded = loading.load("tiny", tmp_path / "model.safetensors", quick_gelu=asked)
    assert same(loaded, state)
    assert activations(loaded.model) == {expected}
    assert says in loaded.source


def test_names_are_those_of_the_library_itself_and_it_computes_the_same():
    transformers = pytest.importorskip("transformers")
    vision = {"hidden_size": 16, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    size = {"image_size": 16, "patch_size": 4, "projection_dim": 8}
    text = {"hidden_size": 8, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.CLIPConfig(
        vision_config=vision | size, text_config=text | {"vocab_size": 49408, "projection_dim": 8}, projection_dim=8
    )
    theirs = transformers.CLIPModel(config).eval()
    ours = open_clip.CLIP(**{**TINY, "text_cfg": {**TINY["text_cfg"], "heads": 2}}, quick_gelu=True).eval()
    ours.load_state_dict(from_transformers(theirs.state_dict()))
    pixels = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        there = theirs.visual_projection(theirs.vision_model(pixel_values=pixels).pooler_output)
        torch.testing.assert_close(ours.encode_image(pixels), there, atol=1e-5, rtol=0)


PREFIXES = [
    "_orig_mod.",
    "module.",
    "model.",
    "module._orig_mod.",
    "_orig_mod.module.",
    "model.clip.",
    "clip_model.",
    "model.model.",
]


def test_attention_weights_that_do_not_fit_are_refused(tmp_path):
    state = to_transformers(random_state())
    key = next(key for key in state if key.endswith("k_proj.weight"))
    save_file({**state, key: torch.ones(2, 3)}, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match="attention weights that do not fit"):
        loading.load("tiny", tmp_path / "model.safetensors")


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("layout", [dict, to_transformers])
def test_prefixes_of_training_programs_go(tmp_path, prefix, suffix, layout):
    state = random_state()
    named = {prefix + key: tensor for key, tensor in layout(state).items()}
    file = tmp_path / f"weights{suffix}"
    save_file(named, file) if suffix == ".safetensors" else torch.save(named, file)
    assert same(loading.load("tiny", file), state)


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
def test_weights_beside_an_optimiser_s_are_found(tmp_path, key):
    state = random_state()
    torch.save({key: state, "optimizer": {"lr": 0.1}, "epoch": 3}, tmp_path / "run.pt")
    assert same(loading.load("tiny", tmp_path / "run.pt"), state)


def test_a_compiled_part_is_found_too():
    state = {f"visual._orig_mod.{key}": torch.ones(1) for key in ("conv1.weight", "proj")}
    assert unwrapped(state).keys() == {"visual.conv1.weight", "visual.proj"}


def test_a_text_tower_that_stands_apart_fits_a_model_that_has_none(tmp_path):
    state = random_state()
    apart = {
        key if key.startswith("visual.") or key == "logit_scale" else f"text.{key}": tensor
        for key, tensor in state.items()
    }
    save_file(apart, tmp_path / "apart.safetensors")
    assert same(loading.load("tiny", tmp_path / "apart.safetensors"), state)


@pytest.mark.parametrize("pixels", [8, 20, 24, 48])
@pytest.mark.parametrize("layout", [dict, to_transformers])
def test_another_position_grid_becomes_the_model_s_own_size(tmp_path, pixels, layout):
    state = random_state(vision_cfg=TINY["vision_cfg"] | {"image_size": pixels})
    save_file(layout(state), tmp_path / "grid.safetensors")
    loaded = loading.load("tiny", tmp_path / "grid.safetensors")
    assert same(loaded, state)  # nothing was resized
    assert loaded.short_side == pixels
    assert f"positions for {pixels} pixels" in loaded.source
    assert loaded.model.encode_image(torch.zeros(1, 3, pixels, pixels)).isfinite().all()


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        (["base_model.model.visual.proj.lora_A.weight"], "a LoRA adapter"),
        (["image_encoder.patch_embed.proj.weight", "mask_decoder.iou_token.weight"], "a SAM"),
        (["vision_model.head.probe", "logit_bias"], "a SigLIP"),
        (["embeddings.cls_token", "encoder.layer.0.attention.attention.query.weight"], "a transformer that is no CLIP"),
        (["cls_token", "patch_embed.proj.weight", "blocks.0.attn.qkv.weight"], "a ViT of timm or DINO"),
        (["teacher.backbone.cls_token", "backbone.patch_embed.proj.weight"], "a ViT of timm or DINO"),
        (["conv1.weight", "layer1.0.conv1.weight"], "a ResNet, no CLIP"),
        (["visual.layer1.0.conv1.weight", "positional_embedding"], "a CLIP with a ResNet"),
        (["model.diffusion_model.input_blocks.0.0.weight"], "a diffusion model"),
        (
            ["vision_model.embeddings.class_embedding", "vision_model.post_layernorm.bias"],
            "the image tower of a CLIP alone",
        ),
        (["text_model.final_layer_norm.bias"], "the text tower of a CLIP alone"),
    ],
)
def test_files_that_are_no_clip_are_named_for_what_they_are(tmp_path, keys, says):
    save_file({key: torch.ones(2, 2) for key in keys}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match=f"other.safetensors for tiny: expected a CLIP, got {says}"):
        loading.load("tiny", tmp_path / "other.safetensors")


def test_a_clip_is_not_taken_for_anything_else():
    state = random_state()
    for own in (state, to_transformers(state), {"visual.conv1.weight": torch.ones(1)}, {}):
        assert kind_of(own) is None
