"""The checks of a release find the errors."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

from tests.release import ROOT, missing_from, stated_versions, write_completions


def test_the_versions_agree() -> None:
    assert len(set(stated_versions(ROOT).values())) == 1


def test_another_version_is_noticed(tmp_path: Path) -> None:
    shutil.copy(ROOT / "CITATION.cff", tmp_path)
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n\n## [9.9.9] - 2030-01-01\n")
    assert stated_versions(tmp_path)["CHANGELOG.md"] == "9.9.9"


def test_weights_that_a_wheel_lacks_are_named(tmp_path: Path) -> None:
    wheel = tmp_path / "manet_cli.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("manet_cli/weights.toml", "")
    assert "manet_cli/weights/shipped/small_x4.safetensors" in missing_from(wheel)


def test_a_script_for_each_shell(tmp_path: Path) -> None:
    write_completions(tmp_path / "completions")
    scripts = {path.name: path.read_text() for path in (tmp_path / "completions").iterdir()}
    assert set(scripts) == {"manet.bash", "_manet", "manet.fish"}
    assert all("_MANET_COMPLETE" in script for script in scripts.values())
