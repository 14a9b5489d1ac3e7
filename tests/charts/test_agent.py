"""What the chart of agents renders is what the supervisor and `stubgate attack` take."""

import os
import pathlib
import subprocess
import tempfile
import unittest

from charts import ROOT, SETS, containers, of_kind, one, pods, rendered, values
from layout import ALONE, Layout, program, run


def supervisor(*arguments, **more):
    return subprocess.run([*ALONE, program("stubgate-agent", "STUBGATE_AGENT_BIN"), *arguments], capture_output=True, text=True, check=False, timeout=60, **more)


class Agent(unittest.TestCase):
    def test_setup_puts_everything_in_place_on_the_volumes_of_the_pod(self):
        for name in SETS:
            with self.subTest(set=name), tempfile.TemporaryDirectory() as folder:
                layout = Layout(name, folder, "stubgate-agent")
                places = {
                    "HOME": "/home/agent",
                    "STUBGATE_AGENTS": "/etc/stubgate-agent/agents",
                    "STUBGATE_WORKSPACE": "/workspace",
                    "STUBGATE_BUNDLE": "/etc/stubgate/bundle.pem",
                    "STUBGATE_TRUST": "/var/lib/stubgate-agent/trust",
                    "STUBGATE_AGENT_RUN": "/run/stubgate-agent",
                }
                mounted = [mount["mountPath"] for mount in layout.spec["initContainers"][0]["volumeMounts"]]
                self.assertEqual(mounted, [mount["mountPath"] for mount in layout.spec["containers"][0]["volumeMounts"]])
                variables = {variable["name"]: variable["value"] for variable in layout.spec["initContainers"][0]["env"]}
                environment = {"PATH": os.environ["PATH"], **variables, **{key: str(layout.below(path)) for key, path in places.items()}}
                done = supervisor(*layout.spec["initContainers"][0]["args"], env=environment)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                self.assertIn("setup: trust: done", done.stdout)
                self.assertTrue((layout.below("/home/agent") / ".claude/.credentials.json").exists())

    def test_bridges_are_served_with_arguments_that_there_are(self):
        seen = 0
        for name, (thing, _, spec) in [(name, found) for name in ("bridges", "ipv6") for found in pods(rendered(name, "stubgate-agent"))]:
            if thing["metadata"]["labels"].get("app.kubernetes.io/component") != "bridge":
                continue
            seen += 1
            with self.subTest(bridge=thing["metadata"]["name"]), tempfile.TemporaryDirectory() as folder:
                place = pathlib.Path(folder)
                for config in of_kind(rendered(name, "stubgate-agent"), "ConfigMap"):
                    if config["metadata"]["name"] == f"{thing['metadata']['name']}-entry":
                        (place / "serve.yaml").write_text(config["data"]["serve.yaml"])
                arguments = [word.replace("/etc/bridge-entry", folder).replace("/run/", f"{folder}/") for word in spec["containers"][0]["args"]]
                done = supervisor(*arguments, env={"PATH": os.environ["PATH"], "HOME": folder, "STUBGATE_BRIDGES": str(ROOT / "agent-image/bridges")})
                # 2 would be usage. The entry is read first, then the tokens, which are not here.
                self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
                self.assertIn(f"{folder}/tokens/tokens", done.stdout + done.stderr)
        self.assertEqual(seen, 3)

    def test_the_attack_takes_its_arguments_and_no_other_command_is_run(self):
        for chart in ("stubgate", "stubgate-agent"):
            [container] = one(rendered("locked", chart), "Pod")["spec"]["containers"]
            done = run(*container["args"], "--list")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("direct-https", done.stdout)

    def test_commands_are_those_of_the_images(self):
        for name in SETS:
            for chart in ("stubgate", "stubgate-agent"):
                for thing, _, spec in pods(rendered(name, chart)):
                    for container in containers(spec):
                        self.assertNotIn("command", container)
                        self.assertIn(container["args"][0], ("run", "setup", "bridge", "attack"))

    def test_every_agent_has_one_pod_or_none(self):
        for name in SETS:
            replicas = one(rendered(name, "stubgate-agent"), "StatefulSet")["spec"]["replicas"]
            self.assertEqual(replicas, 0 if values(name, "stubgate-agent")["suspended"] else 1)
