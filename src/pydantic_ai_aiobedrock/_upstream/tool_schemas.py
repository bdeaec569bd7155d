"""The JSON schemas of tools, adapted to a model once and not at every request."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.tools import ToolDefinition
from pydantic_core import to_json

REMEMBERED = 1024
"""Schemas that are remembered at most; the oldest is forgotten first."""

_Key = tuple[object, str, bool | None, bytes]


class _Adapted(NamedTuple):
    """A tool as it was given, and as upstream adapted it: replaced as a whole, for threads share what is remembered."""

    fields: dict[str, object]
    tool: ToolDefinition


class AdaptedSchemas:
    """Remembers the schemas that upstream adapts, which depend on the tool, on `strict` and on the model's profile.

    Walking a schema takes some 50 µs, which a model with twenty tools spends on every request. A schema is known by its
    content, so that a schema that was changed in place is adapted again.
    """

    def __init__(self) -> None:
        self._adapted: OrderedDict[_Key, _Adapted] = OrderedDict()

    def customize(
        self,
        parameters: ModelRequestParameters,
        transformer: object,
        customize: Callable[[ModelRequestParameters], ModelRequestParameters],
    ) -> ModelRequestParameters:
        """Customize a request's parameters, leaving tools that are known out of upstream's work.

        Args:
            parameters: The request's parameters.
            transformer: The profile's transformer of schemas.
            customize: Upstream's method.

        Raises:
            UserError: Upstream can't adapt a tool's schema.
        """
        has_other_schemas = bool(parameters.output_tools) or parameters.output_object is not None
        if not parameters.function_tools:
            return customize(parameters) if has_other_schemas else parameters
        keys: list[_Key] = [
            (transformer, tool.name, tool.strict, _as_bytes(tool.parameters_json_schema))
            for tool in parameters.function_tools
        ]
        found = [self._adapted.get(key) for key in keys]
        tools = list(zip(parameters.function_tools, keys, found, strict=True))
        if has_other_schemas or not all(found):
            unknown = [tool for tool, _, adapted in tools if not adapted]
            parameters = customize(replace(parameters, function_tools=unknown))
        new = iter(parameters.function_tools)
        return replace(
            parameters,
            function_tools=[
                self._again(key, tool, adapted) if adapted else self._remember(key, tool, next(new))
                for tool, key, adapted in tools
            ],
        )

    def _again(self, key: _Key, tool: ToolDefinition, adapted: _Adapted) -> ToolDefinition:
        if vars(tool) == adapted.fields:
            return adapted.tool
        known = adapted.tool
        return self._remember(
            key, tool, replace(tool, parameters_json_schema=known.parameters_json_schema, strict=known.strict)
        )

    def _remember(self, key: _Key, tool: ToolDefinition, adapted: ToolDefinition) -> ToolDefinition:
        self._adapted[key] = _Adapted(dict(vars(tool)), adapted)
        while len(self._adapted) > REMEMBERED:
            self._adapted.popitem(last=False)
        return adapted


def _as_bytes(schema: dict[str, object]) -> bytes:
    try:
        return to_json(schema)
    except ValueError:
        # Half a surrogate pair has no UTF-8, but JSON can name it, and so do requests.
        return json.dumps(schema).encode()
