"""Weights: the embedded model, names and tags, activation, files of every format, the hub, the start-up rule.

No test uses the network: the hub is a fake, and every look-up of a host name fails.
"""

import errno
import hashlib
import json
import logging
import os
import pickle
import shutil
import socket
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import open_clip
import pytest
import torch
from huggingface_hub import constants
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from open_clip.transformer import QuickGELU
from safetensors.torch import save_file
from torch import nn

import cliptrase_core as cc
from cliptrase_core.errors import InputError, UnsupportedBackboneError, WeightsError
from cliptrase_core.models import architectures, embedded, hub, loading
from cliptrase_core.models.checkpoint import check_fit
from tests.conftest import tiny_clip

TINY = {
    "embed_dim": 8,
    "vision_cfg": {"layers": 2, "width": 16, "head_width": 8, "patch_size": 4, "image_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 8, "heads": 2, "layers": 2},
}
PLACE = "somebody/tiny/"


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a test tried to reach the network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(hub, "hf_hub_download", refuse)
    monkeypatch.setattr(hub, "get_session", refuse)
    monkeypatch.setattr(hub, "hub_answers", lambda *_: True)
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """Register a tiny ViT in open_clip, with two tags: one for each activation."""
    for suffix in ("", "-quickgelu"):
        config = TINY | ({"quick_gelu": True} if suffix else {})
        monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, f"tiny{suffix}", config)
    common = {"hf_hub": PLACE, "mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6)}
    known = {"plain": common, "quick": common | {"quick_gelu": True}}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny", known)


def random_state(name="tiny", dtype=torch.float32, **config):
    """Return a state dict with the architecture's names and shapes, filled with noise: the same on every call."""
    with torch.device("meta"):
        model = open_clip.CLIP(**(open_clip.get_model_config(name) | config))
    noise = torch.randn(1_000_003, generator=torch.Generator().manual_seed(0)) * 0.02
    noise = noise.to(dtype)

    def fill(shape):
        count = shape.numel()
        return noise.repeat(count // len(noise) + 1)[:count].reshape(shape).clone()

    return {key: fill(tensor.shape) for key, tensor in model.state_dict().items()}


def openai_archive(state, path):
    """Save `state` the way OpenAI did: TorchScript, fp16, three numbers beside the tensors."""
    root = nn.Module()
    for key, tensor in state.items():
        *folders, leaf = key.split(".")
        module = root
        for folder in folders:
            if folder not in module._modules:
                module.add_module(folder, nn.Module())
            module = module._modules[folder]
        module.register_parameter(leaf, nn.Parameter(tensor.half(), requires_grad=False))
    for key, value in (("input_resolution", 224), ("context_length", 77), ("vocab_size", 49408)):
        root.register_buffer(key, torch.tensor(value))
    torch.jit.save(torch.jit.script(root), str(path))
    return path


def activations(model):
    towers = model.visual.transformer.resblocks, model.transformer.resblocks
    return {type(block.mlp.gelu) for tower in towers for block in tower}


# --- nano ---


def test_nano_loads_ready_for_use():
    loaded = loading.load()
    assert (loaded.name, loaded.pretrained, loaded.source, loaded.short_side) == (
        "nano",
        "embedded",
        "embedded",
        224,
    )
    parameters = list(loaded.model.parameters())
    assert {(p.dtype, p.device.type, p.requires_grad) for p in parameters} == {(torch.float32, "cpu", False)}
    assert not loaded.model.training
    assert activations(loaded.model) == {QuickGELU}
    image = loaded.model.encode_image(torch.zeros(1, 3, 224, 224))
    text = loaded.model.encode_text(loaded.tokenizer(["a cat", "a dog"]))
    assert image.shape == (1, 256)
    assert text.shape == (2, 256)
    assert image.isfinite().all()
    assert text.isfinite().all()
    assert loaded.mean == open_clip.OPENAI_DATASET_MEAN


def test_weights_may_be_given_in_the_name():
    assert repr(cc.Segmenter.from_pretrained("nano:embedded")) == "<Segmenter: nano on cpu, fp32>"
    with pytest.raises(InputError, match="expected its embedded ones, got"):
        cc.Segmenter.from_pretrained("nano:openai")
    with pytest.raises(InputError, match="somewhere"):
        cc.Segmenter.from_pretrained("ViT-B-16:somewhere")


def test_nano_is_the_same_every_time_and_leaves_the_random_numbers_alone():
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    first, second = loading.load("nano"), loading.load("nano", "embedded")
    assert torch.equal(torch.rand(1), expected)
    assert first.digest == second.digest
    for one, other in zip(first.model.state_dict().values(), second.model.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_nano_computes_what_open_clips_own_construction_computes():
    tensors, config, _ = embedded.read_nano()
    config.pop("clustering")
    plain = open_clip.CLIP(**config).eval().requires_grad_(False)  # with gradients, torch uses another kernel
    plain.load_state_dict(tensors)
    ours = loading.load()
    tokens = ours.tokenizer(["a photo of a cat", "sailing boat on the sea"])
    pixels = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    assert torch.equal(ours.model.attn_mask, plain.attn_mask)
    with torch.inference_mode():
        assert torch.equal(ours.model.encode_text(tokens), plain.encode_text(tokens))
        assert torch.equal(ours.model.encode_image(pixels), plain.encode_image(pixels))


def test_files_of_nano_stay_under_ten_megabytes():
    assert all(file.stat().st_size < 10_000_000 for file in embedded.FOLDER.iterdir())


def test_nano_carries_its_own_clustering_values():
    written = json.loads((embedded.FOLDER / "config.json").read_text())["clustering"]
    assert loading.load().clustering == loading.ClusteringDefaults(**written)


def test_unpacking_scales_rows_and_puts_token_rows_back():
    packed = {
        "token_rows": torch.tensor([0, 2], dtype=torch.int32),
        "token_embedding.weight": torch.tensor([[127, -127], [1, 2]], dtype=torch.int8),
        "token_embedding.weight.scale": torch.tensor([0.5, 2.0], dtype=torch.float16),
        "bias": torch.tensor([1.5], dtype=torch.float16),
    }
    state = embedded.unpack(packed, 4)
    expected = torch.tensor([[63.5, -63.5], [0, 0], [2, 4], [0, 0]])
    assert torch.equal(state["token_embedding.weight"], expected)
    assert torch.equal(state["bias"], torch.tensor([1.5]))
    assert state.keys() == {"token_embedding.weight", "bias"}


@pytest.mark.parametrize("missing", [*embedded.WEIGHTS, "config.json"])
def test_a_checkout_without_nano_says_that_it_is_incomplete(tmp_path, monkeypatch, missing):
    for file in (*embedded.WEIGHTS, "config.json"):
        if file != missing:
            (tmp_path / file).write_bytes(b"{}")
    monkeypatch.setattr(embedded, "FOLDER", tmp_path)
    with pytest.raises(WeightsError, match=f"{missing}.*checkout is incomplete"):
        loading.load()


@pytest.mark.parametrize("damaged", embedded.WEIGHTS)
def test_damaged_files_of_nano_are_told(tmp_path, monkeypatch, damaged):
    for name in ("config.json", *embedded.WEIGHTS):
        shutil.copy(embedded.FOLDER / name, tmp_path)
    monkeypatch.setattr(embedded, "FOLDER", tmp_path)
    (tmp_path / damaged).write_bytes(b"no tensors")
    with pytest.raises(WeightsError, match="damaged"):
        loading.load()
    (tmp_path / damaged).write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(WeightsError, match=r"Git LFS pointer.*git lfs pull"):
        loading.load()


# --- names, tags, architectures ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nano", ("nano", "embedded")),
        ("ViT-B-16", ("ViT-B-16", "openai")),
        (" ViT-L-14-336 ", ("ViT-L-14-336", "openai")),
        ("ViT-B-16-quickgelu", ("ViT-B-16-quickgelu", "openai")),
        ("ViT-B-16:laion2b_s34b_b88k", ("ViT-B-16", "laion2b_s34b_b88k")),
        ("ViT-B-16:C:/models/x.pt", ("ViT-B-16", "C:/models/x.pt")),
        ("ViT-H-14", ("ViT-H-14", None)),
    ],
)
def test_a_model_is_written_as_name_and_weights(text, expected):
    assert loading.parse_model(text) == expected


@pytest.mark.parametrize(
    ("name", "pretrained", "says"),
    [
        ("vit-b16", None, r"got 'vit-b16'.*full list.*ViT-B-16"),
        ("weights/own.pt", None, "got the file 'own.pt'. Give the file as pretrained, and here the architecture"),
        ("ViT-B-16", "opnai", r"got 'opnai'.*Known tags: openai, .*Did you mean openai"),
        ("ViT-H-14", None, r"got nothing.*laion2b_s32b_b79k"),
        ("ViT-S-16", None, r"none, give a file"),
        ("nano", "file.pt", r"nano.*embedded.*'file.pt'"),
    ],
)
def test_wrong_names_list_the_right_ones(name, pretrained, says):
    with pytest.raises(InputError, match=says):
        loading.load(name, pretrained)


@pytest.mark.parametrize(("name", "pretrained"), [(5, None), (None, None), (b"nano", None), ("ViT-B-16", 5)])
@pytest.mark.parametrize("use", [loading.load, loading.is_on_disk])
def test_a_name_is_a_text(use, name, pretrained):
    with pytest.raises(InputError, match="model: expected a name and a tag or file, got (int|None|bytes|str)"):
        use(name, pretrained)


def test_an_empty_name_is_refused():
    with pytest.raises(InputError, match="name"):
        loading.parse_model(":openai")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("RN50", "ResNet"),
        ("ViT-B-16-SigLIP", "timm tower"),
        ("coca_ViT-B-32", "attentional pool"),
        ("ViT-L-14-CLIPA", "pooling 'avg'"),
    ],
)
def test_architectures_that_do_not_fit_fail_before_any_download(name, found):
    for use in (loading.load, loading.is_on_disk, loading.download, loading.choose_start_up):
        with pytest.raises(UnsupportedBackboneError, match=rf"\[CLS\].*got .*{found}.*ViT-B-16, ViT-B-32"):
            use(name)


