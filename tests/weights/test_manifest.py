"""The manifest, and loading weights by name."""

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import manet_cli.weights.resolve
from manet_cli.errors import UsageError, WeightsError
from manet_cli.weights import Entry, file_sha256, find_entry, load_manifest, load_weights, locate_weights
from manet_cli.weights.layout import to_published
from manet_cli.weights.manifest import RETIRED, parse_manifest

GOOD = """
[a_x2]
family = "a"
scale = 2
summary = "one"
licence = "Apache-2.0"
file = "a.safetensors"
sha256 = "00"
"""


def only(monkeypatch: pytest.MonkeyPatch, *entries: Entry) -> None:
    monkeypatch.setattr(manet_cli.weights.resolve, "load_manifest", lambda: entries)


def test_the_real_one_parses_and_holds_together() -> None:
    manifest = load_manifest()
    assert len({entry.name for entry in manifest}) == len(manifest)
    assert len({(entry.family, entry.scale) for entry in manifest}) == len(manifest)
    for entry in manifest:
        assert entry.scale in (2, 3, 4)
        assert entry.summary
        assert entry.licence
        assert bool(entry.file) != bool(entry.url)
        assert not (entry.file and entry.sha256 is None)
    assert find_entry("default").scale == 4


@pytest.mark.parametrize(
    "entry", [entry for entry in load_manifest() if entry.file], ids=lambda e: str(e.name)
)
def test_every_shipped_file_is_the_one_named_and_loads(entry: Entry) -> None:
    assert locate_weights(entry.name).path == entry.path
    weights, scale = load_weights(entry.name)
    assert scale == entry.scale == weights.scale
    assert weights.sha256 == entry.sha256
    assert weights.config.estimator is not None


def test_no_file_is_shipped_that_the_manifest_does_not_name() -> None:
    named = {entry.path for entry in load_manifest() if entry.path}
    folder = next(iter(named)).parent
    assert {path for path in folder.iterdir() if path.suffix in (".safetensors", ".pth", ".pt")} == named


def test_a_table_becomes_an_entry() -> None:
    (entry,) = parse_manifest(GOOD)
    assert (entry.name, entry.family, entry.scale, entry.sha256) == ("a_x2", "a", 2, "00")
    assert entry.url is None
    assert entry.path is not None
    assert entry.path.name == "a.safetensors"


@pytest.mark.parametrize("name", sorted(RETIRED))
def test_a_name_of_an_earlier_version_says_which_to_use(name: str) -> None:
    successor = RETIRED[name]
    for find in (find_entry, load_weights, locate_weights):
        with pytest.raises(WeightsError, match=rf"'{name}' any more: use '{successor}'\.$") as caught:
            find(name)
        assert caught.value.exit_code == 3
    assert find_entry(successor).file


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("scale = 2", "scale = 2\ncolour = 3", "unknown key 'colour'"),
        ("scale = 2", 'scale = "2"', "expected int"),
        ("scale = 2", "scale = 2.0", "expected int"),
        ("scale = 2", "scale = true", "expected int"),
        ("scale = 2", "", "lacks the key 'scale'"),
        ('licence = "Apache-2.0"', "", "lacks the key 'licence'"),
        ('summary = "one"', "summary = 1", "expected str"),
        ('sha256 = "00"', "sha256 = 0", "expected str"),
        ("[a_x2]", "name = 1\n[a_x2]", "is a value, expected a table"),
        ("[a_x2]", "[a_x2", "not valid TOML"),
        ("[a_x2]", '[a_x2]\nname = "b"', "unknown key 'name'"),
        ("[a_x2]", '[a_x2]\nsame_as = "b_x2"', "unknown key 'same_as'"),
    ],
)
def test_what_is_wrong_in_a_manifest_is_said(old: str, new: str, expected: str) -> None:
    assert old in GOOD
    with pytest.raises(WeightsError, match=expected):
        parse_manifest(GOOD.replace(old, new))


def test_a_scale_without_weights_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    only = tuple(entry for entry in load_manifest() if entry.name == "clean_x4")
    monkeypatch.setattr(manet_cli.weights.resolve, "load_manifest", lambda: only)
    with pytest.raises(
        WeightsError, match=r"no weights for x2 in 'default' yet; use scale=4.* with model"
    ) as caught:
        load_weights("default", 2)
    assert caught.value.exit_code == 3


def test_weights_that_are_not_shipped_say_where_they_are() -> None:
    with pytest.raises(
        WeightsError, match=r"published_x3 .at https://.* has no known digest.*pull published_x3 --accept"
    ):
        load_weights("published", 3)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(WeightsError, match=r"'defualt'; give one of default, clean, camera, published"):
        load_weights("defualt")


def test_an_entry_of_another_scale_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"clean_x4 is for x4, but you gave scale=2"):
        load_weights("clean_x4", 2)


def test_a_file_of_another_scale_is_a_usage_error(safetensors_file: Path) -> None:
    assert load_weights(str(safetensors_file))[1] == 3
    assert load_weights(str(safetensors_file), 3)[1] == 3
    with pytest.raises(UsageError, match=r"holds weights for x3, but you gave scale=4"):
        load_weights(str(safetensors_file), 4)


def test_an_estimator_takes_any_scale(small_tensors: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "estimator.safetensors"
    save_file({name: tensor for name, tensor in small_tensors.items() if name.startswith("estimator")}, path)
    assert load_weights(str(path))[1] == 4
    assert load_weights(str(path), 2)[1] == 2


def test_a_missing_file_is_a_weights_error(tmp_path: Path) -> None:
    for name in ("missing.safetensors", "missing.pth", "missing"):
        with pytest.raises(WeightsError, match="no such weight file"):
            load_weights(str(tmp_path / name))


def test_a_wrong_digest_is_refused_before_the_file_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    real = find_entry("default")
    entry = dataclasses.replace(real, sha256="0" * 64)
    only(monkeypatch, entry)

    def never(path: Path) -> object:
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr(manet_cli.weights.resolve, "read_weights", never)
    for refuse in (lambda: load_weights("default"), lambda: locate_weights(entry.name)):
        with pytest.raises(WeightsError, match=f"{real.sha256}, but clean_x4 has 0000"):
            refuse()


def test_a_shipped_file_without_a_digest_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, dataclasses.replace(find_entry("default"), sha256=None))
    with pytest.raises(WeightsError, match="sha256"):
        load_weights("default")


def test_a_shipped_file_that_is_gone_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, dataclasses.replace(find_entry("default"), file="gone.safetensors"))
    with pytest.raises(WeightsError, match="missing; install manet-cli again"):
        load_weights("default")


def test_digest_is_that_of_the_bytes(small_tensors: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.write_bytes(b"")
    assert file_sha256(path) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    torch.save(to_published(small_tensors), tmp_path / "w.pth")
    weights, _ = load_weights(str(tmp_path / "w.pth"))
    assert weights.sha256 == file_sha256(tmp_path / "w.pth")
