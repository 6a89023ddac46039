"""Reads a compose file as the Compose Specification has it, and prints it as JSON, with what its anchors stand for.

Usage: compose.py FILE. Fails with what is wrong, as an unknown key is, or a volume that is not declared.
"""

import json
import pathlib
import re
import sys

from compose_spec.compose_spec import PyOptions

text = pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")
# Engines take a tag and a digest together, and this reader one of them.
digests = dict(re.findall(r"image: (\S+)(@sha256:[0-9a-f]{64})$", text, re.MULTILINE))
compose = PyOptions(apply_merge=True).from_yaml(re.sub(r"(image: \S+)@sha256:[0-9a-f]{64}$", r"\1", text, flags=re.MULTILINE))
compose.validate()
read = json.loads(compose.to_json())
for service in read["services"].values():
    service["image"] += digests.get(service["image"], "")
print(json.dumps(read))