def test_a_single_block_is_too_few(monkeypatch):
    shallow = TINY | {"vision_cfg": TINY["vision_cfg"] | {"layers": 1}}
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny", shallow)
    with pytest.raises(UnsupportedBackboneError, match="got 1 block"):
        loading.load("tiny", "plain")


def test_text_towers_that_need_another_library_say_so_before_a_download():
    with pytest.raises(WeightsError, match="transformers"):
        loading.load("ViT-H-14-worldwide", "metaclip2_worldwide")


# --- activation ---


def save_tiny(folder, name="tiny.safetensors", **extra):
    path = folder / name
    save_file({**random_state(), **extra}, path)
    return path


@pytest.mark.parametrize(
    ("name", "tag", "asked", "expected"),
    [
        ("tiny", "plain", None, nn.GELU),
        ("tiny", "plain", False, nn.GELU),
        ("tiny", "plain", True, None),
        ("tiny", "quick", None, QuickGELU),
        ("tiny", "quick", True, QuickGELU),
        ("tiny", "quick", False, None),
        ("tiny-quickgelu", "quick", None, QuickGELU),
        ("tiny-quickgelu", "quick", False, None),
        ("tiny-quickgelu", "plain", None, None),
    ],
)
def test_a_tag_decides_the_activation_and_contradicting_it_is_an_error(
    tmp_path, monkeypatch, name, tag, asked, expected
):
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *_: str(save_tiny(tmp_path)))
    if expected is None:
        with pytest.raises(WeightsError, match=r"activation of .*expected .*GELU.* got .*GELU"):
            loading.load(name, tag, quick_gelu=asked)
    else:
        loaded = loading.load(name, tag, quick_gelu=asked)
        assert activations(loaded.model) == {expected}
        assert (loaded.pretrained, loaded.source) == (tag, "Hub cache")
        assert (loaded.mean, loaded.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))


