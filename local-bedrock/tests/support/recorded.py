"""Exchanges that were recorded with Amazon Bedrock."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from support.requests import Post


def exchanges(folder: Path, name: str) -> list[dict[str, Any]]:
    return json.loads((folder / f'{name}.json').read_text())


def model_of(exchange: dict[str, Any]) -> tuple[str, str]:
    from urllib.parse import unquote

    _, _, model, operation = exchange['request']['path'].split('/')
    return unquote(model), operation


async def replay(exchange: dict[str, Any], post: Post) -> tuple[int, dict[str, str], bytes]:
    model, operation = model_of(exchange)
    return await post(operation, exchange['request']['json'], model=model)
