"""Imports from within the sandbox of a Temporal workflow."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any


def passed_through() -> AbstractContextManager[None]:
    """Return a context whose imports Temporal's workflow sandbox takes from the process instead of running them again.

    The sandbox runs every module of a workflow's imports again, and refuses botocore's. Pydantic AI's plugin exempts
    Pydantic AI alone. Nothing of this package takes part in a workflow's decisions: requests are sent in activities.

    See https://docs.temporal.io/develop/python/python-sdk-sandbox#passthrough-modules.
    """
    workflow: Any = sys.modules.get('temporalio.workflow')
    return nullcontext() if workflow is None else workflow.unsafe.imports_passed_through()
