"""What schemathesis doesn't know of the API."""

import itertools
import json
import re

import schemathesis

KEY = "Idempotency-Key"

numbers = itertools.count()


@schemathesis.serializer("application/x-ndjson")
def json_lines(_context, value):
    """Each case is one line."""
    return (json.dumps(value) + "\n").encode()


@schemathesis.hook
def before_call(_context, case, _kwargs):
    """Two cases are two requests: under one key, the second would rightly be refused. A wrong key stays as it is."""
    key = (case.headers or {}).get(KEY)
    if isinstance(key, str) and re.fullmatch("[!-~]{1,255}", key):
        case.headers[KEY] = f"case-{next(numbers)}"
