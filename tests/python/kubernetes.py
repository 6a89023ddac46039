"""Checks manifests by the schemas of their kinds, and prints them as JSON.

Usage: kubernetes.py FOLDER VERSION... < MANIFESTS. FOLDER has the package kubernetes-validate; each VERSION, such as v1.37.0, is
one of Kubernetes. No key may be there that a schema doesn't know. Fails with every mistake. A
document that is `kind: End` and nothing else is let through, to tell several sets of manifests apart.
"""

import functools
import json
import pathlib
import sys
import zipfile

import jsonschema_rs
import yaml

CUSTOM = {
    "ScaledObject": ("keda", "v1alpha1"),
    "PodMonitor": ("prometheus_operator", "v1"),
    "PrometheusRule": ("prometheus_operator", "v1"),
}


def closed(schema):
    """The same, without room for keys that have no schema of their own."""
    if isinstance(schema, dict):
        schema = {key: closed(value) for key, value in schema.items()}
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    elif isinstance(schema, list):
        schema = [closed(value) for value in schema]
    return schema


@functools.cache
def custom(kind):
    package, version = CUSTOM[kind]
    models = __import__(f"cloudcoil.models.{package}.{version}", fromlist=[kind])
    schema = closed(getattr(models, kind).model_json_schema(by_alias=True))
    # Kubernetes' own, which every kind has.
    schema["properties"]["metadata"] = {"type": "object", "required": ["name"]}
    return jsonschema_rs.validator_for(schema)


class BuiltIn:
    """Kubernetes' own kinds. Their schemas refer to one file of definitions by its address, which is the same for each version."""

    def __init__(self, folder):
        [package] = pathlib.Path(folder).glob("kubernetes_validate-*.whl")
        self.package = zipfile.ZipFile(package)

    @functools.cache
    def schema(self, version, name):
        return json.loads(self.package.read(f"kubernetes_validate/kubernetes-json-schema/{version}-local-strict/{name}"))

    @functools.cache
    def validator(self, version, api_version, kind):
        group, _, of_group = api_version.rpartition("/")
        group = group.split(".")[0] + "-" if group else ""
        schema = self.schema(version, f"{kind.lower()}-{group}{of_group}.json")
        return jsonschema_rs.validator_for(schema, retriever=lambda _: self.schema(version, "_definitions.json"))


def mistakes(built_in, versions, document):
    kind = document["kind"]
    if kind in CUSTOM:
        validators = {"": custom(kind)}
    else:
        validators = {version: built_in.validator(version, document["apiVersion"], kind) for version in versions}
    for version, validator in validators.items():
        for error in validator.iter_errors(document):
            place = "/".join(map(str, error.instance_path))
            yield f"{kind} {document['metadata']['name']}: {place}: {error.message} {version}".strip()


folder, *versions = sys.argv[1:]
documents = [document for document in yaml.safe_load_all(sys.stdin) if document]
built_in = BuiltIn(folder)
manifests = [document for document in documents if document != {"kind": "End"}]
found = [mistake for document in manifests for mistake in mistakes(built_in, versions, document)]
print(json.dumps(documents))
if found:
    sys.exit("\n".join(found))
