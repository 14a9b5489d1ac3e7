"""What is rendered is what the last four versions of Kubernetes take, and what the Prometheus operator does."""

import copy
import functools
import json
import re
import subprocess
import tempfile
import unittest

import kubernetes_validate
import yaml
from kubernetes_validate import utils

from charts import ROOT, SETS, called, documents, everything, of_kind, one, rendered, selects, template_of, values

# Schemas are large files, and are read once.
utils.schema_contents = functools.cache(utils.schema_contents)
OURS = ("ServiceMonitor", "PodMonitor", "PrometheusRule")


class Kubernetes(unittest.TestCase):
    def test_every_object_fits_the_schemas_of_the_last_four_versions(self):
        versions = [version.rsplit(".", 1)[0] for version in utils.all_versions()][-4:]
        self.assertEqual(len(versions), 4)
        for name in SETS:
            for thing in everything(name):
                if thing["kind"] in OURS:
                    continue
                for version in versions:
                    with self.subTest(set=name, object=called(thing), version=version):
                        used = kubernetes_validate.validate(thing, version, strict=True)
                        self.assertEqual(used, version)

    def test_the_validator_finds_what_is_wrong(self):
        good = one(rendered("two-replicas", "stubgate"), "Deployment")
        wrong = yaml.safe_load(yaml.safe_dump(good))
        wrong["spec"]["template"]["spec"]["containers"][0]["ports"][0]["containerPort"] = "dns"
        with self.assertRaises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(wrong, "1.34", strict=True)
        wrong = {**good, "spec": {**good["spec"], "replcias": 2}}
        with self.assertRaises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(wrong, "1.34", strict=True)

    def test_names_that_look_like_something_else_stay_text(self):
        appliance = {
            **values("locked", "stubgate"),
            "agents": {"namespaces": ["on", "123"]},
            "credentials": {"secrets": ["1e3", "null"]},
            "ca": {"secretName": "0x10", "bundle": "-----BEGIN CERTIFICATE-----", "bundleConfigMap": "true"},
            "priorityClassName": "007",
            "upstreamTrust": [{"configMap": "12", "key": "1.5"}, {"secret": "13", "key": "off"}],
            "policy": {"configMaps": ["1", "yes"], "files": {"1.yaml": "version: 1"}},
            "serviceAccount": {"create": True, "name": "99"},
        }
        given = values("locked", "stubgate-agent")
        agent = {
            **given,
            "agent": {"name": "007", "environment": {"N": "1", "no": "off"}, "sharedConfigMap": "1", "configMap": "2"},
            "stubgate": {"addresses": ["10.43.100.100"], "namespace": "5", "podLabels": {"a": "1"}},
            "trust": {"configMap": "3", "key": "4", "required": True},
            "serviceAccount": {"create": True, "name": "8"},
            "runtimeClassName": "9",
            "bridges": {"n": {"tlsSecret": "1", "tokensSecret": "2", "secretName": "3", "configMap": "4", "environment": {"yes": "1"}}},
        }
        for chart, tree in (("stubgate", appliance), ("stubgate-agent", agent)):
            status, out, error = template_of(chart, tree)
            self.assertEqual(status, 0, error)
            for thing in documents(out):
                with self.subTest(object=called(thing)):
                    if thing["kind"] not in OURS:
                        kubernetes_validate.validate(thing, "1.34", strict=True)

    def test_no_object_stands_twice_and_every_one_has_its_namespace_and_labels(self):
        for name in SETS:
            seen = set()
            for thing in everything(name):
                meta = thing["metadata"]
                key = (thing["kind"], meta.get("namespace"), meta["name"])
                self.assertNotIn(key, seen, name)
                seen.add(key)
                with self.subTest(set=name, object=called(thing)):
                    cluster_wide = thing["kind"] in ("ClusterRole", "ClusterRoleBinding")
                    self.assertEqual("namespace" in meta, not cluster_wide)
                    self.assertLessEqual(len(meta["name"]), 63)
                    for label in ("app.kubernetes.io/managed-by", "helm.sh/chart", "app.kubernetes.io/part-of"):
                        self.assertIn(label, meta["labels"])

    def test_alerts_are_those_of_the_repository_and_promtool_takes_them(self):
        rule = copy.deepcopy(one(rendered("monitoring", "stubgate"), "PrometheusRule"))
        source = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yaml").read_text())
        told = [alert for group in rule["spec"]["groups"] for alert in group["rules"] if "alert" in alert]
        self.assertGreater(len(told), 5)
        prefix = values("monitoring", "stubgate")["prometheusRule"]["runbooks"]
        self.assertTrue(prefix.startswith("https://"))
        for alert in told:
            begin, path = alert["annotations"]["runbook_url"].split("docs/")
            self.assertEqual(begin, f"{prefix}/")
            self.assertTrue((ROOT / "docs" / path).is_file(), path)
            alert["annotations"]["runbook_url"] = f"docs/{path}"
        self.assertEqual(rule["spec"]["groups"], source["groups"])
        self.assertGreater(sum(len(group["rules"]) for group in source["groups"]), 5)
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            yaml.safe_dump(rule["spec"], file)
            file.flush()
            done = subprocess.run(["promtool", "check", "rules", file.name], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_the_dashboard_is_that_of_the_repository(self):
        config = one(rendered("monitoring", "stubgate"), "ConfigMap", "stubgate-dashboard")
        self.assertEqual(config["metadata"]["labels"]["dashboards"], "yes")
        self.assertEqual(json.loads(config["data"]["stubgate.json"]), json.loads((ROOT / "deploy/grafana/stubgate.json").read_text()))

    def test_monitors_select_a_port_that_there_is(self):
        objects = rendered("monitoring", "stubgate")
        monitor = one(objects, "ServiceMonitor")
        services = [service for service in of_kind(objects, "Service") if selects(monitor["spec"]["selector"], service["metadata"]["labels"])]
        self.assertEqual([service["metadata"]["name"] for service in services], ["stubgate-admin"])
        ports = {port["name"] for port in services[0]["spec"]["ports"]}
        self.assertEqual({endpoint["port"] for endpoint in monitor["spec"]["endpoints"]}, ports)
        agent = rendered("monitoring", "stubgate-agent")
        template = one(agent, "StatefulSet")["spec"]["template"]
        monitor = one(agent, "PodMonitor")
        self.assertTrue(selects(monitor["spec"]["selector"], template["metadata"]["labels"]))
        ports = {port["name"] for port in template["spec"]["containers"][0]["ports"]}
        self.assertEqual({endpoint["port"] for endpoint in monitor["spec"]["podMetricsEndpoints"]}, ports)
        endpoints = one(objects, "ServiceMonitor")["spec"]["endpoints"] + monitor["spec"]["podMetricsEndpoints"]
        jobs = {relabeling["replacement"] for endpoint in endpoints for relabeling in endpoint["relabelings"] if relabeling["targetLabel"] == "job"}
        self.assertEqual(jobs, {"stubgate", "stubgate-agent"})
        self.assertLessEqual(set(re.findall(r'job="([^"]*)"', (ROOT / "deploy/prometheus/alerts.yaml").read_text())), jobs)
        for thing, chart in ((one(objects, "ServiceMonitor"), "stubgate"), (monitor, "stubgate-agent")):
            asked = values("monitoring", chart)["serviceMonitor" if chart == "stubgate" else "podMonitor"]
            self.assertLessEqual(asked["labels"].items(), thing["metadata"]["labels"].items())
