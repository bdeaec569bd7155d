"""Images, documents, videos, S3 locations and uploaded files, in prompts and in what tools return; and citations."""
# ruff: noqa: E501 - one line a case

import asyncio

from pydantic_ai import (
    Agent,
    AudioUrl,
    BinaryContent,
    DocumentUrl,
    ImageUrl,
    TextContent,
    ToolReturn,
    UploadedFile,
    VideoUrl,
)
from pydantic_ai.messages import ModelRequest, ModelResponse, TextPart, ToolCallPart, ToolReturnPart, UserPromptPart

from .programs import COUNT, RUN, STREAM, chat, observed, of_run, program
from .releases import CITATIONS
from .replies import EventsReply, Reply, ToolCall
from .sides import CLAUDE, NOVA

LLAMA = 'us.meta.llama4-maverick-17b-instruct-v1:0'
PIXTRAL, QWEN, PALMYRA = 'us.mistral.pixtral-large-2502-v1:0', 'qwen.qwen3-vl-235b-a22b', 'us.writer.palmyra-x5-v1:0'
ALL = (RUN, STREAM, COUNT)

PNG = BinaryContent(b'\x89PNG\r\n\x1a\n', media_type='image/png')
JPEG = BinaryContent(b'\xff\xd8\xff', media_type='image/jpeg', identifier='photo')
TIFF = BinaryContent(b'II*\0', media_type='image/tiff')
PDF = BinaryContent(b'%PDF-1.7', media_type='application/pdf')
TXT = BinaryContent('Käse'.encode(), media_type='text/plain')
LATIN = BinaryContent('Käse'.encode('latin-1'), media_type='text/plain')
CSV = BinaryContent(b'a,b\n1,2\n', media_type='text/csv')
XLSX = BinaryContent(b'PK', media_type='application/vnd.openxmlformats-officedocument.spreadsheetml.sheet')
MP4 = BinaryContent(b'\0\0\0\x18ftypmp42', media_type='video/mp4')
THREE_GP = BinaryContent(b'\0\0\0\x18ftyp3gp', media_type='video/3gpp')
WAV = BinaryContent(b'RIFF', media_type='audio/wav')
ZIP = BinaryContent(b'PK', media_type='application/zip')


def prompt(name, *content, model=NOVA, **row):
    return chat(name, list(content), model=model, **row)


def returned(name, *content, model=CLAUDE, then=None, **row):
    """A tool that has returned these, and what the user says then."""
    value = content[0] if len(content) == 1 else list(content)
    history = [
        ModelRequest(parts=[UserPromptPart('Show me.')]),
        ModelResponse(parts=[ToolCallPart('show', {}, 'call_1')]),
        ModelRequest(parts=[ToolReturnPart('show', value, 'call_1')]),
    ]
    return chat(
        f'returned: {name}',
        then,
        model=model,
        history=history,
        agent={'tools': [show]},
        replies=[Reply('Seen.')],
        **row,
    )


def show() -> ToolReturn:
    return ToolReturn(return_value='Here.', content=['See', PNG, 'and', PDF])


def uploaded(name, file_id, media_type=None, **row):
    # A provider's name says whose file it is.
    file = UploadedFile(file_id, provider_name=row.pop('provider_name', 'bedrock'), media_type=media_type)
    return prompt(f'uploaded: {name}', 'See', file, **row)


async def of_a_url(side):
    """An image that a server on loopback has."""

    async def serve(reader, writer):
        await reader.readuntil(b'\r\n\r\n')
        writer.write(
            b'HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 4\r\nConnection: close\r\n\r\n\x89PNG'
        )
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, '127.0.0.1', 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = ImageUrl(f'http://127.0.0.1:{port}/a.png', force_download='allow-local', identifier='a')
        agent = Agent(side.model())

        async def run():
            result = await agent.run(['What is this?', url])
            return {**of_run(result), 'messages': result.new_messages()[-1]}

        return await observed(run)


LOCATIONS = [
    {'documentPage': {'documentIndex': 0, 'start': 1, 'end': 2}},
    {'web': {'url': 'https://example.com/a', 'domain': 'example.com'}},
]
CITATION = {'title': 'Document 1', 'sourceContent': [{'text': 'Cheese is made of milk.'}], 'location': LOCATIONS[0]}
WEB = {'title': 'A page', 'sourceContent': [], 'location': LOCATIONS[1]}
CITED = Reply('Cheese is milk.', citations=[CITATION])
CITED_TWICE = Reply('Cheese is milk.', citations=[CITATION, WEB])
CITED_IN_PARTS = Reply(
    content=[
        {'text': 'As the document says, '},
        {'citationsContent': {'content': [{'text': 'cheese is milk'}], 'citations': [CITATION]}},
        {'text': '.'},
        {'citationsContent': {'content': [], 'citations': [CITATION]}},
        {'citationsContent': {'content': [{'text': ' No source.'}], 'citations': []}},
    ]
)
CITED_STREAM = EventsReply(
    [
        {'messageStart': {'role': 'assistant'}},
        {'contentBlockDelta': {'contentBlockIndex': 0, 'delta': {'text': 'Cheese '}}},
        {'contentBlockDelta': {'contentBlockIndex': 0, 'delta': {'citation': CITATION}}},
        {'contentBlockDelta': {'contentBlockIndex': 0, 'delta': {'text': 'is milk.'}}},
        {'contentBlockDelta': {'contentBlockIndex': 0, 'delta': {'citation': WEB}}},
        {'contentBlockStop': {'contentBlockIndex': 0}},
        {'messageStop': {'stopReason': 'end_turn'}},
        {'metadata': {'usage': {'inputTokens': 1, 'outputTokens': 2, 'totalTokens': 3}, 'metrics': {'latencyMs': 1}}},
    ]
)


