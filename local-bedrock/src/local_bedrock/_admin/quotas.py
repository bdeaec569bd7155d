"""Quotas in the form of JSON, and the state of their buckets."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from functools import cache
from typing import Any

from local_bedrock._admin.forms import Form, built, items
from local_bedrock._arguments import TEXT, optional
from local_bedrock.quotas import Quota, Quotas


@cache
def form() -> Form:
    """Return the form of a quota: its limits, its bursts, the model that it is for."""
    return Form({**Quota.arguments.schemas, 'model': optional(TEXT)})


def read_quotas(value: object) -> list[Quota]:
    """Read a quota or a list of them.

    Args:
        value: Decoded JSON.

    Raises:
        InputError: A quota is not of the form, or has no limit.
    """
    return [built(Quota, form().read(item, place), place) for place, item in items(value, 'quotas')]


def shown(quotas: Quotas) -> dict[str, Any]:
    """Return the quotas, the requests that they have let through and refused, and the levels of their buckets."""
    refused: dict[str, Counter[str]] = {}
    for throttle in quotas.throttles:
        refused.setdefault(throttle.model_id, Counter())[throttle.resource] += 1
    levels = quotas.levels()
    return {
        'quotas': [_shown(quota) for quota in quotas.current],
        'admitted': quotas.admitted,
        'throttled': quotas.throttled,
        'models': {
            model_id: {'available': levels.get(model_id, {}), 'throttled': dict(refused.get(model_id, {}))}
            for model_id in sorted({*levels, *refused})
        },
    }


def _shown(quota: Quota) -> dict[str, Any]:
    values = {field.name: getattr(quota, field.name) for field in fields(Quota)}
    if callable(quota.model):
        values['model'] = f'{getattr(quota.model, "__name__", "function")}()'
    return {name: value for name, value in values.items() if value is not None}
