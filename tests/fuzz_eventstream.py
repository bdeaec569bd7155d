"""Fuzz the decoder and the codec with atheris: `nox -s fuzz`, or `python tests/fuzz_eventstream.py [SECONDS]`.

Whatever the bytes and the pieces they come in, nothing is raised but the decoder's own errors, the pieces make no
difference, and neither time nor memory runs away. An input that breaks this is left in the folder that is named, and
the exit status is not 0. It begins with the inputs of `fuzz_corpus.json`; `--keep FOLDER` adds what a run has found, as
far as it reaches anything new.
"""

from __future__ import annotations

import argparse
import shlex
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from zlib import crc32

import atheris

with atheris.instrument_imports(include=['pydantic_ai_aiobedrock._wire']):
    from fuzz_target import check_input, read_corpus, write_corpus

from local_bedrock import StreamEvent, encode_event, encode_frame, encode_headers

LONGEST_INPUT = 16_384
SECONDS_PER_INPUT = 5
MEGABYTES = 512
DEFAULT_SECONDS = 600


def sealed(stream: bytes) -> bytes:
    """Set right the lengths and the checksums of every message, so that what is in them is looked at."""
    whole = bytearray()
    at = 0
    while len(stream) - at >= 16:
        length, headers_length = struct.unpack_from('>II', stream, at)
        length = min(max(length % 4096, 16), len(stream) - at)
        prelude = struct.pack('>II', length, min(headers_length % 256, length - 16))
        message = prelude + struct.pack('>I', crc32(prelude)) + stream[at + 12 : at + length - 4]
        whole += message + struct.pack('>I', crc32(message))
        at += length
    return bytes(whole + stream[at:])


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """Change an input, and three times in four seal what has come out."""
    changed: bytes = atheris.Mutate(data, max_size)
    return changed[:1] + sealed(changed[1:]) if seed % 4 else changed


def every_message() -> Iterable[bytes]:
    """Yield one of each kind of message, and a whole stream."""
    deltas = (
        {'text': 'Grüße'},
        {'toolUse': {'input': '{"a":'}},
        {'reasoningContent': {'text': 'so', 'signature': 'c2ln', 'redactedContent': 'c2VjcmV0'}},
        {'citation': {'title': 'a', 'location': {'documentChar': {'documentIndex': 0, 'start': 1, 'end': 2}}}},
        {'toolResult': [{'json': {'a': None}}]},
    )
    events = (
        StreamEvent('messageStart', {'role': 'assistant', 'p': 'abc'}),
        StreamEvent(
            'contentBlockStart', {'contentBlockIndex': 0, 'start': {'toolUse': {'name': 'a', 'toolUseId': 'b'}}}
        ),
        *(StreamEvent('contentBlockDelta', {'contentBlockIndex': 0, 'delta': delta}) for delta in deltas),
        StreamEvent('contentBlockStop', {'contentBlockIndex': 0}),
        StreamEvent('messageStop', {'stopReason': 'end_turn', 'additionalModelResponseFields': {'a': [1.5, None]}}),
        StreamEvent('metadata', {'usage': {'inputTokens': 1, 'serverToolUsage': {}}, 'metrics': {'latencyMs': 1}}),
        StreamEvent.exception('modelStreamErrorException', 'Bad.', originalStatusCode=400, originalMessage='Why.'),
        StreamEvent.error('SomethingBroke', 'Sorry.'),
        StreamEvent('somethingNew', b'[["\\ud834"]]'),
    )
    frames = [encode_event(event) for event in events]
    every_type = encode_headers([('yes', True), ('int', 7), ('bytes', b'\xff'), ('string', 'ü')])
    more = b'\x04byte\x02\xff\x05short\x03\xff\xfe\x04long\x05' + bytes(8) + b'\x04time\x08' + bytes(8)
    frames.append(encode_frame(every_type + more + b'\x04uuid\x09' + bytes(16), b''))
    for frame in (*frames, b''.join(frames)):
        yield b'\x07' + frame


def keep(folder: Path) -> None:
    """Keep the fewest inputs, of those that are kept and those in a folder, that reach all that these reach."""
    for number, data in enumerate((*read_corpus(), *every_message())):
        (folder / f'{number:04}').write_bytes(data)
    with tempfile.TemporaryDirectory() as merged:
        subprocess.run([sys.executable, __file__, '-merge=1', merged, str(folder)], check=True)
        write_corpus(path.read_bytes() for path in Path(merged).iterdir())


def main() -> None:
    """Fuzz for so many seconds."""
    # libFuzzer calls the program again for a merge, by a shell, with arguments of its own.
    if any(argument.startswith('-merge') for argument in sys.argv):
        program = shlex.join([sys.executable, __file__])
        atheris.Setup([program, *sys.argv[1:]], check_input, custom_mutator=mutate)
        atheris.Fuzz()
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('seconds', nargs='?', type=int, default=DEFAULT_SECONDS)
    parser.add_argument('--keep', type=Path, metavar='FOLDER', help='add the inputs of a folder to those that are kept')
    options = parser.parse_args()
    if options.keep is not None:
        keep(options.keep)
        return
    folder = Path(tempfile.mkdtemp(prefix='fuzz-eventstream-'))
    inputs = folder / 'corpus'
    inputs.mkdir()
    for number, data in enumerate((*read_corpus(), *every_message())):
        (inputs / f'{number:04}').write_bytes(data)
    print(f'Fuzzing for {options.seconds} s; inputs and findings are in {folder}', flush=True)
    flags = (
        f'-max_total_time={options.seconds}',
        f'-max_len={LONGEST_INPUT}',
        f'-timeout={SECONDS_PER_INPUT}',
        f'-rss_limit_mb={MEGABYTES}',
        f'-artifact_prefix={folder}/',
        '-print_final_stats=1',
    )
    atheris.Setup([sys.argv[0], *flags, str(inputs)], check_input, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == '__main__':
    main()