def test_openai_weights_in_a_gelu_architecture_are_an_error_before_any_download():
    with pytest.raises(WeightsError, match="QuickGELU"):
        loading.load("ViT-B-16", "openai", quick_gelu=False)
    with pytest.raises(WeightsError, match="got QuickGELU"):
        loading.load("ViT-B-16-quickgelu", "laion2b_s34b_b88k")
    with pytest.raises(WeightsError, match="nano"):
        loading.load("nano", quick_gelu=False)


@pytest.mark.parametrize(
    ("name", "asked", "expected"),
    [
        ("tiny", None, nn.GELU),
        ("tiny", True, QuickGELU),
        ("tiny", False, nn.GELU),
        ("tiny-quickgelu", None, QuickGELU),
    ],
)
def test_a_file_without_marks_takes_the_activation_that_is_asked_for_and_says_so(tmp_path, name, asked, expected):
    loaded = loading.load(name, save_tiny(tmp_path), quick_gelu=asked)
    assert activations(loaded.model) == {expected}
    assert f"{expected.__name__} assumed" in loaded.source


def test_marks_of_an_openai_archive_mean_quick_gelu(tmp_path):
    marked = save_tiny(tmp_path, input_resolution=torch.tensor(224))
    archive = openai_archive(random_state(), tmp_path / "archive.pt")
    for file in (marked, archive):
        loaded = loading.load("tiny", file)
        assert activations(loaded.model) == {QuickGELU}
        assert "OpenAI" in loaded.source
        with pytest.raises(WeightsError, match=f"activation of {file.name}"):
            loading.load("tiny", file, quick_gelu=False)


