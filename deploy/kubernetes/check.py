#!/usr/bin/env python3
"""Renders the overlays and checks them without a cluster.

The overlays are checked strictly against the schemas of Kubernetes, against the schemas of the operators' resources in
schemas/operators.yaml, and against the policies of checkov. Other checks need no schema: every setting exists, every
reference has a target, and numbers fit together. `setup.sh manifests` installs the libraries and kubectl.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import jsonschema
import kubernetes_validate
import yaml

import rules

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"
COMPOSE = ROOT / "deploy" / "compose.yaml"
HANDBOOK = ROOT / "docs" / "operations.md"
OVERLAYS = ["dev", "production"]
# Components that are in no overlay are rendered with this one.
MOST_COMPLETE = "production"
# The oldest and the newest Kubernetes that the manifests are for.
KUBERNETES = ["1.32", "1.37"]
# Policies that are not followed:
SKIPPED = {
    "CKV_K8S_11": "A limit of CPU throttles a busy service although the node has idle processors; requests share them fairly",
    "CKV_K8S_15": "The tag of a release is never pushed again, so a node that has the image need not pull it",
    "CKV_DOCKER_2": "Kubernetes does not read HEALTHCHECK, and the images have no program for it",
    "CKV_K8S_43": "A digest is known only after the images have been pushed; it may be added to the overlay then",
}
# The time that a process needs to end beside the two settings: for workers and the last connections.
END_SECONDS = 8
# Settings that libraries read.
OTHER_SETTINGS = {"PGSSLMODE", "PGSSLROOTCERT"}


def main():
    if not shutil.which("kubectl"):
        print("There is no kubectl to render the manifests: run deploy/local/setup.sh manifests", file=sys.stderr)
        return 1
    problems = []
    for file, text in rules.outputs().items():
        if not file.exists() or file.read_text() != text:
            problems.append(f"{file.relative_to(ROOT)} is stale: run deploy/kubernetes/rules.py")
    overlays = {overlay: rendered(HERE / "overlays" / overlay) for overlay in OVERLAYS}
    for component in unused_components():
        overlays[f"{MOST_COMPLETE} with {component.name}"] = rendered_with(component)
    for overlay, resources in overlays.items():
        found = [*schema_problems(resources), *Overlay(resources).problems()]
        problems += [f"{overlay}: {problem}" for problem in found]
    problems += [*policy_problems(overlays), *compose_problems()]
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print(f"The Dockerfile, compose.yaml and the manifests of {', '.join(overlays)} have no problems.")
    return 1 if problems else 0


def rendered(folder):
    """The resources of a kustomization."""
    result = subprocess.run(["kubectl", "kustomize", folder], stdout=subprocess.PIPE, text=True)
    if result.returncode:
        sys.exit(f"kustomize cannot render {folder}")
    return list(yaml.load_all(result.stdout, yaml.CSafeLoader))


def rendered_with(component):
    """The resources of the most complete overlay and one more component."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made).resolve()
        # kustomize takes no absolute paths.
        kustomization = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [os.path.relpath(HERE / "overlays" / MOST_COMPLETE, folder)],
            "components": [os.path.relpath(component, folder)],
        }
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        return rendered(folder)


def unused_components():
    used = set()
    for overlay in OVERLAYS:
        folder = HERE / "overlays" / overlay
        kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
        used |= {(folder / component).resolve() for component in kustomization["components"]}
    return sorted({file.parent for file in (HERE / "components").glob("*/kustomization.yaml")} - used)


def name_of(resource):
    return f"{resource['kind']} {resource['metadata']['name']}"