def cited(name, *content, model=CLAUDE, **row):
    return chat(
        f'citations: {name}',
        list(content) or ['What is cheese?', TXT],
        model=model,
        settings={'citations': True, **row.pop('settings', {})},
        since=row.pop('since', CITATIONS),
        **row,
    )


# fmt: off
CASES = (
    prompt('image', 'See', PNG, modes=ALL),
    prompt('images', PNG, 'and', JPEG),
    prompt('image alone', PNG),
    prompt('image of a format that Bedrock has not', 'See', TIFF),
    prompt('image that a model cannot see', 'See', PNG, model='us.amazon.nova-micro-v1:0'),
    prompt('document', 'Read', PDF, modes=ALL),
    prompt('document alone', PDF),
    prompt('documents', 'Read', PDF, TXT, CSV, XLSX),
    prompt('documents, Claude', 'Read', PDF, TXT, CSV, model=CLAUDE),
    prompt('video', 'See', MP4),
    prompt('video, 3GP', 'See', THREE_GP),
    prompt('video, Claude', 'See', MP4, model=CLAUDE),
    prompt('audio', 'Hear', WAV),
    prompt('file of no kind', 'Open', ZIP),
    prompt('text content', TextContent('Hello'), 'there'),
    prompt('empty text', '', model=NOVA),
    prompt('image in S3', 'See', ImageUrl('s3://bucket/a.png')),
    prompt('image in S3 of another account', 'See', ImageUrl('s3://bucket/a.jpeg?bucketOwner=123456789012', media_type='image/jpeg')),
    prompt('document in S3', 'Read', DocumentUrl('s3://bucket/folder/a b.pdf')),
    prompt('video in S3', 'See', VideoUrl('s3://bucket/a.mp4'), modes=ALL),
    prompt('document in S3 without an extension', 'Read', DocumentUrl('s3://bucket/a', media_type='application/pdf')),
    prompt('audio by URL', 'Hear', AudioUrl('https://example.com/a.wav')),
    program('image by URL', of_a_url),
    uploaded('image', 's3://bucket/a.png', 'image/png'),
    uploaded('document', 's3://bucket/a.pdf', 'application/pdf'),
    uploaded('video', 's3://bucket/a.mp4?bucketOwner=123456789012', 'video/mp4'),
    uploaded('media type by its name', 's3://bucket/a.csv'),
    uploaded('audio', 's3://bucket/a.wav', 'audio/wav'),
    uploaded('not in S3', 'file-123', 'image/png'),
    uploaded('elsewhere', 'file-123', 'image/png', provider_name='openai'),
    returned('image', PNG),
    returned('image, Llama', PNG, model=LLAMA),
    returned('image, Pixtral', PNG, model=PIXTRAL),
    returned('image, Qwen', PNG, model=QWEN),
    returned('document', PDF),
    returned('document, Nova', PDF, model=NOVA),
    returned('document, Llama', PDF, model=LLAMA),
    returned('document, Palmyra', PDF, model=PALMYRA),
    returned('video', MP4),
    returned('video, Nova', MP4, model=NOVA),
    returned('text and files', 'One', PNG, {'two': 2}, PDF, JPEG),
    returned('text and files, Nova', 'One', PNG, {'two': 2}, PDF, model=NOVA),
    returned('text and files, Pixtral', 'One', PNG, {'two': 2}, PDF, model=PIXTRAL),
    returned('image in S3', ImageUrl('s3://bucket/a.png')),
    returned('document in S3', DocumentUrl('s3://bucket/a.pdf')),
    returned('uploaded file', UploadedFile('s3://bucket/a.png', provider_name='bedrock', media_type='image/png')),
    returned('file of no kind', ZIP),
    returned('audio', WAV),
    returned('document, and then a prompt', PDF, then='And?'),
    returned('document, and then a prompt with one', PDF, then=['And?', PDF]),
    returned('image, and then a prompt, Llama', PNG, model=LLAMA, then='And?'),
    chat('returned: content beside the result', 'Show me', model=CLAUDE, agent={'tools': [show]}, replies=[Reply(tool_calls=[ToolCall('show', {}, id='call_1')]), Reply('Nice.')]),
    chat('returned: content beside the result, Nova', 'Show me', model=NOVA, agent={'tools': [show]}, replies=[Reply(tool_calls=[ToolCall('show', {}, id='call_1')]), Reply('Nice.')]),
    chat('answered with files', 'And?', model=NOVA, history=[ModelRequest(parts=[UserPromptPart(['See', PNG])]), ModelResponse(parts=[TextPart('Seen.')])]),
    cited('asked for', modes=ALL),
    cited('asked for, of a PDF', 'What is cheese?', PDF),
    cited('asked for, of a document in S3', 'What is cheese?', DocumentUrl('s3://bucket/a.pdf')),
    cited('asked for, of a text that is no UTF-8', 'What is cheese?', LATIN),
    cited('asked for, of a spreadsheet', 'What is cheese?', XLSX),
    cited('asked for, of a model that has none', model=NOVA),
    cited('asked for, with an output type', agent={'output_type': int}, needs='ConverseRequest.outputConfig'),
    cited('given', replies=[CITED], needs='Citation.title'),
    cited('given twice, with a page of the web', replies=[CITED_TWICE], needs='CitationLocation.web'),
    cited('given in parts', replies=[CITED_IN_PARTS]),
    cited('given in the middle of a stream', replies=[CITED_STREAM], modes=[STREAM], needs='CitationLocation.web'),
    chat('citations: given without being asked for', model=CLAUDE, replies=[CITED]),
)
