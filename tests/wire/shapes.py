"""Values made from the shapes of the installed service model, and what botocore itself makes of them."""

import base64
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel, Shape
from botocore.parsers import EventStreamJSONParser, create_parser
from botocore.serialize import create_serializer
from hypothesis import strategies as st

# A document with all that a walk by names could stumble over.
DOCUMENT = {
    'nothing': None,
    'image': {'source': {'bytes': 'bm90IGEgYmxvYg=='}},
    'json': [{'redactedContent': 'bm90IGEgYmxvYg==', 'nothing': None}],
    'usage': {'cacheReadInputTokenCount': 1},
    'numbers': [0, -1, 1.5, 2**70],
}


@lru_cache
def service_model() -> ServiceModel:
    return ServiceModel(Loader().load_service_model('bedrock-runtime', 'service-2'), 'bedrock-runtime')


@lru_cache
def operation(name: str) -> OperationModel:
    return service_model().operation_model(name)


@lru_cache
def stream_shape() -> Any:
    return operation('ConverseStream').output_shape.members['stream']


def events() -> dict[str, Any]:
    return {name: shape for name, shape in stream_shape().members.items() if not shape.metadata.get('exception')}


def exceptions() -> list[str]:
    return [name for name, shape in stream_shape().members.items() if shape.metadata.get('exception')]


# What botocore does


def serialized_by_botocore(operation_name: str, params: Mapping[str, Any], *, validate: bool = False) -> bytes:
    serializer = create_serializer('rest-json', include_validation=validate)
    return serializer.serialize_to_request(params, operation(operation_name))['body']


def response_by_botocore(operation_name: str, body: bytes) -> dict[str, Any]:
    response = {'status_code': 200, 'headers': {}, 'body': body, 'context': {'operation_name': operation_name}}
    parsed = create_parser('rest-json').parse(response, operation(operation_name).output_shape)
    del parsed['ResponseMetadata']
    return parsed


def event_by_botocore(headers: Mapping[str, Any], payload: bytes) -> dict[str, Any]:
    status = 400 if headers.get(':message-type') in ('error', 'exception') else 200
    response = {'status_code': status, 'headers': headers, 'body': payload}
    return EventStreamJSONParser().parse(response, stream_shape())


def known(value: Any, shape: Any) -> Any:
    """Reduce a decoded value to what the installed service model knows of it, as botocore reduces it."""
    if shape.type_name == 'structure' and not shape.is_document_type and isinstance(value, dict):
        if shape.is_tagged_union and not value.keys() & shape.members.keys():
            return {'SDK_UNKNOWN_MEMBER': {'name': next(iter(value))}}
        return {name: known(value[name], member) for name, member in shape.members.items() if name in value}
    if shape.type_name == 'list' and isinstance(value, list):
        return [known(item, shape.member) for item in value]
    if shape.type_name == 'map' and isinstance(value, dict):
        return {key: known(item, shape.value) for key, item in value.items()}
    return value


# What there is to send and to receive

Leaf = Callable[[Any], Any]


def wire_leaf(shape: Shape) -> Any:
    """A value of a scalar shape as it stands in a JSON body."""
    return {
        'string': 'text',
        'blob': base64.b64encode(bytes(range(250, 256)) + b'blob').decode(),
        'integer': 7,
        'long': 7_000_000_000,
        'float': 0.5,
        'double': 0.25,
        'boolean': True,
    }[shape.type_name]


def python_leaf(shape: Shape) -> Any:
    """A value of a scalar shape as a caller gives it."""
    return bytes(range(250, 256)) + b'blob' if shape.type_name == 'blob' else wire_leaf(shape)


def single_paths(shape: Any, leaf: Leaf) -> Iterator[tuple[str, Any]]:
    """Give, for each scalar and document below `shape`, its path and a value that holds nothing else."""
    if shape.type_name == 'structure' and not shape.is_document_type:
        for name, member in shape.members.items():
            if not member.serialization.get('location'):
                for path, value in single_paths(member, leaf):
                    yield f'.{name}{path}', {name: value}
    elif shape.type_name == 'list':
        for path, value in single_paths(shape.member, leaf):
            yield f'[]{path}', [value, value]
    elif shape.type_name == 'map':
        for path, value in single_paths(shape.value, leaf):
            yield f'{{}}{path}', {'key': value}
    else:
        yield '', DOCUMENT if getattr(shape, 'is_document_type', False) else leaf(shape)


def documents() -> st.SearchStrategy[Any]:
    scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
    names = st.sampled_from(['bytes', 'source', 'image', 'json', 'input', 'p']) | st.text(max_size=5)
    return st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=6
    )


def wire_scalars(shape: Any) -> st.SearchStrategy[Any]:
    if shape.type_name == 'blob':
        return st.binary(max_size=20).map(lambda value: base64.b64encode(value).decode())
    return {
        'string': st.text(max_size=10),
        'integer': st.integers(-(2**31), 2**31 - 1),
        'long': st.integers(-(2**63), 2**63 - 1),
        'float': st.floats(allow_nan=False, allow_infinity=False) | st.integers(-5, 5),
        'double': st.floats(allow_nan=False, allow_infinity=False) | st.integers(-5, 5),
        'boolean': st.booleans(),
    }[shape.type_name]


def python_scalars(shape: Any) -> st.SearchStrategy[Any]:
    if shape.type_name == 'blob':
        return st.binary(max_size=20) | st.binary(max_size=20).map(bytearray) | st.text(max_size=5)
    return wire_scalars(shape)


@st.composite
def values(
    draw: st.DrawFn,
    shape: Any,
    scalars: Callable[[Any], st.SearchStrategy[Any]],
    *,
    nulls: bool = False,
    news: bool = False,
) -> Any:
    """A value of any shape: few members of a structure, one of a union.

    With `nulls` some members are null, with `news` some structures have a member that no service model has.
    """

    def inner(shape: Any) -> st.SearchStrategy[Any]:
        return values(shape, scalars, nulls=nulls, news=news)

    if getattr(shape, 'is_document_type', False):
        return draw(documents())
    if shape.type_name == 'structure':
        names = [name for name, member in shape.members.items() if not member.serialization.get('location')]
        some = draw(st.lists(st.sampled_from(names), max_size=3, unique=True)) if names else []
        if shape.is_tagged_union:
            some = [draw(st.sampled_from(names))]
        value = {name: draw(inner(shape.members[name])) for name in some}
        if nulls and names and draw(st.integers(0, 3)) == 0:
            value.setdefault(draw(st.sampled_from(names)), None)
        if news and not shape.is_tagged_union and draw(st.booleans()):
            value['new'] = draw(st.sampled_from([1, 'eA==', ['eA=='], {'bytes': 'eA==', 'image': {'bytes': 'eA=='}}]))
        return value
    if shape.type_name == 'list':
        return draw(st.lists(inner(shape.member), max_size=3))
    if shape.type_name == 'map':
        return draw(st.dictionaries(st.text(max_size=5), inner(shape.value), max_size=2))
    return draw(scalars(shape))


def news_in(value: Any) -> list[Any]:
    """Collect the members that no service model has."""
    if isinstance(value, dict):
        return [new for name, item in value.items() for new in ([item] if name == 'new' else news_in(item))]
    return [new for item in value for new in news_in(item)] if isinstance(value, list) else []