def test_a_build_with_the_wrong_activation_is_noticed():
    model = open_clip.CLIP(**TINY)
    architectures.check_activation(model, False, "tiny")
    model.transformer.resblocks[1].mlp.gelu = QuickGELU()
    with pytest.raises(WeightsError, match="GELU and QuickGELU"):
        architectures.check_activation(model, False, "tiny")


# --- files ---


def bare(state):
    return state


def nested(state):
    return {"epoch": 3, "state_dict": {f"module.{key}": tensor for key, tensor in state.items()}}


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin"])
@pytest.mark.parametrize("wrap", [bare, nested])
def test_state_dicts_are_read_in_every_wrapping(tmp_path, suffix, wrap):
    state = random_state(dtype=torch.float16)
    file = tmp_path / f"weights{suffix}"
    torch.save(wrap(state), file)
    loaded = loading.load("tiny", str(file))
    for key, tensor in loaded.model.state_dict().items():
        assert torch.equal(tensor, state[key].float())
    assert loaded.pretrained == file.name
    assert loaded.digest == hashlib.sha256(file.read_bytes()).hexdigest()[:12]
    assert loaded.short_side == 16


def test_an_older_layout_fits_a_separate_text_tower(tmp_path, monkeypatch):
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny", TINY | {"custom_text": True})
    with torch.device("meta"):
        wanted = open_clip.CustomTextCLIP(**TINY).state_dict().keys()
    monkeypatch.setattr(open_clip, "get_model_config", lambda _: TINY | {"custom_text": True})
    state = {key.removeprefix("text."): tensor for key, tensor in random_state_custom().items()}
    save_file(state, tmp_path / "old.safetensors")
    loaded = loading.load("tiny", tmp_path / "old.safetensors")
    assert loaded.model.state_dict().keys() == wanted
    assert loaded.model.text.attn_mask[0, 1] == -torch.inf
    assert loaded.model.encode_text(loaded.tokenizer(["a cat"])).isfinite().all()


def random_state_custom():
    return {key: tensor * 0.02 for key, tensor in open_clip.CustomTextCLIP(**TINY).state_dict().items()}


def test_weights_do_not_follow_a_file_that_changes_later(tmp_path):
    file = save_tiny(tmp_path)
    model = loading.load("tiny", file).model
    before = model.visual.proj.clone()
    with file.open("r+b") as handle:
        handle.seek(2000)
        handle.write(b"\xff" * (file.stat().st_size - 2000))
    assert torch.equal(model.visual.proj, before)


def truncated(path):
    torch.save(random_state(), path)
    path.write_bytes(path.read_bytes()[:5000])


def truncated_safetensors(path):
    save_file(random_state(), path)
    path.write_bytes(path.read_bytes()[:5000])


def truncated_archive(path):
    openai_archive(random_state(), path)
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])


