#!/usr/bin/env python3
"""Writes the rules of deploy/prometheus as resources of the Prometheus operator: components/alerts/rules.yaml.

kustomize cannot make one from the other, so the result is committed, and check.py says when it is not fresh.
"""

from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
RULES = HERE.parent / "prometheus" / "rules"
WRITTEN = HERE / "components" / "alerts" / "rules.yaml"


def rendered():
    resources = [
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": {"name": f"teppan-{file.stem}"},
            "spec": yaml.safe_load(file.read_text()),
        }
        for file in sorted(RULES.glob("*.yml"))
    ]
    text = yaml.safe_dump_all(resources, sort_keys=False, width=1000, allow_unicode=True)
    return "# Written by rules.py from deploy/prometheus/rules; change those instead.\n" + text


if __name__ == "__main__":
    WRITTEN.write_text(rendered())
