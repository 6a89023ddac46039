"""JSON Lines for schemathesis, which knows no way to write them: each case is one line."""

import json

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def json_lines(_context, value):
    return (json.dumps(value) + "\n").encode()