@pytest.mark.parametrize(
    ("name", "make", "says"),
    [
        ("missing.pt", lambda path: None, "no such file"),
        ("folder.pt", Path.mkdir, "a folder"),
        ("empty.pt", Path.touch, "an empty file"),
        ("weights.npz", lambda path: path.write_bytes(b"PK"), "'.npz'"),
        ("text.pt", lambda path: path.write_text("hello, world\n"), "damaged file or another format"),
        ("page.safetensors", lambda path: path.write_text("<html>"), "damaged file or another format"),
        ("lfs.pt", lambda path: path.write_text("version https://git-lfs.github.com/"), "Git LFS pointer"),
        ("cut.pt", truncated, "damaged file or another format"),
        ("cut.safetensors", truncated_safetensors, "damaged file or another format"),
        ("cut-archive.pt", truncated_archive, "damaged"),
        ("list.pt", lambda path: torch.save([1, 2], path), "something else"),
        ("none.pt", lambda path: torch.save({}, path), "an empty one"),
        ("numbers.pt", lambda path: torch.save({"a": 1}, path), "something else"),
    ],
)
def test_files_that_are_no_weights_are_refused_in_one_line(tmp_path, name, make, says):
    path = tmp_path / name
    make(path)
    with pytest.raises(WeightsError, match=f"{name}.*expected .*, got .*{says}") as caught:
        loading.load("tiny", path)
    assert str(tmp_path) not in str(caught.value)
    assert "\n" not in str(caught.value)


class Trap:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("save", [torch.save, lambda thing, path: path.write_bytes(pickle.dumps(thing))])
def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(tmp_path, save):
    trap, file = tmp_path / "sprung", tmp_path / "evil.pt"
    save({"state_dict": {"a": Trap(trap)}}, file)
    with pytest.raises(WeightsError, match=r"evil.pt.*could run code"):
        loading.load("tiny", file)
    assert not trap.exists()
    pickle.loads(pickle.dumps(Trap(trap)))  # the trap does run
    assert trap.exists()


def without(key):
    state = random_state()
    del state[key]
    return state


@pytest.mark.parametrize(
    ("state", "says"),
    [
        (lambda: without("ln_final.bias"), "expected a tensor ln_final.bias, got none"),
        (lambda: {**random_state(), "surplus": torch.ones(1)}, "expected no further tensors, got also surplus"),
        (
            lambda: random_state(embed_dim=12),
            r"expected text_projection of shape \(8, 8\), got \(8, 12\)|visual.proj of shape",
        ),
        (
            lambda: random_state() | {"visual.positional_embedding": torch.zeros(31, 16)},
            r"for 16 pixels \(17 tokens\), got position embeddings for 31 tokens",
        ),
    ],
)
def test_weights_of_another_architecture_name_the_first_misfit(tmp_path, state, says):
    save_file(state(), tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match=f"other.safetensors for tiny.*{says}"):
        loading.load("tiny", tmp_path / "other.safetensors")


def test_a_misfit_says_which_architecture_the_file_looks_like(tmp_path):
    save_file(random_state("ViT-S-32", torch.float16), tmp_path / "small.safetensors")
    with pytest.raises(WeightsError, match="looks like ViT-S-32: name that"):
        loading.load("tiny", tmp_path / "small.safetensors")


# --- real sizes ---


def test_vit_b_16_loads_from_an_openai_archive(tmp_path):
    state = random_state("ViT-B-16", torch.float16)
    archive = openai_archive(state, tmp_path / "ViT-B-16.pt")
    loaded = loading.load("ViT-B-16", archive)
    archive.unlink()
    assert activations(loaded.model) == {QuickGELU}
    assert loaded.model.state_dict().keys() == state.keys()
    assert all(torch.equal(tensor, state[key].float()) for key, tensor in loaded.model.state_dict().items())


def test_vit_b_32_from_a_training_checkpoint_computes_what_open_clip_computes(tmp_path):
    file = tmp_path / "b32.pt"
    torch.save(nested(random_state("ViT-B-32", torch.float16)), file)
    ours = loading.load("ViT-B-32", file, quick_gelu=True)
    theirs = open_clip.create_model("ViT-B-32", pretrained=str(file), force_quick_gelu=True)
    theirs.eval().requires_grad_(False)
    file.unlink()
    pixels = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(2))
    tokens = ours.tokenizer(["a cat"])
    with torch.inference_mode():
        assert torch.equal(ours.model.encode_image(pixels), theirs.encode_image(pixels))
        assert torch.equal(ours.model.encode_text(tokens), theirs.encode_text(tokens))


