"""The checks of a request to a model: the service model, the table of families, the rules of messages."""

from __future__ import annotations

from dataclasses import dataclass

from local_bedrock._bodies.json_access import structure
from local_bedrock._bodies.tokens import input_tokens
from local_bedrock._model.families import UNKNOWN, family_of
from local_bedrock._model.invoke import claude
from local_bedrock._model.invoke.claude_rules import check_messages, with_own_words
from local_bedrock._model.invoke.formats import format_of
from local_bedrock._model.message_rules import (
    check_converse,
    check_count_tokens,
    check_on_demand,
    check_prompt_length,
)
from local_bedrock._model.validation import ServiceModel
from local_bedrock.errors import validation_error
from local_bedrock.requests import RecordedRequest


@dataclass(frozen=True)
class Checks:
    """The checks of Bedrock Runtime."""

    service_model: ServiceModel
    strict_models: bool
    """Apply the table of families."""

    def check(self, record: RecordedRequest) -> None:
        """Check a request, and note its request of a text model in the terms of Converse.

        Raises:
            RefusedError: With Bedrock's error for the first rule that is broken.
        """
        assert record.operation is not None
        model_id = record.model_id
        if record.operation == 'ApplyGuardrail':
            self.service_model.check(record.operation, record.body)
            return
        # Batch inference takes the ids of foundation models.
        if self.strict_models and record.job_arn is None and record.operation != 'CountTokens':
            check_on_demand(model_id)
        match record.operation:
            case 'InvokeModel' | 'InvokeModelWithResponseStream':
                self._check_invocation(record)
            case 'CountTokens':
                self.service_model.check(record.operation, record.body)
                if self.strict_models:
                    check_count_tokens(model_id)
                if 'converse' in (counted := structure(record.body, 'input')):
                    check_converse(structure(counted, 'converse'), self._rules_of(model_id))
            case _:
                self.service_model.check(record.operation, record.body)
                streaming = record.operation == 'ConverseStream'
                check_converse(record.body, self._rules_of(model_id), streaming=streaming)
                if self.strict_models:
                    check_prompt_length(record.body, input_tokens(record.body), model_id)

    def _rules_of(self, model_id: str) -> str:
        """Return the id by which the table of families is asked."""
        return model_id if self.strict_models or ':prompt/' in model_id else ''

    def _check_invocation(self, record: RecordedRequest) -> None:
        model_format = format_of(record.model_id, record.body)
        if model_format is None:
            if record.operation == 'InvokeModelWithResponseStream':
                raise validation_error('The model is unsupported for streaming.')
            return
        asked = record.invocation = model_format.converse_request(record.body)
        if model_format is claude:
            check_messages(asked, family_of(record.model_id) if self.strict_models else UNKNOWN)
        else:
            self.service_model.check('Converse', asked)
        if self.strict_models:
            with_own_words(lambda: check_prompt_length(asked, input_tokens(asked), record.model_id))
