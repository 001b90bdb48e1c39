"""`python -m ops.chart update` writes the chart's generated files; `check` names those not current."""

import sys

from ops.chart.made import made, stale


def main(arguments: list[str]) -> int:
    """Return the exit code: 0, 1 if `check` found files that are not current, or 2 for unknown arguments."""
    if arguments == ["update"]:
        for path, text in made().items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for path in stale():
            path.unlink()
        return 0
    if arguments == ["check"]:
        found = stale()
        for path in found:
            print(f"{path} is not current; run `.venv/bin/python -m ops.chart update`")
        return 1 if found else 0
    print("usage: python -m ops.chart update|check", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