def test_vit_l_14_and_its_336_sibling_load_and_are_told_apart(tmp_path):
    state = random_state("ViT-L-14", torch.float16)
    file = tmp_path / "large.safetensors"
    save_file(state, file)
    loaded = loading.load("ViT-L-14", file)
    assert loaded.short_side == 224
    assert torch.equal(loaded.model.visual.proj, state["visual.proj"].float())
    del loaded
    file.unlink()
    larger = architectures.build("", architectures.configuration("ViT-L-14-336")).state_dict()
    names = {"file": file.name, "architecture": "ViT-L-14-336", "alike": architectures.look_alike}
    with pytest.raises(WeightsError, match=r"336 pixels.*224 pixels.*looks like ViT-L-14:"):
        check_fit(state, larger, **names)
    state["visual.positional_embedding"] = torch.zeros(24 * 24 + 1, 1024, dtype=torch.float16)
    file = tmp_path / "large-336.bin"
    torch.save(state, file)
    loaded = loading.load("ViT-L-14-336", file)
    file.unlink()
    assert loaded.short_side == 336
    assert len(loaded.model.visual.positional_embedding) == 577


# --- the hub ---


def test_a_file_is_found_in_a_real_cache_and_named_by_its_blob(tmp_path, monkeypatch):
    monkeypatch.undo()  # use the hub library's own look-up
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(socket, "getaddrinfo", None)
    assert hub.find_cached(PLACE) is None
    repository = tmp_path / "models--somebody--tiny"
    for folder in ("refs", "blobs", "snapshots/abc"):
        (repository / folder).mkdir(parents=True)
    (repository / "refs/main").write_text("abc")
    sha = hashlib.sha256(b"bytes").hexdigest()
    (repository / "blobs" / sha).write_bytes(b"bytes")
    link = repository / "snapshots/abc/open_clip_pytorch_model.bin"
    link.symlink_to(f"../../blobs/{sha}")
    found = hub.find_cached(PLACE)
    assert found == link
    assert loading.digest(found) == sha[:12]


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("a/b/", ("a/b", hub.PREFERRED_FILES)),
        ("a/b/model.bin", ("a/b", ("model.safetensors", "model.bin"))),
        ("a/b/model.safetensors", ("a/b", ("model.safetensors",))),
    ],
)
def test_a_place_names_the_files_that_open_clip_would_accept(place, expected):
    assert hub.files_at(place) == expected


def test_being_on_disk_is_told_without_the_network(tmp_path, monkeypatch):
    assert loading.is_on_disk("nano")
    assert not loading.is_on_disk("tiny", "plain")
    assert not loading.is_on_disk("tiny", tmp_path / "none.pt")
    assert loading.is_on_disk("tiny", save_tiny(tmp_path))
    second = {"open_clip_pytorch_model.bin": "/somewhere", "open_clip_model.safetensors": object()}
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda _, name: second[name])
    assert loading.is_on_disk("tiny", "plain")


def test_weights_that_are_not_on_disk_are_fetched_and_the_second_name_is_tried(tmp_path, monkeypatch):
    asked = []

    def fetch(repository, name):
        asked.append((repository, name))
        if name.endswith(".safetensors"):
            raise EntryNotFoundError("404")
        torch.save(random_state(), tmp_path / name)
        return str(tmp_path / name)

    monkeypatch.setattr(hub, "hf_hub_download", fetch)
    loaded = loading.load("tiny", "plain")
    assert loaded.source == "downloaded"
    assert asked == [("somebody/tiny", name) for name in hub.PREFERRED_FILES]


def http_error(status):
    error = ConnectionError("no")
    error.response = SimpleNamespace(status_code=status)
    return error


@pytest.mark.parametrize(
    ("error", "offline", "says"),
    [
        (LocalEntryNotFoundError("x"), True, "HF_HUB_OFFLINE=1.*Unset"),
        (LocalEntryNotFoundError("x"), False, "no answer from the hub.*Check the connection"),
        (EntryNotFoundError("404"), False, "none of them.*another tag"),
        (http_error(503), False, "HTTP status 503"),
        (OSError(errno.ENOSPC, "No space left", "/secret/path"), False, "full disk.*HF_HOME"),
        (PermissionError(errno.EACCES, "denied", "/secret/path"), False, "cannot be written.*HF_HOME"),
        (ConnectionResetError("/secret/path"), False, "broken transfer.*Load it again"),
        (RuntimeError("/secret/path"), False, "broken transfer"),
    ],
)
def test_every_failure_of_a_download_names_its_remedy(monkeypatch, error, offline, says):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(hub, "hf_hub_download", fail)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    with pytest.raises(WeightsError, match=f"tiny:plain.*{says}") as caught:
        loading.download("tiny", "plain")
    assert "secret" not in str(caught.value)


