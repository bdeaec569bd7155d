"""Errors by which newer releases of pydantic-ai tell what went wrong; older ones raise what these are kinds of."""

from __future__ import annotations

from typing import Any

from pydantic_ai import exceptions

ModelConnectionError: Any = getattr(exceptions, 'ModelConnectionError', exceptions.ModelAPIError)
ModelTimeoutError: Any = getattr(exceptions, 'ModelTimeoutError', exceptions.ModelAPIError)
