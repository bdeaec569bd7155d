"""BedrockModelSettings: Pydantic AI's settings of Bedrock models, and how a request meets throttling."""

from __future__ import annotations

from pydantic_ai.models.bedrock import BedrockModelSettings as UpstreamModelSettings

from pydantic_ai_aiobedrock._config.call_options import Throttling


class BedrockModelSettings(UpstreamModelSettings, total=False):
    """Settings of a request to a Bedrock model.

    See https://ai.pydantic.dev/api/models/bedrock/#pydantic_ai.models.bedrock.BedrockModelSettings.
    """

    bedrock_throttling: Throttling
    """The reaction of the request while AWS throttles its model: `'wait'` for as long as other requests of it get
    through, or `'raise'` at once. Default: `throttling` of the `BedrockProvider`."""
