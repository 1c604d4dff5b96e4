"""What every implementation of a protocol must do: one abstract class for each protocol.

The tests of an implementation are a subclass with a fixture that makes it.
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.contract.detector", "tests.contract.ledger")
