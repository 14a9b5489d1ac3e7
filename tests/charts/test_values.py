"""What values may be: the charts are linted, every set is taken, and each mistake is refused in words."""

import importlib.machinery
import importlib.util
import json
import pathlib
import re
import subprocess
import sys
import tarfile
import tempfile
import unittest

import jsonschema
import yaml

from charts import CHARTS, RELEASES, SETS, VERSION, documents, helm, pods, rendered, template, template_of, values, values_file

# The program that makes tables and descriptions; it has no ending.
_loader = importlib.machinery.SourceFileLoader("generate", str(pathlib.Path(__file__).parent / "generate"))
generate = importlib.util.module_from_spec(importlib.util.spec_from_loader("generate", _loader))
_loader.exec_module(generate)

GOOD = {
    "stubgate": values("two-replicas", "stubgate"),
    "stubgate-agent": values("two-replicas", "stubgate-agent"),
}


# Variables of the templates, and the values that they are.
SHORTHANDS = {
    "policy": ["networkPolicy"],
    "image": ["image", "test.image"],
    "claim": ["persistence.home", "persistence.workspace"],
}


def changed(chart, path, value):
    """Good values with one of them changed; `...` takes it away."""
    tree = json.loads(json.dumps(GOOD[chart]))
    node, keys = tree, path.split(".")
    for key in keys[:-1]:
        node = node[key]
    if value is ...:
        del node[keys[-1]]
    else:
        node[keys[-1]] = value
    return tree


