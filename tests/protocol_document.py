"""The tables of docs/protocol.md, made from frontends/protocol.py: `python -m tests.protocol_document` puts them into the document, a test compares."""
import re
from pathlib import Path

from frontends.protocol import CHANNELS, MESSAGES

DOCUMENT = Path(__file__).parent.parent / 'docs/protocol.md'


def table(channel: str) -> str:
    """The messages of a channel."""
    rows = ['| number | name | from | fields | what it says |', '| ---: | --- | --- | --- | --- |']
    for message in MESSAGES:
        if CHANNELS[message.channel] != channel: continue
        fields = ', '.join(f'{name} {kind}' for name, kind in message.fields) or '-'
        rows.append(f'| {message.number} | {message.name} | {message.sender} | {fields} | {message.text} |')
    return '\n'.join(rows)


def written(text: str) -> str:
    """The document with its tables as they should be: each follows a heading `## CHANNEL (NUMBER)`."""
    for number, channel in enumerate(CHANNELS):
        heading = f'## {channel} ({number})\n'
        assert heading in text, heading
        before, _, after = text.partition(heading)
        text = f'{before}{heading}\n{table(channel)}\n' + re.sub(r'\A\n(\|[^\n]*\n)*', '', after)
    return text


if __name__ == '__main__':
    DOCUMENT.write_text(written(DOCUMENT.read_text()))
