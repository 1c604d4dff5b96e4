"""What every implementation of a protocol must do: one abstract class for each protocol.

The tests of an implementation are a subclass with a fixture or a method that makes it.
"""

from __future__ import annotations

import pytest

_ALL = ("detector", "executor", "ledger", "obfuscator", "review_queue", "sink", "source")
pytest.register_assert_rewrite(*(f"{__name__}.{name}" for name in _ALL))
