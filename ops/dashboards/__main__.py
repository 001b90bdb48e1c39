"""`python -m ops.dashboards`: writes the JSON of every dashboard into the directory of this file."""

from pathlib import Path

from ops.dashboards.board import to_json
from ops.dashboards.consultations import CONSULTATIONS
from ops.dashboards.fleet import FLEET
from ops.dashboards.queues import QUEUES

FOLDER = Path(__file__).parent
BOARDS = (CONSULTATIONS, FLEET, QUEUES)


def main() -> None:
    """Write the JSON files and print their paths."""
    for board in BOARDS:
        path = FOLDER / f"{board.name}.json"
        path.write_text(to_json(board))
        print(path)


if __name__ == "__main__":
    main()