# What `get` of it does more than read: a command in a pod, a way past every network policy.
REACHING = ["pods/exec", "pods/attach", "pods/portforward", "pods/proxy", "services/proxy", "nodes/proxy", "pods/ephemeralcontainers", "*/exec"]
# A value, and a word of what is said of it.
REFUSED_OF_STUBGATE = [
    ("replicas", 1, "allowSingleReplica"),
    ("replicas", 0, "replicas"),
    ("ca.secretName", "", "several replicas need one authority"),
    ("persistence.enabled", True, "share a state folder"),
    ("escrow.enabled", True, "escrow.databaseSecret and escrow.keySecret"),
    ("image.repository", "", "repository"),
    ("image.repository", "registry.example/stubgate:latest", "repository"),
    ("image.digest", "sha256:short", "digest"),
    ("service.clusterIPs", [], "clusterIPs"),
    ("service.clusterIPs", ["stubgate.example"], "clusterIPs"),
    ("service.type", "LoadBalancer", "type"),
    ("service.clusterIPs", ["10.43.100.100", "10.43.100.101"], "different families"),
    ("podDisruptionBudget.maxUnavailable", 2, "all replicas at once"),
    ("agents.namespaces", [], "namespaces"),
    ("policy.files", {}, "without a policy everything is refused"),
    ("policy.files", {"agents.txt": "version: 1"}, "agents.txt"),
    ("kubernetes.apiServers", [], "endpointslices"),
    ("kubernetes.apiServers", ["kubernetes.default"], "apiServers"),
    ("terminationGracePeriodSeconds", 25, "a stop takes up to 25 seconds"),
    ("config", {"timeouts": {"drain_seconds": 100}}, "a stop takes up to 105 seconds"),
    ("config", {"listen": {"dns": []}}, "listen"),
    ("config", {"limits": {"connections": "many"}}, "connections"),
    ("config", {"limit": {}}, "limit"),
    ("config", {"ca": {"key_file": "/tmp/key"}}, "key_file"),
    ("config", {"kubernetes": {"namespaces": ["elsewhere"]}}, "namespaces"),
    ("prometheusRule.runbooks", "docs/runbooks", "runbooks"),
    ("ca.bundle", "-----BEGIN CERTIFICATE-----\nx\n-----BEGIN PRIVATE KEY-----\n", "bundle"),
    ("extraVolumes", [{"name": "root", "hostPath": {"path": "/"}}], "hostPath"),
    ("extraVolumeMounts", [{"name": "x", "mountPath": "/x", "readOnly": False}], "readOnly"),
    ("networkPolicy.extraEgress", [{"to": [{}], "ports": []}], "ports"),
    ("networkPolicy.extraEgress", [{"ports": [{"port": 1}]}], "to"),
    ("hostNetwork", True, "hostNetwork"),
    ("podLabels", {"app.kubernetes.io/component": "web"}, "invalid propertyName"),
    ("replcias", 3, "replcias"),
    ("test", {"enabled": True}, "test"),
]
REFUSED_OF_AGENT = [
    ("image.repository", "", "repository"),
    ("stubgate.addresses", [], "addresses"),
    ("stubgate.addresses", ["8.8.8.8", "8.8.4.4", "1.1.1.1"], "addresses"),
    ("stubgate.namespace", "agents", "agents go into one of theirs"),
    ("agent.name", "Dev Bot", "name"),
    ("agent.configMap", "files", "files or configMap"),
    ("rbac.rules", [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}], "resources"),
    ("rbac.rules", [{"apiGroups": [""], "resources": ["*"], "verbs": ["get"]}], "resources"),
    *[("rbac.rules", [{"apiGroups": [""], "resources": ["pods", resource], "verbs": ["get"]}], "resources") for resource in REACHING],
    ("rbac.rules", [{"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]}], "verbs"),
    ("rbac.rules", [{"apiGroups": [""], "resources": ["pods"], "verbs": ["*"]}], "verbs"),
    ("bridges", {"nats": {}}, "tlsSecret"),
    ("bridges", {"Nats": {"tlsSecret": "a", "tokensSecret": "b"}}, "Nats"),
    ("terminationGracePeriodSeconds", 5, "terminationGracePeriodSeconds"),
    ("hostNetwork", True, "hostNetwork"),
    ("podLabels", {"stubgate.internal/agent": "infrabot"}, "invalid propertyName"),
    ("test.enabled", True, "test.image.repository"),
]


class Values(unittest.TestCase):
    def test_helm_lints_every_set_of_values(self):
        for name in SETS:
            for chart in GOOD:
                with self.subTest(name=name, chart=chart):
                    status, out, error = helm("lint", "--strict", "--kube-version", VERSION, str(CHARTS / chart), "--values", str(values_file(name, chart)))
                    self.assertEqual(status, 0, out + error)

    def test_there_are_eight_sets_and_each_renders(self):
        self.assertGreaterEqual(len(SETS), 8)
        for name in SETS:
            for chart in GOOD:
                self.assertTrue(rendered(name, chart))

    def test_what_must_be_given_is_asked_for(self):
        for chart in GOOD:
            status, _, error = template(chart)
            self.assertNotEqual(status, 0)
            for words in {"stubgate": ("repository", "clusterIPs", "namespaces"), "stubgate-agent": ("repository", "addresses")}[chart]:
                self.assertIn(words, error)

    def test_each_mistake_is_refused_in_words(self):
        for chart, refused in (("stubgate", REFUSED_OF_STUBGATE), ("stubgate-agent", REFUSED_OF_AGENT)):
            for path, value, words in refused:
                tree = changed(chart, path, value)
                if path == "agent.configMap":
                    tree["agent"]["files"] = {"agent.yaml": ""}
                with self.subTest(chart=chart, path=path, value=value):
                    status, _, error = template_of(chart, tree)
                    self.assertNotEqual(status, 0, "taken")
                    self.assertIn(words, error)
                    self.assertNotIn("nil pointer", error)

    def test_the_schemas_are_schemas_and_close_every_object(self):
        for chart in GOOD:
            schema = json.loads((CHARTS / chart / "values.schema.json").read_text())
            jsonschema.Draft7Validator.check_schema(schema)
            self.assertEqual(schema["$schema"], "http://json-schema.org/draft-07/schema#")
            # `config` is the appliance's own schema; what Kubernetes describes is named so, and its objects end in a pattern of keys.
            for path, node in objects(schema):
                self.assertIn("additionalProperties", node, f"{chart}: {path}")

    def test_every_value_is_read(self):
        for chart in GOOD:
            templates = "".join(path.read_text() for path in (CHARTS / chart / "templates").rglob("*.*"))
            read = set(re.findall(r"\.Values\.([A-Za-z.]+)", templates))
            for name, stands_for in SHORTHANDS.items():
                read |= {f"{path}.{key}" for path in stands_for for key in re.findall(rf"\${name}\.([A-Za-z.]+)", templates)}
            for keys, default, _ in generate.documented(CHARTS / chart / "values.yaml"):
                if default is not None:
                    self.assertIn(".".join(keys), read, chart)

    def test_what_is_packed_is_whole_and_renders_the_same(self):
        for chart in GOOD:
            with self.subTest(chart=chart), tempfile.TemporaryDirectory() as folder:
                # As a release does.
                version = yaml.safe_load((CHARTS / chart / "Chart.yaml").read_text())["version"]
                status, out, error = helm("package", str(CHARTS / chart), "--destination", folder, "--version", version, "--app-version", f"v{version}")
                self.assertEqual(status, 0, error)
                [packed] = pathlib.Path(folder).glob("*.tgz")
                with tarfile.open(packed) as archive:
                    self.assertTrue(all(member.isfile() for member in archive.getmembers()), "a link")
                release, namespace = RELEASES[chart]
                values = str(values_file("monitoring", chart))
                status, out, error = helm("template", release, str(packed), "-n", namespace, "--kube-version", VERSION, "-f", values)
                self.assertEqual(status, 0, error)
                said = re.sub(r'(app\.kubernetes\.io/version: ")v', r"\1", out)
                self.assertEqual(documents(said), rendered("monitoring", chart))
                images = {container["image"] for _, _, spec in pods(documents(out)) for container in spec["containers"]}
                self.assertTrue(all(image.endswith(f":v{version}") for image in images), images)

    def test_defaults_fit_the_schema_but_for_what_must_be_given(self):
        for chart, tree in GOOD.items():
            schema = json.loads((CHARTS / chart / "values.schema.json").read_text())
            defaults = yaml.safe_load((CHARTS / chart / "values.yaml").read_text())
            wrong = {".".join(map(str, error.absolute_path)) for error in jsonschema.Draft7Validator(schema).iter_errors(defaults)}
            must = {"image.repository"} | {"stubgate": {"service.clusterIPs", "agents.namespaces"}, "stubgate-agent": {"stubgate.addresses"}}[chart]
            self.assertEqual(wrong, must)
            jsonschema.Draft7Validator(schema).validate(tree)

    def test_every_value_is_documented_and_in_the_schema_and_tables_are_up_to_date(self):
        script = pathlib.Path(__file__).parent / "generate"
        done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        for chart in GOOD:
            schema = json.loads((CHARTS / chart / "values.schema.json").read_text())
            defaults = yaml.safe_load((CHARTS / chart / "values.yaml").read_text())
            self.assertEqual(set(schema["properties"]) - {"global"}, set(defaults))


def objects(node, path=""):
    """Every schema of an object that names its properties, but not within `config`."""
    if isinstance(node, dict):
        if node.get("type") == "object" and "properties" in node:
            yield path, node
        for key, below in node.items():
            if path == "/properties" and key == "config":
                continue
            yield from objects(below, f"{path}/{key}")
    elif isinstance(node, list):
        for number, below in enumerate(node):
            yield from objects(below, f"{path}/{number}")
