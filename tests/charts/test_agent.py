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
                [setup] = [container for container in layout.spec["initContainers"] if container["name"] == "setup"]
                mounted = [mount["mountPath"] for mount in setup["volumeMounts"]]
                self.assertEqual(mounted, [mount["mountPath"] for mount in layout.spec["containers"][0]["volumeMounts"]])
                variables = {variable["name"]: variable["value"] for variable in setup["env"]}
                environment = {"PATH": os.environ["PATH"], **variables, **{key: str(layout.below(path)) for key, path in places.items()}}
                done = supervisor(*setup["args"], env=environment)
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
        [container] = one(rendered("locked", "stubgate-agent"), "Pod")["spec"]["containers"]
        done = run(*container["args"], "--list")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("direct-https", done.stdout)

    def test_commands_are_those_of_the_images(self):
        for name in SETS:
            for chart in ("stubgate", "stubgate-agent"):
                for thing, _, spec in pods(rendered(name, chart)):
                    for container in containers(spec):
                        if container["name"] == "known":
                            continue
                        self.assertNotIn("command", container)
                        self.assertIn(container["args"][0], ("run", "setup", "bridge", "attack"))

    def test_a_pod_waits_until_it_is_known_and_says_so_if_it_never_is(self):
        for kind, chart in (("StatefulSet", "stubgate-agent"), ("Pod", "stubgate-agent")):
            thing = one(rendered("locked", chart), kind)
            spec = thing["spec"] if kind == "Pod" else thing["spec"]["template"]["spec"]
            self.assertEqual([container["name"] for container in spec["initContainers"]], ["known", "setup"])
        [script] = spec["initContainers"][0]["args"]
        with tempfile.TemporaryDirectory() as folder:
            # A curl that is refused twice, and then answered; or ever refused.
            for answers, said, tries in ((3, "", 3), (1000, "is it an agent of its policy?", 60)):
                log = pathlib.Path(folder) / f"log-{answers}"
                fake = pathlib.Path(folder) / "curl"
                fake.write_text(f"#!/bin/bash\necho \"$@\" >>{log}\n[ $(wc -l <{log}) -ge {answers} ]\n")
                fake.chmod(0o755)
                (pathlib.Path(folder) / "sleep").write_text("#!/bin/bash\n")
                (pathlib.Path(folder) / "sleep").chmod(0o755)
                done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False, env={"PATH": f"{folder}:{os.environ['PATH']}"})
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertIn(said, done.stderr)
                asked = log.read_text().splitlines()
                self.assertEqual(len(asked), tries)
                self.assertTrue(asked[0].endswith('If-None-Match: "waiting" http://ca.stubgate.internal/bundle.pem'))

    def test_every_agent_has_one_pod_or_none(self):
        for name in SETS:
            replicas = one(rendered(name, "stubgate-agent"), "StatefulSet")["spec"]["replicas"]
            self.assertEqual(replicas, 0 if values(name, "stubgate-agent")["suspended"] else 1)