def test_no_download_is_tried_without_a_hub(monkeypatch):
    monkeypatch.setattr(hub, "hub_answers", lambda *_: False)  # a try fails, see `no_network`
    with pytest.raises(WeightsError, match=r"tiny:plain.*no answer from the hub.*Check the connection"):
        loading.download("tiny", "plain")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match=r"tiny:plain.*HF_HUB_OFFLINE=1"):
        loading.download("tiny", "plain")


def test_cached_files_ask_no_hub(tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "hub_answers", lambda *_: pytest.fail("asked the hub"))
    monkeypatch.setattr(hub, "hf_hub_download", lambda repository, name: str(tmp_path / name))
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda repository, name: str(tmp_path / name))
    assert hub.fetch_file("somebody/tiny", ("a.bin",), "tiny") == tmp_path / "a.bin"


def test_the_hub_library_prints_no_retries(monkeypatch, caplog):
    def fail(*_, **__):
        log = logging.getLogger("huggingface_hub.utils._http")
        log.warning("Retrying in 8s")
        other = threading.Thread(target=log.warning, args=("of another thread",))
        other.start()
        other.join()
        raise LocalEntryNotFoundError("x")

    monkeypatch.setattr(hub, "hf_hub_download", fail)
    with pytest.raises(WeightsError):
        loading.download("tiny", "plain")
    logging.getLogger("huggingface_hub.utils._http").warning("later")
    assert caplog.messages == ["of another thread", "later"]


def test_a_person_who_stops_a_download_is_obeyed(monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(hub, "hf_hub_download", stop)
    with pytest.raises(KeyboardInterrupt):
        loading.download("tiny", "plain")


def test_progress_is_told_even_where_no_bar_is_shown(tmp_path, monkeypatch):
    told = []

    def fetch(repository, name, tqdm_class=None):
        with tqdm_class(total=4_000_000, initial=1_000_000, disable=True) as bar:  # a resumed transfer
            bar.update(1_000_000)
            bar.update(2_000_000)
        return str(tmp_path / name)

    monkeypatch.setattr(hub, "hf_hub_download", fetch)
    loading.download("tiny", "plain", lambda share, text: told.append((share, text)))
    assert told == [(0.5, "2 of 4 MB"), (1.0, "4 of 4 MB")]


class Session:
    def __init__(self, status=200, delay=0.0, error=None):
        self.status, self.delay, self.error = status, delay, error

    def head(self, url, timeout):
        time.sleep(self.delay)
        if self.error:
            raise self.error
        return SimpleNamespace(status_code=self.status)


@pytest.mark.parametrize(
    ("session", "expected"),
    [
        (Session(200), True),
        (Session(404), True),
        (Session(502), False),
        (Session(error=OSError("no route")), False),
        (Session(delay=3), False),
    ],
)
def test_the_hub_is_asked_for_no_longer_than_allowed(monkeypatch, session, expected):
    monkeypatch.setattr(hub, "get_session", lambda: session)
    start = time.perf_counter()
    assert loading.hub_answers(0.3) is expected
    assert time.perf_counter() - start < 1.5


def test_offline_mode_asks_no_one(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub.threading, "Thread", None)  # any use would fail
    assert loading.hub_answers() is False


# --- the start-up rule ---


@pytest.mark.parametrize(
    ("requested", "cached", "offline", "answers", "expected"),
    [
        ("nano", False, False, None, ("nano", "embedded", False, "on disk", None)),
        ("ViT-B-32", True, False, None, ("ViT-B-32", "openai", False, "on disk", None)),
        (None, True, True, None, ("ViT-B-16", "openai", False, "on disk", None)),
        # 0.6 GB are downloaded only if the model is named.
        (None, False, False, True, ("nano", "embedded", False, "not asked for", "is not on this computer")),
        ("", False, False, True, ("nano", "embedded", False, "not asked for", "is not on this computer")),
        ("ViT-B-16", False, False, True, ("nano", "embedded", True, "fetching", "is being fetched. Until then")),
        ("tiny:plain", False, False, True, ("nano", "embedded", True, "fetching", "tiny (plain)")),
        ("ViT-B-16", False, False, False, ("nano", "embedded", False, "hub silent", "did not answer within 3 s")),
        ("ViT-B-16", False, True, None, ("nano", "embedded", False, "offline", "Unset HF_HUB_OFFLINE")),
    ],
)
def test_start_up_runs_what_is_here_and_says_what_is_not(monkeypatch, requested, cached, offline, answers, expected):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *_: "/cached" if cached else None)
    if answers is not None:
        monkeypatch.setattr(loading, "hub_answers", lambda _: answers)
    start = loading.choose_start_up(requested)
    *fields, banner = expected
    assert [start.name, start.pretrained, start.fetch, start.reason] == fields
    if banner is None:
        assert start.banner is None
    else:
        assert banner in start.banner
        assert "nano runs" in start.banner
        assert (requested.partition(":")[0] if requested else "ViT-B-16") in start.banner


