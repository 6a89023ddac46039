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
    """Keeps what the description says in words alone. What is wrong by itself stays as it is."""
    has_key = has_request_key(case)
    if has_key:
        # Two cases are two requests: under one key, the second would rightly be refused.
        case.headers[KEY] = f"case-{next(numbers)}"
    if not isinstance(case.body, dict):
        return
    if is_time(case.body.get("until")) and is_seconds(case.body.get("for_seconds")):
        del case.body["for_seconds"]
    orders = case.body.get("orders", [case.body])
    keyed = [order for order in orders if isinstance(order, dict)] if isinstance(orders, list) else []
    if any(is_text(order.get("dedupe_key")) for order in keyed):
        for order in keyed:
            # All have one or none; none where the request has one.
            if is_text(order.get("dedupe_key")) or order.get("dedupe_key") is None:
                order["dedupe_key"] = None if has_key else f"order-{next(numbers)}"


def has_request_key(case):
    key = (case.headers or {}).get(KEY)
    return isinstance(key, str) and re.fullmatch("[!-~]{1,255}", key) is not None


def is_text(value):
    return isinstance(value, str) and 1 <= len(value) <= 512 and "\0" not in value


def is_time(value):
    return isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\d[Tt]", value) is not None


def is_seconds(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 1 <= value <= 315_576_000
