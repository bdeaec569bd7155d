"""What is said to the models, in no library's own types; each peer makes its own of it, outside the timing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

MODEL = 'us.anthropic.claude-sonnet-4-5-20250929-v1:0'
MAX_TOKENS = 1024


@dataclass(frozen=True)
class ToolDescription:
    """A tool that is offered."""

    name: str
    description: str
    schema: dict[str, Any] = field(hash=False)


@dataclass(frozen=True)
class Conversation:
    """A system prompt, turns of user and assistant that begin and end with the user, tools, and a document in PDF."""

    system: str
    turns: tuple[str, ...]
    tools: tuple[ToolDescription, ...] = ()
    document: bytes = b''

    @property
    def messages(self) -> list[tuple[str, str]]:
        """The turns with their roles, `user` and `assistant`."""
        return [(('user', 'assistant')[index % 2], text) for index, text in enumerate(self.turns)]


def _paragraphs(length: int, number: int) -> str:
    sentence = (
        f'In part {number} we looked at the "cost" of each call; the client\u2019s share was small, but it adds up.\n'
    )
    return (sentence * (length // len(sentence) + 1))[:length]


def _tool(number: int) -> ToolDescription:
    return ToolDescription(
        name=f'search_archive_{number}',
        description=f'Search archive number {number} and return the documents that fit best, the newest first.',
        schema={
            'type': 'object',
            'properties': {
                'query': {'type': 'string', 'description': 'What to look for.'},
                'limit': {'type': 'integer', 'description': 'How many documents to return.'},
                'since': {'type': 'string', 'description': 'The earliest date, YYYY-MM-DD.'},
                'tags': {'type': 'array', 'items': {'type': 'string'}, 'description': 'All of these must be there.'},
                'order': {'type': 'string', 'enum': ['newest', 'oldest', 'best']},
                'author': {
                    'type': 'object',
                    'properties': {'name': {'type': 'string'}, 'team': {'type': 'string'}},
                    'required': ['name'],
                },
            },
            'required': ['query'],
        },
    )


SHORT = Conversation('You are a concise assistant.', ('What is the capital of France?',))
LONG = Conversation(
    'You are a concise assistant.',
    (*(_paragraphs(2048, number) for number in range(200)), 'What is the capital of France?'),
    tuple(_tool(number) for number in range(20)),
)


def converse_body(conversation: Conversation) -> dict[str, Any]:
    """Return the members of a Converse request, but for the model's id."""
    body: dict[str, Any] = {
        'messages': [{'role': role, 'content': [{'text': text}]} for role, text in conversation.messages],
        'system': [{'text': conversation.system}],
        'inferenceConfig': {'maxTokens': MAX_TOKENS},
    }
    if conversation.document:
        document = {'format': 'pdf', 'name': 'Document 1', 'source': {'bytes': conversation.document}}
        body['messages'][-1]['content'].append({'document': document})
    if conversation.tools:
        body['toolConfig'] = {
            'tools': [
                {
                    'toolSpec': {
                        'name': tool.name,
                        'description': tool.description,
                        'inputSchema': {'json': tool.schema},
                    }
                }
                for tool in conversation.tools
            ],
            'toolChoice': {'auto': {}},
        }
    return body
