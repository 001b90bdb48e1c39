"""What README.md and CHANGELOG.md promise about the code is true."""

import re
from pathlib import Path

from worker.contract.errors import Reason
from worker.settings import markdown_table

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def test_the_settings_table_is_the_one_that_the_model_makes() -> None:
    shown = README.partition("compared by a test -->\n")[2].partition("\n<!-- /settings -->")[0]
    assert shown == markdown_table(), "put the output of `corti-worker settings` into README.md"


def test_every_reason_code_is_explained() -> None:
    table = README.partition("| reason | what happened |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`([a-z_]+)`", table)) >= {reason.value for reason in Reason}


def test_every_link_to_a_file_leads_to_one() -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []
