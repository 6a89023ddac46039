"""Reads an OpenMetrics scrape, as strictly as Prometheus's own client does, and says in JSON what is in it.

Usage: python read_open_metrics.py FILE
"""

import json
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families

with open(sys.argv[1], encoding="utf-8") as file:
    samples = [sample for family in text_string_to_metric_families(file.read()) for sample in family.samples]

exemplars = [
    [sample.name, sample.labels, sample.exemplar.labels, sample.exemplar.value]
    for sample in samples
    if sample.exemplar and sample.exemplar.timestamp
]
json.dump({"samples": len(samples), "exemplars": exemplars}, sys.stdout)
