"""`python -m ops.dashboards`: write the JSON of every dashboard beside this file."""

from pathlib import Path

from ops.dashboards.board import to_json
from ops.dashboards.consultations import CONSULTATIONS
from ops.dashboards.fleet import FLEET
from ops.dashboards.queues import QUEUES

FOLDER = Path(__file__).parent
BOARDS = (CONSULTATIONS, FLEET, QUEUES)


def main() -> None:
    """Write them."""
    for board in BOARDS:
        path = FOLDER / f"{board.name}.json"
        path.write_text(to_json(board))
        print(path)


if __name__ == "__main__":
    main()