def schema_problems(resources):
    operators = yaml.safe_load((HERE / "schemas" / "operators.yaml").read_text())
    for resource in resources:
        own = operators.get(f"{resource['apiVersion']}/{resource['kind']}")
        if own:
            for error in jsonschema.Draft202012Validator(own).iter_errors(resource["spec"]):
                yield f"{name_of(resource)}: {error.json_path}: {error.message}"
            continue
        for version in KUBERNETES:
            try:
                kubernetes_validate.validate(resource, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                yield f"{name_of(resource)}: {'.'.join(map(str, error.path))}: {error.message} ({version})"
            except kubernetes_validate.SchemaNotFoundError as error:
                yield f"{name_of(resource)}: {error.message}"


def policy_problems(overlays):
    """The findings of checkov about the overlays, by name, and about the Dockerfile."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{name.replace(' ', '-')}.yaml" for name in overlays]
        for file, resources in zip(files, overlays.values()):
            # checkov reads large ConfigMaps slowly, and has no policies for them.
            file.write_text(yaml.safe_dump_all(it for it in resources if it["kind"] != "ConfigMap"))
        checkov = Path(yaml.__file__).parent.parent / "bin" / "checkov"
        options = ["--skip-download", "--framework", "kubernetes", "dockerfile", "--output", "json"]
        result = subprocess.run(
            [sys.executable, checkov, *options, "--skip-check", ",".join(SKIPPED), "--file", *files, DOCKERFILE],
            capture_output=True,
            text=True,
        )
    try:
        reports = json.loads(result.stdout)
        passed = {report["check_type"]: report["summary"]["passed"] for report in reports}
        if not all(passed.get(kind) for kind in ["kubernetes", "dockerfile"]):
            yield f"checkov found nothing to check: {passed}"
        for check in (check for report in reports for check in report["results"]["failed_checks"]):
            yield f"{check['file_path']}: {check['resource']}: {check['check_id']}: {check['check_name']}"
    except (TypeError, ValueError):
        yield f"checkov failed: {result.stdout}{result.stderr}"


def compose_problems():
    """Settings and files that do not exist."""
    compose = yaml.safe_load(COMPOSE.read_text())
    for name, service in compose["services"].items():
        if "build" in service:
            for setting in unknown_settings(service["environment"], settings()):
                yield f"compose.yaml: {name}: there is no setting {setting}"
        for source in (volume.split(":")[0] for volume in service.get("volumes", [])):
            if source.startswith("./") and not (COMPOSE.parent / source).exists():
                yield f"compose.yaml: {name}: there is no file {source}"


def unknown_settings(given, known):
    return sorted(name for name in given if name not in known and not name.startswith("OTEL_"))


def settings():
    """The names of all settings of the services, read from their sources."""
    sources = [*ROOT.glob("shared/src/**/*.rs"), *ROOT.glob("*-service/src/**/*.rs")]
    return {name for source in sources for name in re.findall(r'env = "([A-Z0-9_]+)"', source.read_text())}


class Overlay:
    """The resources of an overlay, which are checked against each other."""

    def __init__(self, resources):
        self.resources = resources

    def of(self, *kinds):
        return [resource for resource in self.resources if resource["kind"] in kinds]

    def problems(self):
        known = settings() | OTHER_SETTINGS
        for workload in self.of("Deployment", "Job"):
            for problem in self.workload_problems(workload, known):
                yield f"{name_of(workload)}: {problem}"
        for job in self.of("Job"):
            tagged = image(job).split("@")[0]
            version = tagged.rsplit(":", 1)[-1]
            if not job["metadata"]["name"].endswith("-migrate-" + version.replace(".", "-")):
                yield f"{name_of(job)}: its name must end with the version of its image, {version}"
            service = tagged.rsplit(":", 1)[0].rsplit("/", 1)[-1]
            if image(job) not in [image(it) for it in self.of("Deployment") if it["metadata"]["name"] == service]:
                yield f"{name_of(job)}: the Deployment has another image than {image(job)}"
        for service in self.of("Service"):
            selected = self.selected(service["spec"]["selector"])
            if [workload["kind"] for workload in selected] != ["Deployment"]:
                yield f"{name_of(service)}: selects {[name_of(workload) for workload in selected]}"
            for port in service["spec"]["ports"]:
                if port["targetPort"] not in [p["name"] for workload in selected for p in container(workload)["ports"]]:
                    yield f"{name_of(service)}: there is no port {port['targetPort']}"
        watched = [monitor["spec"]["selector"]["matchExpressions"][0]["values"] for monitor in self.of("PodMonitor")]
        for cluster in self.of("Cluster"):
            if cluster["metadata"]["name"] not in sum(watched, []):
                yield f"{name_of(cluster)}: no PodMonitor watches it"
        yield from self.connection_problems()
        yield from self.wal_problems()
        yield from self.alert_problems()

    def workload_problems(self, workload, known):
        pod = workload["spec"]["template"]["spec"]
        environment = {variable["name"]: variable["value"] for variable in container(workload)["env"]}
        for name in unknown_settings(environment, known):
            yield f"there is no setting {name}"
        mounts = [mount["mountPath"] + "/" for mount in container(workload)["volumeMounts"]]
        for name, value in environment.items():
            if (name.endswith("_FILE") or name == "PGSSLROOTCERT") and not any(map(value.startswith, mounts)):
                yield f"{name} is in no mounted folder"
        if "terminationGracePeriodSeconds" in pod:
            waits = int(environment["SHUTDOWN_PAUSE_MS"]) + int(environment["SHUTDOWN_DRAIN_MS"])
            if pod["terminationGracePeriodSeconds"] < waits / 1000 + END_SECONDS:
                yield f"terminationGracePeriodSeconds must be at least {waits / 1000 + END_SECONDS:.0f}"
            # This ensures that at most one pod is terminating at a time, as connection_problems assumes.
            if workload["spec"].get("minReadySeconds", 0) < pod["terminationGracePeriodSeconds"]:
                yield "minReadySeconds must not be less than terminationGracePeriodSeconds"

    def selected(self, selector):
        return [
            workload
            for workload in self.of("Deployment", "Job")
            if selector.items() <= workload["spec"]["template"]["metadata"]["labels"].items()
        ]

    def connection_problems(self):
        """Each replica has its connections, one for readiness, and one that cancels statements."""
        for cluster in self.of("Cluster"):
            # The name of a restored Cluster has another ending.
            service = cluster["metadata"]["name"].split("-postgres")[0]
            (scaler,) = [it for it in self.of("HorizontalPodAutoscaler") if it["metadata"]["name"] == service]
            (deployment,) = [it for it in self.of("Deployment") if it["metadata"]["name"] == service]
            environment = {variable["name"]: variable["value"] for variable in container(deployment)["env"]}
            each = int(environment.get("DATABASE_MAX_CONNECTIONS", 16)) + 2
            # One more pod is terminating, and keeps its connections until it has ended.
            surge = deployment["spec"]["strategy"]["rollingUpdate"]["maxSurge"] + 1
            most = (scaler["spec"]["maxReplicas"] + surge) * each
            allowed = int(cluster["spec"]["postgresql"]["parameters"]["max_connections"])
            # Superusers, the operator and the Job of migrations need connections too.
            if most + 20 > allowed:
                yield f"{name_of(cluster)}: max_connections is {allowed}, and {service} may open {most}"

    def wal_problems(self):
        """A quarter of the volume of WAL stays free for WAL that is not archived yet."""
        for cluster in self.of("Cluster"):
            parameters = cluster["spec"]["postgresql"]["parameters"]
            kept = sum(bytes_of(parameters[name]) for name in ["max_slot_wal_keep_size", "max_wal_size"])
            volume = cluster["spec"].get("walStorage", cluster["spec"]["storage"])["size"]
            if kept > bytes_of(volume) * 0.75:
                yield f"{name_of(cluster)}: max_slot_wal_keep_size and max_wal_size are too much for {volume}"

    def alert_problems(self):
        """Each alert links to the entry of its name in the handbook, and the entry exists."""
        entries = re.findall(r"^### (Teppan\w+)$", HANDBOOK.read_text(), re.MULTILINE)
        for resource in self.of("PrometheusRule"):
            for rule in (rule for group in resource["spec"]["groups"] for rule in group["rules"] if "alert" in rule):
                link = f"docs/operations.md#{rule['alert'].lower()}"
                if rule["annotations"].get("runbook_url") != link:
                    yield f"{name_of(resource)}: {rule['alert']}: runbook_url must be {link}"
                if rule["alert"] not in entries:
                    yield f"{name_of(resource)}: {rule['alert']}: has no entry in the handbook"


def bytes_of(size):
    """The bytes of a size in the notation of PostgreSQL or Kubernetes: both count in powers of two here."""
    number, unit = re.fullmatch(r"(\d+)(MB|GB|Mi|Gi)", size).groups()
    return int(number) * 1024 ** (2 if unit.startswith("M") else 3)


def container(workload):
    return workload["spec"]["template"]["spec"]["containers"][0]


def image(workload):
    return container(workload)["image"]


if __name__ == "__main__":
    sys.exit(main())
