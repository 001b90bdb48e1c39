"""Imports of modules, found in their syntax trees, and the ways to load code without an import statement."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Calls that read the clock or load code without an import of their own.
_CALLS = {
    "now": "datetime.now",
    "utcnow": "datetime.now",
    "today": "datetime.now",
    "import_module": "importlib.import_module",
}
_BUILTINS = {"__import__", "eval", "exec", "compile"}

Trees = Mapping[str, ast.Module]


def trees(part: str) -> dict[str, ast.Module]:
    """The syntax tree of every module of a part of the repository, by the module's name."""
    found = {}
    for file in sorted((ROOT / part).rglob("*.py")):
        names = file.relative_to(ROOT).with_suffix("").parts
        module = ".".join(names[:-1] if names[-1] == "__init__" else names)
        found[module] = ast.parse(file.read_text(), str(file))
    return found


def used(tree: ast.Module) -> Iterator[str]:
    """Every dotted name that a module imports, in functions and behind TYPE_CHECKING too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import hides the package that it imports from"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute) and node.attr in _CALLS:
            yield _CALLS[node.attr]
        elif isinstance(node, ast.Name) and node.id in _BUILTINS:
            yield f"builtins.{node.id}"


def inner_imports(all_trees: Trees) -> dict[str, set[str]]:
    """For each module, those of the given modules that it imports."""

    def module(name: str) -> str:
        # `from worker import job` names a module, `from worker.contract.job import Job` a name within one.
        return name if name in all_trees else name.rpartition(".")[0]

    return {
        importer: {module(name) for name in used(tree) if module(name) in all_trees}
        for importer, tree in all_trees.items()
    }