def test_start_up_with_a_file_runs_it_or_says_what_is_wrong(tmp_path):
    start = loading.choose_start_up(f"tiny:{save_tiny(tmp_path)}")
    assert (start.name, start.reason, start.fetch) == ("tiny", "on disk", False)
    with pytest.raises(WeightsError, match=r"gone.pt.*no such file"):
        loading.choose_start_up("tiny:gone.pt")
    with pytest.raises(InputError, match="got 'no-such-model'"):
        loading.choose_start_up("no-such-model")


def test_loading_leaves_the_root_logger_as_it_was(monkeypatch):
    monkeypatch.setattr(logging.root, "handlers", [])
    cc.Segmenter.from_pretrained("nano", device="cpu")
    assert logging.root.handlers == [], "so that the application's basicConfig has an effect"
    own = logging.NullHandler()
    logging.root.addHandler(own)
    architectures.tokenizer_for("ViT-B-16")
    assert logging.root.handlers == [own]


def test_the_tokenizers_cache_stops_growing_and_changes_no_token(monkeypatch):
    monkeypatch.setattr(architectures, "CACHED_TOKENS", 50)
    tokenizer, plain = architectures.tokenizer_for("ViT-B-16"), open_clip.SimpleTokenizer()
    words = [f"{'xyz'[n % 3]}w{chr(97 + n % 26)}q{chr(97 + n // 26)}" for n in range(300)] + ["long" * 60, "cat"]
    assert torch.equal(tokenizer(words), plain(words))
    assert torch.equal(tokenizer(words), plain(words))
    assert len(tokenizer.cache) == 50
    assert "long" * 60 not in tokenizer.cache
    assert len(plain.cache) > 300


def test_weights_that_are_named_twice_are_refused():
    with pytest.raises(InputError, match="weights: expected one name of weights, got 'ViT-B-32:openai' and 'laion2b'"):
        loading.load("ViT-B-32:openai", "laion2b")


MEANS = {
    "none": ({}, open_clip.OPENAI_DATASET_MEAN),
    "today's": ({"preprocess_cfg": {"mean": (0.5, 0.4, 0.3)}}, (0.5, 0.4, 0.3)),
    "an older version's": ({"image_mean": [0.5, 0.4, 0.3]}, (0.5, 0.4, 0.3)),
    "both": ({"preprocess_cfg": {"mean": (0.5, 0.4, 0.3)}, "image_mean": [0.5, 0.4, 0.3]}, (0.5, 0.4, 0.3)),
}


@pytest.mark.parametrize(("attributes", "expected"), MEANS.values(), ids=MEANS)
def test_a_built_model_has_its_own_mean_wherever_open_clip_stored_it(attributes, expected):
    model = tiny_clip()
    for name, value in attributes.items():
        setattr(model.visual, name, value)
    assert loading.describe(model, None, fingerprint="x").mean == expected


def test_two_different_deviations_of_a_built_model_are_refused():
    model = tiny_clip()
    model.visual.preprocess_cfg, model.visual.image_std = {"std": (0.2, 0.2, 0.2)}, (0.3, 0.3, 0.3)
    with pytest.raises(InputError, match=r"std of the model: expected one value, got preprocess_cfg\['std'\] \(0.2"):
        loading.describe(model, None, fingerprint="x")
