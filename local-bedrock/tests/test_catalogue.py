"""Calls before the first call of a model: models and profiles, guardrails, and the caller itself."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from support.requests import MakeClient

from local_bedrock import EXPIRED_TOKEN, THROTTLING, LocalBedrock, RawReply

SONNET = 'anthropic.claude-sonnet-4-20250514-v1:0'
PROFILE = f'us.{SONNET}'


def refused(error: pytest.ExceptionInfo[ClientError]) -> tuple[int, str]:
    response = error.value.response
    return response['ResponseMetadata']['HTTPStatusCode'], response['Error']['Code']


# Models


def test_models_are_listed_with_their_properties(control_plane: Any) -> None:
    models = {model['modelId']: model for model in control_plane.list_foundation_models()['modelSummaries']}
    sonnet = models[SONNET]
    assert sonnet['modelArn'] == f'arn:aws:bedrock:us-east-1::foundation-model/{SONNET}'
    assert (sonnet['providerName'], sonnet['modelLifecycle']) == ('Anthropic', {'status': 'ACTIVE'})
    assert sonnet['inferenceTypesSupported'] == ['INFERENCE_PROFILE']
    assert models['amazon.titan-embed-text-v2:0']['outputModalities'] == ['EMBEDDING']


@pytest.mark.parametrize(
    ('asked', 'member', 'value'),
    [
        ({'byProvider': 'anthropic'}, 'providerName', 'Anthropic'),
        ({'byOutputModality': 'EMBEDDING'}, 'outputModalities', ['EMBEDDING']),
        ({'byInferenceType': 'ON_DEMAND'}, 'inferenceTypesSupported', ['ON_DEMAND']),
    ],
)
def test_models_are_listed_by_what_is_asked_for(control_plane: Any, asked: Any, member: str, value: Any) -> None:
    everything = control_plane.list_foundation_models()['modelSummaries']
    found = control_plane.list_foundation_models(**asked)['modelSummaries']
    assert 0 < len(found) < len(everything)
    assert all(model[member] == value for model in found)


def test_a_model_is_described_by_id_and_arn(control_plane: Any) -> None:
    for identifier in (SONNET, f'arn:aws:bedrock:us-east-1::foundation-model/{SONNET}'):
        details = control_plane.get_foundation_model(modelIdentifier=identifier)['modelDetails']
        assert details['modelId'] == SONNET
    with pytest.raises(control_plane.exceptions.ValidationException, match='model identifier is invalid'):
        control_plane.get_foundation_model(modelIdentifier='nobody.model-v1')


def test_the_models_of_an_endpoint_are_those_that_it_lists(make_client: MakeClient) -> None:
    with LocalBedrock(models=['amazon.nova-lite-v1:0', 'us.amazon.nova-pro-v1:0']) as bedrock:
        client = make_client('bedrock', bedrock=bedrock)
        models = [model['modelId'] for model in client.list_foundation_models()['modelSummaries']]
        profiles = client.list_inference_profiles()['inferenceProfileSummaries']
    assert models == ['amazon.nova-lite-v1:0', 'amazon.nova-pro-v1:0']
    assert [profile['inferenceProfileId'] for profile in profiles] == ['us.amazon.nova-pro-v1:0']


# Inference profiles


def test_profiles_are_listed_page_by_page(control_plane: Any) -> None:
    everything = control_plane.list_inference_profiles()['inferenceProfileSummaries']
    assert PROFILE in [profile['inferenceProfileId'] for profile in everything]
    pages = list(control_plane.get_paginator('list_inference_profiles').paginate(PaginationConfig={'PageSize': 4}))
    assert len(pages) > 2
    assert [profile for page in pages for profile in page['inferenceProfileSummaries']] == everything
    assert control_plane.list_inference_profiles(typeEquals='APPLICATION')['inferenceProfileSummaries'] == []
    with pytest.raises(control_plane.exceptions.ValidationException, match='pagination token'):
        control_plane.list_inference_profiles(nextToken='unknown')


def test_a_profile_is_described_by_id_and_arn(control_plane: Any) -> None:
    found = control_plane.get_inference_profile(inferenceProfileIdentifier=PROFILE)
    assert control_plane.get_inference_profile(inferenceProfileIdentifier=found['inferenceProfileArn'])['models']
    assert found['models'][0]['modelArn'] == f'arn:aws:bedrock:us-east-1::foundation-model/{SONNET}'
    assert (found['status'], found['type']) == ('ACTIVE', 'SYSTEM_DEFINED')
    with pytest.raises(control_plane.exceptions.ResourceNotFoundException):
        control_plane.get_inference_profile(inferenceProfileIdentifier=SONNET)


# Guardrails


def test_a_guardrail_lets_everything_pass_until_a_reply_says_otherwise(client: Any, served: LocalBedrock) -> None:
    asked = {'guardrailIdentifier': 'abc', 'guardrailVersion': 'DRAFT', 'source': 'INPUT'}
    content = [{'text': {'text': 'Hello'}}]
    assert client.apply_guardrail(**asked, content=content)['action'] == 'NONE'
    blocked = {'action': 'GUARDRAIL_INTERVENED', 'outputs': [{'text': 'No.'}], 'assessments': [], 'usage': {}}
    served.reply(
        RawReply(json.dumps(blocked).encode(), headers={'Content-Type': 'application/json'}), operation='ApplyGuardrail'
    )
    assert client.apply_guardrail(**asked, content=content)['outputs'] == [{'text': 'No.'}]
    with pytest.raises(client.exceptions.ValidationException, match="at 'source'"):
        client.apply_guardrail(**{**asked, 'source': 'NEITHER'}, content=content)
    assert [(request.resource, request.model_id) for request in served.requests] == [('abc', '')] * 3


# Who asks


def test_a_caller_is_told_who_it_is(make_client: MakeClient, served: LocalBedrock) -> None:
    identity = make_client('sts').get_caller_identity()
    assert (identity['Account'], identity['Arn']) == ('000000000000', 'arn:aws:iam::000000000000:user/local-bedrock')
    assert served.requests[0].operation == 'GetCallerIdentity'
    assert 'AWS_ENDPOINT_URL_STS' in served.environment


def test_sts_refuses_in_its_own_words(make_client: MakeClient, served: LocalBedrock) -> None:
    with pytest.raises(ClientError) as error:
        make_client('sts', aws_secret_access_key='wrong').get_caller_identity()
    assert refused(error) == (403, 'SignatureDoesNotMatch')
    served.fault(EXPIRED_TOKEN, operation='GetCallerIdentity', times=1)
    with pytest.raises(ClientError) as error:
        make_client('sts').get_caller_identity()
    assert refused(error) == (403, 'ExpiredToken')
    with pytest.raises(ClientError, match='LocalBedrock has no operation for POST /') as error:
        make_client('sts').get_session_token()
    assert refused(error) == (404, 'InvalidAction')


def test_what_is_no_operation_is_refused_with_a_message(control_plane: Any, client: Any, served: LocalBedrock) -> None:
    with pytest.raises(ClientError, match='LocalBedrock has no operation for GET /guardrails') as error:
        control_plane.list_guardrails()
    assert refused(error) == (404, 'UnknownOperationException')
    served.fault(THROTTLING, operation='ListFoundationModels', times=1)
    with pytest.raises(control_plane.exceptions.ThrottlingException):
        control_plane.list_foundation_models()
