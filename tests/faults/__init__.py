"""What becomes of a call when AWS, the network or the server is in trouble, case by case."""

import pytest

pytest.register_assert_rewrite('faults.calls', 'faults.outcomes')
