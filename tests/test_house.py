"""House rules that are easy to break unnoticed."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "manet_cli"
ROWS = [
    {"__init__", "errors"},
    {"file_identity", "regular_file", "shared_setting", "stopping", "user_cache"},
    {"atomic"},
    {"images", "degradations", "models"},
    {"weights", "inference"},
    {"evaluation"},
    {"training"},
    {"jobs"},
    {"api"},
    {"console"},
    {"commands"},
    {"cli"},
    {"__main__"},
]
ROW_OF = {room: row for row, rooms in enumerate(ROWS) for room in rooms}
MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    """The part of the house of a module."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """The parts of the house that a module imports from, with imports anywhere in it."""
    rooms = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if path == PACKAGE / "__init__.py":
        # Its imports from above are for type checkers only, and lazy at run time.
        tree.body = [node for node in tree.body if ast.unparse(node).split(":")[0] != "if TYPE_CHECKING"]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "manet_cli":
            parts = node.module.split(".")[1:]
            rooms |= {parts[0]} if parts else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            rooms |= {name.name.split(".")[1] for name in node.names if name.name.startswith("manet_cli.")}
    return {"__init__" if room == "__version__" else room for room in rooms}


def test_every_module_is_in_a_room() -> None:
    assert {room_of(path) for path in MODULES} == set(ROW_OF)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down(path: Path) -> None:
    room = room_of(path)
    for imported in imported_rooms(path) - {room}:
        assert ROW_OF[imported] < ROW_OF[room], f"{room} imports {imported}, which is not below it"


def name_of(path: Path) -> str:
    """The dotted name of a module."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def needed_modules(path: Path, known: set[str]) -> set[str]:
    """The modules imported anywhere in a module.

    Imports for type checkers count too, since they couple two modules as well.
    """
    needed = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                needed.add(submodule if submodule in known else node.module)
        elif isinstance(node, ast.Import):
            needed |= {alias.name for alias in node.names}
    return needed & known


def circle(needs: dict[str, set[str]]) -> tuple[str, ...]:
    """A cycle of imports; empty if there is none."""
    cleared: set[str] = set()

    def walk(name: str, way: tuple[str, ...]) -> tuple[str, ...]:
        if name in way:
            return (*way[way.index(name) :], name)
        for needed in sorted(needs.get(name, set()) - cleared):
            if found := walk(needed, (*way, name)):
                return found
        cleared.add(name)
        return ()

    return next((found for name in sorted(needs) if (found := walk(name, ()))), ())


def test_no_import_goes_round_in_a_circle() -> None:
    known = {name_of(path) for path in MODULES}
    # The package's imports from above are lazy.
    paths = [path for path in MODULES if path != PACKAGE / "__init__.py"]
    assert not circle({name_of(path): needed_modules(path, known) for path in paths})
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"d", "b"}}) == ("b", "c", "b")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_top_prints_or_exits(path: Path) -> None:
    if ROW_OF[room_of(path)] >= ROW_OF["console"]:
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in {"print", "exit", "sys.exit", "os._exit"}, f"line {node.lineno}"
        if isinstance(node, ast.Attribute):
            assert ast.unparse(node) not in {"sys.argv", "sys.stderr"}, f"line {node.lineno}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_models_name_a_restorers_architecture(path: Path) -> None:
    if room_of(path) != "models":
        code = ast.unparse(ast.parse(path.read_text(encoding="utf-8")))
        assert not re.search(r"\bRRDB|\brrdb", re.sub(r'""".*?"""', "", code, flags=re.DOTALL))


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["upscale", "--help"], ["weights", "list", "--help"]]
)
def test_help_imports_no_torch(arguments: list[str]) -> None:
    script = (
        "import sys\n"
        "from manet_cli.cli import app\n"
        f"sys.argv = ['manet', *{arguments!r}]\n"
        "try:\n    app()\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "slow = {'torch', 'numpy', 'PIL', 'safetensors'} & set(sys.modules)\n"
        "assert not slow, slow\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.DEVNULL)


def test_the_package_imports_nothing_heavy() -> None:
    script = (
        "import sys, manet_cli\n"
        "assert 'open_model' in dir(manet_cli)\n"
        "slow = {'torch', 'numpy', 'PIL', 'typer', 'rich'} & set(sys.modules)\n"
        "assert not slow, slow\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_version_is_one() -> None:
    changelog = (PACKAGE.parent / "CHANGELOG.md").read_text(encoding="utf-8")
    from manet_cli import __version__

    assert f"## [{__version__}]" in changelog


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_error_hides_a_signal(path: Path) -> None:
    """Code that continues after any error first checks for a signal."""
    for handler in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(handler, ast.ExceptHandler) or handler.type is None:
            continue
        caught = {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)}
        raises = any(isinstance(node, ast.Raise) for node in ast.walk(handler))
        if caught & {"Exception", "ManetError"} and not raises:
            first = ast.unparse(handler.body[0])
            assert first == "end_if_stopped()", f"line {handler.lineno} may hide a signal"


_COMMAND_MAKERS = ("jobs/doctor/job.py", "jobs/replay.py")
"""Modules whose results are commands."""

_OPTION = re.compile(r"(?<![\w-])--?[a-z][\w-]*")
_COMMAND = re.compile(r"'(?:manet|pip) [^']*'")


def texts_of(path: Path) -> Iterator[tuple[int, str]]:
    """The strings of a module with their lines, without docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    left_out = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    left_out |= {part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if node in left_out:
            continue
        if isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else "..." for part in node.values)
            yield node.lineno, "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_message_names_an_option(path: Path) -> None:
    """A message names parameters, which become options on the command line. Whole commands are allowed."""
    below = path.relative_to(PACKAGE).as_posix()
    if ROW_OF[room_of(path)] >= ROW_OF["console"] or below in _COMMAND_MAKERS:
        return
    for line, text in texts_of(path):
        assert not _OPTION.search(_COMMAND.sub("", text)), f"line {line}: {text}"
