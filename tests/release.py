"""The work of ``make release-check``, see RELEASING.md."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import manet_cli
from manet_cli.weights import load_manifest

ROOT = Path(__file__).parents[1]
LARGEST_WHEEL = 60_000_000  # bytes
SHELLS = {"bash": "manet.bash", "zsh": "_manet", "fish": "manet.fish"}


def stated_versions(root: Path) -> dict[str, str]:
    """The version in each file of a release."""
    found = {"manet_cli/__init__.py": manet_cli.__version__}
    for name, pattern in {
        "CHANGELOG.md": r"^## \[([0-9][^]]*)\]",
        "CITATION.cff": r"^version: (.+)$",
    }.items():
        match = re.search(pattern, (root / name).read_text(encoding="utf-8"), re.MULTILINE)
        found[name] = match[1].strip() if match else "none"
    return found


def missing_from(wheel: Path) -> set[str]:
    """The shipped weights and the manifest, if missing from a wheel."""
    files = {file for entry in load_manifest() for file in (entry.file, entry.int8) if file}
    wanted = {f"manet_cli/weights/shipped/{file}" for file in files}
    with zipfile.ZipFile(wheel) as archive:
        return (wanted | {"manet_cli/weights.toml"}) - set(archive.namelist())


def write_completions(folder: Path) -> None:
    """Write the completion scripts for each shell."""
    folder.mkdir(exist_ok=True)
    for shell, name in SHELLS.items():
        environment = {**os.environ, "_MANET_COMPLETE": f"source_{shell}"}
        command = [sys.executable, "-m", "manet_cli"]
        script = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
        (folder / name).write_text(script, encoding="utf-8")


def main() -> None:
    """Build the archives and check them; exit with a message at an error."""
    versions = stated_versions(ROOT)
    if len(set(versions.values())) != 1:
        sys.exit(f"the versions differ: {versions}")
    write_completions(ROOT / "completions")
    subprocess.run([sys.executable, "-m", "build", "--outdir", "dist", "."], cwd=ROOT, check=True)
    version = manet_cli.__version__
    wheel = ROOT / "dist" / f"manet_cli-{version}-py3-none-any.whl"
    if (size := wheel.stat().st_size) >= LARGEST_WHEEL:
        sys.exit(f"{wheel.name} has {size:,} bytes; expected less than {LARGEST_WHEEL:,}")
    if missing := missing_from(wheel):
        sys.exit(f"{wheel.name} lacks {', '.join(sorted(missing))}")
    with tarfile.open(ROOT / "dist" / f"manet_cli-{version}.tar.gz") as archive:
        held = {Path(name).name for name in archive.getnames()}
    if missing := set(SHELLS.values()) - held:
        sys.exit(f"the sdist lacks {', '.join(sorted(missing))}")
    sys.stdout.write(f"manet_cli {version}: wheel of {size:,} bytes, {len(held)} files in the sdist\n")


if __name__ == "__main__":
    main()
