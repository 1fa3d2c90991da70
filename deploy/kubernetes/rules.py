#!/usr/bin/env python3
"""Writes the rules of Prometheus as resources of its operator, because kustomize cannot convert them.

The result is committed, and check.py fails when it is stale.
"""

from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
COMPONENTS = HERE / "components"
# The rule files of each component.
SOURCES = {
    COMPONENTS / "alerts": sorted((ROOT / "deploy" / "prometheus" / "rules").glob("*.yml")),
    COMPONENTS / "postgres-alerts": [COMPONENTS / "postgres-alerts" / "postgres.yml"],
}


def rendered(files):
    resources = [
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": {"name": f"teppan-{file.stem}"},
            "spec": yaml.safe_load(file.read_text()),
        }
        for file in files
    ]
    text = yaml.safe_dump_all(resources, sort_keys=False, width=1000, allow_unicode=True)
    sources = files[0].relative_to(ROOT) if len(files) == 1 else files[0].parent.relative_to(ROOT)
    return f"# Written by rules.py from {sources}; do not edit.\n{text}"


def outputs():
    """The files to write, and their texts."""
    return {component / "rules.yaml": rendered(files) for component, files in SOURCES.items()}


if __name__ == "__main__":
    for file, text in outputs().items():
        file.write_text(text)
