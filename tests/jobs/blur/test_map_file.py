"""Maps of the blur from files: every form, any stride, and invalid files."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from manet_cli.degradations.adjustment import gaussians_of
from manet_cli.degradations.kernel_shape import KernelShapes, kernel_shapes
from manet_cli.errors import InputError, UsageError
from manet_cli.jobs.blur.map_file import KernelField, interpolated_kernels, read_kernel_map

Array = npt.NDArray[Any]

CODES = np.zeros((4, 5, 15))
BASIS = torch.linalg.qr(torch.randn(441, 15, generator=torch.Generator().manual_seed(0)))[0]


def params(rows: int = 4, columns: int = 5) -> Array:
    sigma = np.linspace(1, 3, rows * columns).reshape(rows, columns)
    return np.stack((sigma, sigma / 2, np.full_like(sigma, 40)), axis=-1).astype(np.float32)


def kernels(rows: int = 4, columns: int = 5) -> Array:
    return gaussians_of(KernelShapes(*torch.from_numpy(params(rows, columns)).unbind(-1)), 4, 21).numpy()


def read(path: Path) -> KernelField:
    return read_kernel_map(path, 4, 21, BASIS)


def saved(path: Path, **arrays: Any) -> Path:  # noqa: ANN401 - whatever a file may hold
    np.savez(path, **arrays)
    return path


def test_kernels(tmp_path: Path) -> None:
    np.save(tmp_path / "k.npy", kernels().astype(np.float16))
    field = read(tmp_path / "k.npy")
    assert (field.rows, field.columns, field.stride, field.size) == (4, 5, None, None)
    found = field.kernels(1, 3)
    assert (found.sum(dim=(2, 3)) - 1).abs().max() < 1e-6
    assert np.abs(found.numpy() - kernels()[1:3]).max() < 1e-3


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("content", ["kernels", "params"])
def test_archives(tmp_path: Path, content: str, packed: bool) -> None:
    write = np.savez_compressed if packed else np.savez
    array = kernels() if content == "kernels" else params()
    write(tmp_path / "k.npz", **{content: array}, scale=4, stride=3, height=10, width=14, tool="x")  # type: ignore[arg-type]
    field = read(tmp_path / "k.npz")
    assert (field.rows, field.columns, field.stride, field.size) == (4, 5, 3, (10, 14))
    assert np.allclose(field.kernels(0, 4).numpy(), kernels(), atol=1e-6)


def test_shapes_alone(tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", params())
    found = kernel_shapes(read(tmp_path / "p.npy").kernels(0, 4), 4)
    assert np.allclose(found.sigma_x.numpy(), params()[..., 0], rtol=0.01)
    assert np.allclose(found.theta.numpy(), 40, atol=1)


def test_codes(tmp_path: Path) -> None:
    flat = torch.from_numpy(kernels()).reshape(-1, 441)
    outside = flat.mean(dim=0) - BASIS @ (BASIS.T @ flat.mean(dim=0))
    expected = flat @ BASIS @ BASIS.T + outside
    expected = expected / expected.sum(dim=1, keepdim=True)
    codes = (flat @ BASIS).reshape(4, 5, 15).numpy()
    path = saved(tmp_path / "c.npz", codes=codes, basis=BASIS.numpy(), offset=outside.numpy())
    assert np.allclose(read(path).kernels(0, 4).reshape(-1, 441).numpy(), expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("stride", [1, 2, 3, 5])
def test_between_the_grid(tmp_path: Path, stride: int) -> None:
    height, width = 17, 22
    whole = kernels(height, width)
    np.save(tmp_path / "k.npy", whole[::stride, ::stride])
    field = read(tmp_path / "k.npy")
    assert field.stride_for(height, width) == stride
    assert field.is_clear(height, width)
    found = np.full(whole.shape, np.nan, np.float32)
    for start in range(0, height, 8):
        for row, part in interpolated_kernels(field, height, width, start, min(start + 8, height)):
            found[row : row + len(part)] = part
    assert np.allclose(found.sum(axis=(2, 3)), 1, atol=1e-5)
    assert np.allclose(found[::stride, ::stride], whole[::stride, ::stride], atol=1e-6)
    if stride == 2:
        assert np.allclose(found[1, 0], (whole[0, 0] + whole[2, 0]) / 2, atol=1e-6)
        assert np.allclose(found[2, 3], (whole[2, 2] + whole[2, 4]) / 2, atol=1e-6)
        assert np.allclose(found[0, 21], whole[0, 20], atol=1e-6)  # beyond the last


def test_other_pictures_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "k.npy", kernels())
    field = read(tmp_path / "k.npy")
    for height, width in ((40, 5), (4, 6), (3, 5)):
        with pytest.raises(InputError, match=f"{width}x{height}"):
            field.stride_for(height, width)
    exact = read(saved(tmp_path / "k.npz", kernels=kernels(), stride=3, height=10, width=14))
    with pytest.raises(InputError, match="14x10"):
        exact.stride_for(11, 14)


def test_what_is_not_clear_is_known(tmp_path: Path) -> None:
    np.save(tmp_path / "k.npy", kernels(3, 4))
    field = read(tmp_path / "k.npy")
    assert field.stride_for(17, 22) == 6
    assert not field.is_clear(17, 22)  # a stride of 7 fits too
    assert read(saved(tmp_path / "k.npz", kernels=kernels(3, 4), stride=7)).stride_for(17, 22) == 7


def negative() -> Array:
    array = params()
    array[2, 3, 1] = -1
    return array


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "sum": ({"kernels": kernels() * 1.5}, "sum to 1.5"),
    "nan": ({"kernels": np.where(np.arange(21) == 3, np.nan, kernels())}, "sum to nan"),
    "shape": ({"kernels": kernels()[..., :5]}, "(4, 5, 21, 5)"),
    "empty": ({"kernels": kernels()[:0]}, "(0, 5, 21, 21)"),
    "complex": ({"kernels": kernels() * 1j}, "complex"),
    "params": ({"params": negative()}, "above 0"),
    "both": ({"params": params(), "kernels": kernels()}, "it holds 2"),
    "neither": ({"other": params()}, "it holds 0"),
    "scale": ({"kernels": kernels(), "scale": 2}, "made for x2"),
    "stride": ({"kernels": kernels(), "stride": 0}, "its stride"),
    "text": ({"kernels": kernels(), "stride": "3"}, "its stride"),
    "no basis": ({"codes": CODES}, "without their basis"),
    "no offset": ({"codes": CODES, "basis": BASIS.numpy()}, "without their basis and offset"),
    "basis": ({"codes": CODES, "basis": np.zeros((441, 15)), "offset": np.zeros(441)}, "other weights"),
    "offset": ({"codes": CODES, "basis": BASIS.numpy(), "offset": np.zeros(21)}, "its offset"),
    "codes": ({"codes": CODES, "basis": BASIS.numpy(), "offset": np.zeros(441)}, "sum to 0"),
}


@pytest.mark.parametrize("name", BAD)
def test_arrays_that_are_no_map_are_refused(tmp_path: Path, name: str) -> None:
    arrays, words = BAD[name]
    with pytest.raises(UsageError) as error:
        read(saved(tmp_path / "bad.npz", **arrays))
    assert words in str(error.value)


def test_files_that_are_no_map_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.npy").write_text("hello")
    (tmp_path / "zip.npz").write_bytes(b"PK\x03\x04" + bytes(60))
    (tmp_path / "empty.npy").touch()
    objects = np.array([{"a": 1}], dtype=object)
    np.save(tmp_path / "pickle.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "pickle.npz", kernels=objects)
    with (tmp_path / "huge.npy").open("wb") as file:
        header = {"descr": "<f8", "fortran_order": False, "shape": (10**9, 10**6, 21, 21)}
        np.lib.format.write_array_header_1_0(file, header)
    with zipfile.ZipFile(tmp_path / "huge.npz", "w") as archive:
        archive.write(tmp_path / "huge.npy", "kernels.npy")
    cut = saved(tmp_path / "cut.npz", kernels=kernels())
    cut.write_bytes(cut.read_bytes()[:5000])
    for path in (*sorted(tmp_path.iterdir()), tmp_path / "missing.npy", tmp_path):
        with pytest.raises(UsageError, match=r"plain numbers|no such file"):
            read(path)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_kernels_centred_in_their_arrays_are_moved_and_it_is_said(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    placed = torch.from_numpy(kernels())
    moved = torch.zeros(4, 5, 21, 21)
    # Half-pixel shifts are interpolated, so make the kernels at the centre.
    positions = torch.arange(21.0) - 10
    y, x = torch.meshgrid(positions, positions, indexing="ij")
    for row in range(4):
        for column, (wide, narrow, _) in enumerate(params()[row]):
            angle = np.deg2rad(40)
            along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
            kernel = torch.exp(-0.5 * ((along / wide) ** 2 + (across / narrow) ** 2))
            moved[row, column] = kernel / kernel.sum()
    path = tmp_path / f"k{suffix}"
    if suffix == ".npy":
        np.save(path, moved.numpy())
    else:
        saved(path, kernels=moved.numpy())
    found = read(path).kernels(0, 4)
    assert "its kernels are centred in their arrays" in caplog.text
    assert "their centres are moved by 1.5 pixels" in caplog.text
    wide_ones = slice(2, 4)  # below 0.7 pixels no interpolation is exact
    torch.testing.assert_close(found[wide_ones], placed[wide_ones], rtol=0, atol=0.002)
