"""What is rendered is what the last four versions of Kubernetes take, and what the Prometheus operator does."""

import functools
import re
import subprocess
import tempfile
import unittest

import kubernetes_validate
import yaml
from kubernetes_validate import utils

from charts import ROOT, SETS, called, everything, of_kind, one, rendered, selects, values

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
        rule = one(rendered("monitoring", "stubgate"), "PrometheusRule")
        source = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yaml").read_text())
        self.assertEqual(rule["spec"]["groups"], source["groups"])
        self.assertGreater(sum(len(group["rules"]) for group in source["groups"]), 5)
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            yaml.safe_dump(rule["spec"], file)
            file.flush()
            done = subprocess.run(["promtool", "check", "rules", file.name], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

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
