"""Renders the two charts with helm, once for each set of values, and finds things in what comes out."""

import functools
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHARTS = ROOT / "deploy" / "charts"
SETS = sorted(path.name for path in (pathlib.Path(__file__).parent / "sets").iterdir())
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
HELM = TARGET / "lab-cluster" / "bin" / "helm"
# The oldest that the charts say they take; helm itself is built without one.
VERSION = "1.29.0"
# Releases: name, namespace.
RELEASES = {"stubgate": ("stubgate", "stubgate"), "stubgate-agent": ("devbot", "agents")}


def helm(*arguments):
    """What helm says: (status, standard output, standard error)."""
    done = subprocess.run([HELM, *arguments], capture_output=True, text=True, check=False)
    # It tells on each run that a file of the chart is a link.
    error = "\n".join(line for line in done.stderr.splitlines() if "found symbolic link" not in line)
    return done.returncode, done.stdout, error


def template(chart, *files):
    """A chart rendered with files of values."""
    release, namespace = RELEASES[chart]
    values = [word for file in files for word in ("--values", str(file))]
    return helm("template", release, str(CHARTS / chart), "--namespace", namespace, "--kube-version", VERSION, *values)


def template_of(chart, values):
    """The same with values as they stand here."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        json.dump(values, file)
        file.flush()
        return template(chart, file.name)


def documents(text):
    return [document for document in yaml.safe_load_all(text) if document]


def values_file(name, chart):
    return pathlib.Path(__file__).parent / "sets" / name / {"stubgate": "stubgate.yaml", "stubgate-agent": "agent.yaml"}[chart]


def values(name, chart):
    """The values of a set, over the chart's defaults."""

    def over(base, more):
        if not (isinstance(base, dict) and isinstance(more, dict)):
            return more
        return {**base, **{key: over(base.get(key), value) for key, value in more.items()}}

    return over(yaml.safe_load((CHARTS / chart / "values.yaml").read_text()), yaml.safe_load(values_file(name, chart).read_text()))


@functools.cache
def rendered(name, chart):
    """All objects of a chart in a set."""
    status, out, error = template(chart, values_file(name, chart))
    if status != 0:
        raise AssertionError(f"{name}, {chart}: {error}")
    return documents(out)


@functools.cache
def notes(name, chart):
    """What helm prints after an installation. `helm template` leaves it out, so a copy of the chart has it in an object."""
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder) / chart
        shutil.copytree(CHARTS / chart, copy)
        (copy / "templates/NOTES.txt").rename(copy / "notes.txt")
        (copy / "templates/notes.yaml").write_text('kind: Notes\ntext: {{ tpl (.Files.Get "notes.txt") . | toJson }}\n')
        release, namespace = RELEASES[chart]
        status, out, error = helm("template", release, str(copy), "-n", namespace, "--kube-version", VERSION, "-f", str(values_file(name, chart)))
    if status != 0:
        raise AssertionError(f"{name}, {chart}: {error}")
    return one(documents(out), "Notes")["text"]


def everything(name):
    return rendered(name, "stubgate") + rendered(name, "stubgate-agent")


def of_kind(objects, *kinds):
    return [found for found in objects if found["kind"] in kinds]


def one(objects, kind, name=None):
    found = [thing for thing in of_kind(objects, kind) if name is None or thing["metadata"]["name"] == name]
    if len(found) != 1:
        raise AssertionError(f"{len(found)} objects of kind {kind} {name or ''}")
    return found[0]


def pods(objects):
    """Every pod that these objects are or make: (the object, its pod's metadata, its pod's spec)."""
    for thing in objects:
        if thing["kind"] == "Pod":
            yield thing, thing["metadata"], thing["spec"]
        elif thing["kind"] in ("Deployment", "StatefulSet", "DaemonSet", "Job"):
            yield thing, thing["spec"]["template"]["metadata"], thing["spec"]["template"]["spec"]


def containers(spec):
    return spec.get("initContainers", []) + spec["containers"]


def called(thing):
    return f"{thing['kind']} {thing['metadata']['name']}"


def selects(selector, labels):
    """A label selector as Kubernetes reads it; an empty one selects everything."""
    for key, value in selector.get("matchLabels", {}).items():
        if labels.get(key) != value:
            return False
    for wanted in selector.get("matchExpressions", []):
        there = labels.get(wanted["key"])
        good = {
            "Exists": there is not None,
            "DoesNotExist": there is None,
            "In": there in wanted.get("values", []),
            "NotIn": there not in wanted.get("values", []),
        }[wanted["operator"]]
        if not good:
            return False
    return True


def config(name):
    """stubgate.yaml of a set."""
    return yaml.safe_load(one(rendered(name, "stubgate"), "ConfigMap", config_map(name))["data"]["stubgate.yaml"])


def config_map(name):
    deployment = one(rendered(name, "stubgate"), "Deployment")
    volume = next(volume for volume in deployment["spec"]["template"]["spec"]["volumes"] if volume["name"] == "config")
    return volume["configMap"]["name"]
