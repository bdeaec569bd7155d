"""Every setting of `ModelSettings` and `BedrockModelSettings` that upstream's Bedrock model honours."""

from .programs import COUNT, RUN, STREAM, chat
from .sides import CLAUDE, NOVA

CASES = (
    chat('none', modes=(RUN, STREAM, COUNT)),
    chat('max_tokens', settings={'max_tokens': 7}),
    chat('temperature', settings={'temperature': 0.25}),
    chat('temperature of zero', settings={'temperature': 0.0}),
    chat('top_p', settings={'top_p': 0.9}),
    chat('top_k on Nova', model=NOVA, settings={'top_k': 20}),
    chat('top_k on Claude', model=CLAUDE, settings={'top_k': 20}),
)
