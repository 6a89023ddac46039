"""Sorts what `helm template` prints into files, without what only Helm reads: its labels and the annotations of hooks.

Usage: manifests.py FOLDER < RENDERED
"""

import pathlib
import re
import sys

FILES = {
    "migrate.yaml": "The migration, with its own role. Apply it first, and wait for it: docs/KUBERNETES.md, \"Without Helm\".",
    "worker.yaml": "The worker.",
    "monitoring.yaml": "What the Prometheus operator reads. Needs its CustomResourceDefinitions.",
    "autoscaling.yaml": "What KEDA reads. Needs its CustomResourceDefinitions. worker.yaml says nothing of how many run.",
}
OF_KIND = {
    "Job": "migrate.yaml",
    "PodMonitor": "monitoring.yaml",
    "PrometheusRule": "monitoring.yaml",
    "ScaledObject": "autoscaling.yaml",
}


def without_helm(document):
    """Drops lines that only Helm reads, and `annotations:` where nothing follows but comments about them."""
    lines = [line for line in document.splitlines() if line.strip() and not line.startswith(("# Source:", "---"))]
    lines = [line for line in lines if not re.match(r"\s+(helm\.sh/|app\.kubernetes\.io/managed-by:)", line)]
    kept = []
    for number, line in enumerate(lines):
        if line == "  annotations:":
            rest = (after for after in lines[number + 1 :] if not after.lstrip().startswith("#"))
            if not next(rest, "").startswith("    "):
                continue
        if line.startswith("    #") and "  annotations:" in lines[:number] and "  annotations:" not in kept:
            if "spec:" not in lines[:number]:
                continue
        kept.append(line)
    return "\n".join(kept)


def file_of(document):
    kind = re.search(r"^kind: (\w+)$", document, re.MULTILINE).group(1)
    name = re.search(r"^  name: (\S+)$", document, re.MULTILINE).group(1)
    return "migrate.yaml" if name.endswith("-migrate") else OF_KIND.get(kind, "worker.yaml")


folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
rendered = [part for part in re.split(r"^---$", sys.stdin.read(), flags=re.MULTILINE) if "\nkind: " in part]
for file, about in FILES.items():
    documents = [without_helm(part) for part in rendered if file_of(part) == file]
    head = f"# {about}\n# Made by `make manifests` from deploy/helm/fulfillment-worker and values.yaml: change those.\n"
    folder.joinpath(file).write_text(head + "\n---\n".join(documents) + "\n", encoding="utf-8")
