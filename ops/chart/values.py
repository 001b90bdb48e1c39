"""Reads values.yaml with its comments: `# -- text` documents the value below the comment."""

import re
from dataclasses import dataclass
from typing import Any

import yaml

_KEY = re.compile(r"^( *)([A-Za-z][\w-]*):")
_STEP = 2


@dataclass(frozen=True)
class Value:
    """A documented value.

    Attributes:
        path: The keys that lead to the value, from the top.
        default: The value in values.yaml. It may be a map or a list.
        text: The comment, as one line.
    """

    path: tuple[str, ...]
    default: Any
    text: str

    @property
    def name(self) -> str:
        """The path in the notation of `--set`: `image.tag`."""
        return ".".join(self.path)


def documented(text: str) -> list[Value]:
    """Return every documented value of values.yaml, in the file's order.

    A comment on a map documents the whole map.

    Args:
        text: The content of values.yaml.

    Raises:
        ValueError: Neither a value nor a map that holds it has a comment.
    """
    tree = yaml.safe_load(text)
    found: list[Value] = []
    path: list[str] = []
    comment: list[str] | None = None
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("#"):
            if stripped.startswith("# -- "):
                comment = [stripped.removeprefix("# -- ")]
            elif comment is not None:
                comment.append(stripped.removeprefix("#").strip())
            continue
        key = _KEY.match(line)
        inside = bool(found) and key is not None and _below(found[-1].path, path, len(key[1]))
        if key and not inside:
            path = [*path[: len(key[1]) // _STEP], key[2]]
            if comment is not None:
                found.append(Value(tuple(path), _at(tree, path), " ".join(comment)))
        if stripped:
            comment = None
    _all_documented(tree, (), {value.path for value in found})
    return found


def _below(documented_path: tuple[str, ...], path: list[str], indent: int) -> bool:
    return tuple(path) == documented_path and indent // _STEP >= len(documented_path)


def _at(tree: Any, path: list[str]) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def _all_documented(tree: Any, path: tuple[str, ...], paths: set[tuple[str, ...]]) -> None:
    if path in paths:
        return
    if not isinstance(tree, dict) or not tree:
        raise ValueError(f"values.yaml: {'.'.join(path)} has no comment that begins with `# -- `")
    for key, below in tree.items():
        _all_documented(below, (*path, key), paths)
