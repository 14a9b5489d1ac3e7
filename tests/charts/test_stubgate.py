"""What the chart renders is what stubgate takes: its configuration, its policy, and as whom a pod runs it."""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

import yaml

from charts import CHARTS, ROOT, SETS, config, documents, one, template_of, values
from layout import ALONE, GROUP, Layout, run, stubgate


class Stubgate(unittest.TestCase):
    def test_it_takes_every_configuration_without_a_warning(self):
        for name in SETS:
            with self.subTest(set=name), tempfile.TemporaryDirectory() as folder:
                layout = Layout(name, folder)
                done = run("config", "check", str(layout.config()))
                said = done.stdout + done.stderr
                self.assertEqual(done.returncode, 0, said)
                # That the admin port is reached by others is meant: the network policy says who.
                codes = {word for word in said.replace("[", " ").replace("]", " ").split() if word.startswith("SC0")}
                self.assertLessEqual(codes, {"SC0018"}, said)

    def test_it_takes_every_policy(self):
        for name in SETS:
            if not values(name, "stubgate")["policy"]["files"]:
                continue
            with self.subTest(set=name), tempfile.TemporaryDirectory() as folder:
                layout = Layout(name, folder)
                done = run("policy", "check", *(str(layout.below(path)) for path in config(name)["policy"]))
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_the_charts_schema_of_its_configuration_is_its_own(self):
        own = json.loads((ROOT / "deploy/schema/config.json").read_text())["properties"]
        chart = json.loads((CHARTS / "stubgate/values.schema.json").read_text())["properties"]["config"]["properties"]
        self.assertEqual(chart["limits"], own["limits"])
        self.assertEqual(chart["timeouts"], own["timeouts"])
        self.assertEqual(set(own) - set(chart), {"listen", "advertise", "policy", "state_dir"})

    def test_lists_that_values_and_config_both_have_are_put_together(self):
        given = {
            **values("bridges", "stubgate"),
            "config": {
                "upstream": {"ca_files": ["/etc/stubgate/corp/ca.crt"]},
                "process": {"credential_folders": ["/run/secrets/others"]},
                "dns": {"forward": [{"zones": ["corp.example"], "to": ["10.1.2.3:53"]}]},
            },
        }
        status, out, error = template_of("stubgate", given)
        self.assertEqual(status, 0, error)
        made = yaml.safe_load(one(documents(out), "ConfigMap", "stubgate-config")["data"]["stubgate.yaml"])
        self.assertEqual(made["upstream"]["ca_files"], ["/etc/stubgate/upstream/0/ca.crt", "/etc/stubgate/upstream/1/tls.crt", "/etc/stubgate/corp/ca.crt"])
        self.assertEqual(made["process"]["credential_folders"], ["/run/secrets/stubgate", "/run/secrets/others"])
        self.assertEqual([forward["zones"] for forward in made["dns"]["forward"]], [["cluster.local"], ["corp.example"]])

    def test_the_chart_knows_how_long_draining_takes(self):
        table = (ROOT / "docs/configuration.md").read_text()
        template = (CHARTS / "stubgate/templates/_config.tpl").read_text()
        known = dict(re.findall(r'"(drain_delay_seconds|drain_seconds)" ([0-9]+)', template))
        for key, default in known.items():
            told = re.search(rf"^\| `{key}` \| ([0-9]+) \|", table, re.M)
            if told:
                self.assertEqual(default, told.group(1), key)
        self.assertEqual(len(known), 2)

    def test_it_starts_as_the_pod_would_and_is_ready(self):
        for name in ("one-replica", "two-replicas"):
            with self.subTest(set=name), tempfile.TemporaryDirectory() as folder:
                layout = Layout(name, folder)
                layout.without_cluster()
                script = pathlib.Path(__file__).parent / "start.py"
                done = subprocess.run([*ALONE, sys.executable, script, stubgate(), layout.config(), str(GROUP)], capture_output=True, text=True, check=False, timeout=50)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                self.assertTrue(done.stdout.startswith("ready\n"), done.stdout)
