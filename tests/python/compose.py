"""Reads a compose file as the Compose Specification has it, and prints it as JSON, with what its anchors stand for.

Usage: compose.py FILE. Fails with what is wrong, as an unknown key is, or a volume that is not declared.
"""

import pathlib
import sys

from compose_spec.compose_spec import PyOptions

compose = PyOptions(apply_merge=True).from_yaml(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))
compose.validate()
print(compose.to_json())
