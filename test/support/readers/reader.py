"""Reads an event stream with Python's standard library alone: one line of JSON for every event, and for what went wrong."""

import codecs
import http.client
import json
import sys
from urllib.parse import urlsplit


def lines(response):
    """[spec] 9.2.5: UTF-8, one leading byte order mark is stripped, lines end with CR, LF or CRLF."""
    decoder = codecs.getincrementaldecoder('utf-8')('strict')
    text, first = '', True
    while chunk := response.read1(65536):
        text += decoder.decode(chunk)
        if first and text:
            text, first = text.removeprefix('\ufeff'), False
        # A CR at the end may be half of a CRLF.
        start = 0
        while True:
            ends = [at for at in (text.find('\r', start), text.find('\n', start)) if at >= 0]
            if not ends or (text[min(ends)] == '\r' and min(ends) + 1 == len(text)):
                break
            end = min(ends)
            yield text[start:end]
            start = end + (2 if text.startswith('\r\n', end) else 1)
        text = text[start:]


def events(response):
    """[spec] 9.2.6: how fields become events."""
    data, event, last_event_id = [], '', ''
    for line in lines(response):
        if line == '':
            if data:
                yield {'event': event or 'message', 'data': '\n'.join(data), 'lastEventId': last_event_id}
            data, event = [], ''
            continue
        if line.startswith(':'):
            continue
        field, _, value = line.partition(':')
        value = value.removeprefix(' ')
        if field == 'data':
            data.append(value)
        elif field == 'event':
            event = value
        elif field == 'id' and '\0' not in value:
            last_event_id = value
        elif field == 'retry' and value.isascii() and value.isdigit():
            pass
        else:
            raise ValueError(f'unknown field: {line!r}')


def main(url):
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port)
    connection.request('GET', parts.path, headers={'Accept': 'text/event-stream'})
    response = connection.getresponse()
    if response.status != 200:
        raise ValueError(f'HTTP {response.status}')
    for event in events(response):
        print(json.dumps(event), flush=True)


try:
    main(sys.argv[1])
except (BrokenPipeError, KeyboardInterrupt):
    pass
except Exception as error:  # Whatever it is, the test has to hear of it.
    print(json.dumps({'error': repr(error)}), flush=True)
