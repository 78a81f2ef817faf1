"""What others wrote stands in a log on one line, as it is shown, whoever handles the record."""

from __future__ import annotations

import pytest

from rag_assets.escapes import logger
from rag_assets.store.files import warn

HOSTILE = "a\x1b[2J\x07\x9b\u202e\udcff\nERROR all is well % %s"
SHOWN = r"a\x1b[2J\x07\x9b\u202e\udcff\nERROR all is well % %s"


def test_a_message_and_what_is_put_into_it_are_escaped(caplog: pytest.LogCaptureFixture) -> None:
    logger("rag_assets.some").warning(HOSTILE)
    logger("rag_assets.some").error("%s of %d", HOSTILE, 3)
    warn(HOSTILE)
    assert [record.getMessage() for record in caplog.records] == [SHOWN, f"{SHOWN} of 3", SHOWN]
