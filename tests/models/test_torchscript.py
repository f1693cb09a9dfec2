"""TorchScript archives: the same tensors as torch reads, without running their code; errors for unusable weights."""

from __future__ import annotations

import pickle
import shutil
import zipfile

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from cliptrase_core.errors import WeightsError
from cliptrase_core.io.files import asset
from cliptrase_core.models import checkpoint, embedded
from cliptrase_core.models.checkpoint import read_checkpoint
from cliptrase_core.models.torchscript import read_torchscript
from cliptrase_core.refine import sam_checkpoints


class Inner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 4).half())
        self.register_buffer("count", torch.tensor(7))
        self.sizes = [1, 2, 3]
        self.name = "inner"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight.float()


class Outer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Inner(), Inner()
        self.second.weight = self.first.weight  # shared
        self.turned = nn.Parameter(torch.arange(6.0).reshape(2, 3).t())  # not contiguous
        self.part = nn.Parameter(torch.arange(10.0)[4:7])
        self.empty = nn.Parameter(torch.zeros(0, 2))
        self.layers = nn.ModuleList([nn.Linear(2, 2), nn.Conv2d(3, 4, 2)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.first(x)


class Hostile(nn.Module):
    """Module that writes a file when `torch.jit.load` restores it."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.path = path

    @torch.jit.export
    def __getstate__(self):
        return (self.weight, self.path, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[torch.Tensor, str, bool]) -> None:
        self.weight = state[0]
        torch.save(state[0], state[1])
        self.path, self.training = state[1], state[2]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.weight


def test_tensors_are_those_that_torch_reads(tmp_path):
    path = tmp_path / "a.pt"
    torch.jit.save(torch.jit.script(Outer()), str(path))
    expected, got = torch.jit.load(str(path)).state_dict(), read_torchscript(path)
    assert got.keys() == expected.keys()
    for name, tensor in expected.items():
        assert got[name].dtype == tensor.dtype
        assert torch.equal(got[name], tensor), name


def test_an_archive_is_read_without_torch_s_own_loader(tmp_path, monkeypatch):
    path = tmp_path / "a.pt"
    torch.jit.save(torch.jit.script(Outer()), str(path))
    monkeypatch.setattr(torch.jit, "load", lambda *a, **k: pytest.fail("code of the file would run"))
    assert read_checkpoint(path).tensors["first.weight"].shape == (3, 4)


def test_a_module_that_would_write_a_file_when_restored_does_not(tmp_path):
    path, made = tmp_path / "a.pt", tmp_path / "made"
    torch.jit.save(torch.jit.script(Hostile(str(made))), str(path))
    with pytest.raises(WeightsError, match="a TorchScript archive of tensors"):
        read_checkpoint(path)
    assert not made.exists()
    torch.jit.load(str(path))
    assert made.exists(), "torch's own loader runs its code"


def rewritten(path, **contents):
    """Copy an archive with some files replaced (`contents` by name below the top folder); return its path."""
    out = path.with_name("b.pt")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            end = name.partition("/")[2]
            new.writestr(name, contents.get(end, old.read(name)))
    return out


class Evil:
    def __reduce__(self):
        return (open, ("made-by-a-pickle", "w"))


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps(Evil()),
        pickle.dumps({"a": 1}),
        b"",
        b"\x80\x02cos\nsystem\n(S'true'\ntR.",
        b"\x80\x02c__builtin__\neval\n(S'1'\ntR.",
        b"\x80\x02ctorch\nload\n(S'x'\ntR.",
        b"\x80\x02" + b"(" * 10_000,
    ],
    ids=range(7),
)
def test_what_holds_more_than_tensors_is_refused(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    torch.jit.save(torch.jit.script(Outer()), "a.pt")
    with pytest.raises(WeightsError, match="a TorchScript archive of tensors"):
        read_checkpoint(rewritten(tmp_path / "a.pt", **{"data.pkl": content}))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pt", "b.pt"]


def test_an_archive_that_unpacks_to_far_more_is_refused(tmp_path):
    path = tmp_path / "a.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("a/data.pkl", "a/constants.pkl", "a/code/x.py", "a/data/0"):
            archive.writestr(name, bytes(1_000_000))
    with pytest.raises(WeightsError, match="not compressed"):
        read_checkpoint(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("end", [".safetensors", ".pt"])
def test_weights_that_are_no_numbers_are_said(tmp_path, value, end):
    path, state = tmp_path / f"a{end}", {"one": torch.ones(3), "two": torch.tensor([1.0, value])}
    save_file(state, path) if end == ".safetensors" else torch.save(state, path)
    with pytest.raises(WeightsError, match="expected finite numbers, got NaN or infinity in two"):
        read_checkpoint(path)


def test_more_tensors_than_a_model_has_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "MAX_TENSORS", 5)
    torch.save({str(i): torch.ones(1) for i in range(6)}, tmp_path / "a.pt")
    with pytest.raises(WeightsError, match="at most 5 tensors, got 6"):
        read_checkpoint(tmp_path / "a.pt")
    monkeypatch.setattr(checkpoint, "MAX_HEADER", 300)
    save_file({str(i): torch.ones(1) for i in range(6)}, tmp_path / "a.safetensors")
    with pytest.raises(WeightsError, match="header"):
        read_checkpoint(tmp_path / "a.safetensors")


@pytest.mark.parametrize("name", ["nano", "sam-nano"])
def test_a_flipped_byte_in_a_bundled_model_is_found(tmp_path, monkeypatch, name):
    folder = tmp_path / name
    monkeypatch.setattr(embedded, "FOLDER", folder)

    def read() -> None:
        embedded.read_nano() if name == "nano" else sam_checkpoints._nano(folder)

    shutil.copytree(asset(name), folder, ignore=shutil.ignore_patterns("train"))
    read()
    file = sorted(folder.glob("*.safetensors"))[0]
    content = bytearray(file.read_bytes())
    content[-1000] ^= 1
    file.write_bytes(content)
    with pytest.raises(WeightsError, match="undamaged files in assets"):
        read()


def test_a_reader_that_is_given_no_archive_says_so(tmp_path):
    (tmp_path / "a.pt").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(WeightsError, match=r"a\.pt: expected weights, got a damaged file or another format"):
        read_checkpoint(tmp_path / "a.pt")
