"""Examples and guides are followed: values render, policy is good, commands name what there is."""

import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import tempfile
import unittest

import yaml

from charts import CHARTS, RELEASES, ROOT, containers, documents, of_kind, one, rendered, template, template_of
from layout import authority, run, stubgate

GUIDE = ROOT / "docs/install/kubernetes.md"


def blocks(path, language):
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.M | re.S)


def commands(script):
    """Its commands, each a list of words, and its here-documents: (commands, {file: text})."""
    files = dict(re.findall(r"^cat >(\S+) <<'EOF'\n(.*?)^EOF$", script, re.M | re.S))
    script = re.sub(r"^cat >(\S+) <<'EOF'\n.*?^EOF$", "", script, flags=re.M | re.S)
    return [shlex.split(line, comments=True) for line in script.splitlines() if line.strip()], files


class Guide(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.script = "".join(blocks(GUIDE, "sh"))
        cls.commands, cls.files = commands(cls.script)

    def option(self, words, name):
        return words[words.index(name) + 1]

    def test_what_it_installs_renders(self):
        installed = [words for words in self.commands if words[0] == "helm" and words[1] in ("install", "upgrade")]
        self.assertEqual([words[2] for words in installed], ["stubgate", "devbot", "stubgate"])
        for words in installed:
            self.assertEqual(RELEASES[pathlib.Path(words[3]).name], (words[2], self.option(words, "--namespace")))
            with tempfile.TemporaryDirectory() as folder:
                files = [pathlib.Path(folder) / word.replace("/", "-") for option, word in zip(words, words[1:]) if option == "--values"]
                for file, word in zip(files, [word for option, word in zip(words, words[1:]) if option == "--values"]):
                    file.write_text(self.files[word])
                status, _, error = template(pathlib.Path(words[3]).name, *files)
            self.assertEqual(status, 0, error)

    def test_commands_in_pods_name_pods_containers_and_files_that_there_are(self):
        appliance, agent = rendered("two-replicas", "stubgate"), rendered("two-replicas", "stubgate-agent")
        deployment, agents = one(appliance, "Deployment"), one(agent, "StatefulSet")
        config = deployment["spec"]["template"]["spec"]["containers"][0]["args"][2]
        told = [words for words in self.commands if words[:2] in (["kubectl", "exec"], ["kubectl", "logs"], ["kubectl", "rollout"])]
        self.assertGreater(len(told), 6)
        for words in told:
            namespace = self.option(words, "--namespace")
            thing = {"stubgate": f"deployment/{deployment['metadata']['name']}", "agents": f"{agents['metadata']['name']}-0"}[namespace]
            self.assertIn(thing, words)
            if "--config" in words:
                self.assertEqual(self.option(words, "--config"), config)
            if "--container" in words:
                self.assertIn(self.option(words, "--container"), [container["name"] for container in containers(agents["spec"]["template"]["spec"])])

    def test_what_the_charts_mount_is_made_by_its_commands(self):
        made = set()
        for words in self.commands:
            if words[:2] == ["kubectl", "create"] and words[2] in ("secret", "configmap"):
                name = words[4] if words[2] == "secret" else words[3]
                made.add((words[2], self.option(words, "--namespace"), name))
        appliance = yaml.safe_load(self.files["install/stubgate.yaml"])
        login = yaml.safe_load(self.files["install/login.yaml"])
        agent = yaml.safe_load(self.files["install/devbot.yaml"])
        for values, chart, kind in ((appliance, "stubgate", "Deployment"), ({**appliance, **login}, "stubgate", "Deployment"), (agent, "stubgate-agent", "StatefulSet")):
            status, out, error = template_of(chart, values)
            self.assertEqual(status, 0, error)
            objects = documents(out)
            thing = one(objects, kind)
            namespace = thing["metadata"]["namespace"]
            there = {thing["metadata"]["name"] for thing in of_kind(objects, "ConfigMap")}
            for volume in thing["spec"]["template"]["spec"]["volumes"]:
                if "secret" in volume:
                    self.assertIn(("secret", namespace, volume["secret"]["secretName"]), made)
                named = volume.get("configMap", {}).get("name")
                if named and named not in there:
                    self.assertIn(("configmap", namespace, named), made)

    def test_its_own_program_does_what_it_says(self):
        with tempfile.TemporaryDirectory() as folder:
            place = pathlib.Path(folder)
            (place / "install/policy").mkdir(parents=True)
            for name, text in self.files.items():
                (place / name).write_text(text)
            # What the cluster would have said: the pod that the chart makes.
            status, out, error = template_of("stubgate-agent", yaml.safe_load(self.files["install/devbot.yaml"]))
            self.assertEqual(status, 0, error)
            template = one(documents(out), "StatefulSet")["spec"]["template"]
            pod = {**template, "metadata": {**template["metadata"], "name": "devbot-0", "namespace": "agents"}, "status": {"phase": "Running", "podIP": "10.42.0.11"}}
            (place / "install/pods.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": [pod]}))
            for words in self.commands:
                if words[0] != "stubgate":
                    continue
                into = words[-1].lstrip(">") if words[-1].startswith(">") else None
                words = [word for word in words if not word.startswith(">")]
                done = run(*words[1:], cwd=place)
                self.assertEqual(done.returncode, 0, f"{words}: {done.stdout}{done.stderr}")
                self.assertNotIn("warning", done.stdout + done.stderr)
                if into:
                    (place / into).write_text(done.stdout)
            for name in ("install/bundle.pem", "install/state/ca/certificate.pem", "install/state/ca/key.pem"):
                self.assertTrue((place / name).exists(), name)
            self.assertIn("BEGIN CERTIFICATE", (place / "install/bundle.pem").read_text())

    def test_kubectl_understands_what_it_creates(self):
        if not shutil.which("kubectl"):
            self.skipTest("kubectl is not here")
        with tempfile.TemporaryDirectory() as folder:
            place = pathlib.Path(folder)
            certificate = pathlib.Path(folder) / "install/state/ca"
            certificate.mkdir(parents=True)
            (place / "install/policy").mkdir()
            for name, text in zip(("certificate.pem", "key.pem"), authority()):
                (certificate / name).write_text(text)
            for name, text in {**self.files, "install/bundle.pem": authority()[0], "install/token": "x", "install/key": "x", "install/url": "x"}.items():
                (place / name).write_text(text)
            for words in self.commands:
                if words[:2] != ["kubectl", "create"] or "|" in words:
                    continue
                done = subprocess.run([*words, "--dry-run=client", "--output", "yaml"], cwd=place, capture_output=True, text=True, check=False, env={**os.environ, "KUBECONFIG": "/dev/null"})
                self.assertEqual(done.returncode, 0, f"{words}: {done.stderr}")
                self.assertEqual(yaml.safe_load(done.stdout)["kind"].lower(), words[2])

    def test_what_it_writes_is_committed_and_sent_nowhere_and_secrets_are_deleted_after_use(self):
        for ignoring in (".gitignore", ".dockerignore"):
            lines = (ROOT / ignoring).read_text().splitlines()
            self.assertTrue({"/install/", "install"} & set(lines), ignoring)
        sent = (ROOT / ".dockerignore").read_text().splitlines()
        self.assertLessEqual({"deploy/compose/secrets", "deploy/compose/.env", "target", ".git", "secrets"}, set(sent))
        real = [words for words in self.commands if words[:4] == ["kubectl", "create", "secret", "generic"]]
        self.assertEqual(len(real), 3)
        for words in real:
            file = self.option(words, "--from-file")
            deleted = [later for later in self.commands[self.commands.index(words):] if later[0] == "rm" and file in later]
            self.assertTrue(deleted, file)

    def test_its_program_is_built_as_released_and_found(self):
        before = GUIDE.read_text().split("## 1.")[0]
        self.assertIn("cargo build --locked --release -p stubgate-proxy", before)
        self.assertIn("PATH=$PWD/target/release:$PATH", before)

    def test_labels_that_examples_go_by_are_set(self):
        bundle = one(documents((CHARTS / "examples/cert-manager.yaml").read_text()), "Bundle")
        [(label, value)] = bundle["spec"]["target"]["namespaceSelector"]["matchLabels"].items()
        set_ = [words for words in self.commands if words[:3] == ["kubectl", "label", "namespace"] and f"{label}={value}" in words]
        self.assertEqual([words[3:-1] for words in set_], [["agents"]])

    def test_files_that_it_names_are_there(self):
        for words in self.commands:
            for word in words:
                if word.startswith(("deploy/", "agent-image/")):
                    self.assertTrue((ROOT / word).exists(), word)


class Examples(unittest.TestCase):
    def test_examples_of_values_in_the_readmes_render_and_policy_is_good(self):
        seen = 0
        for chart in ("stubgate", "stubgate-agent"):
            for block in blocks(CHARTS / chart / "README.md", "yaml"):
                seen += 1
                first = block.splitlines()[0]
                with self.subTest(chart=chart, first=first):
                    if first == "# policy":
                        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
                            file.write(block)
                            file.flush()
                            done = run("policy", "check", file.name)
                        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                    else:
                        self.assertTrue(first.startswith(f"# values.yaml of {chart}"))
                        status, _, error = template_of(chart, yaml.safe_load(block))
                        self.assertEqual(status, 0, error)
        self.assertGreaterEqual(seen, 4)

    def test_secrets_of_the_examples_have_the_names_and_keys_that_the_chart_mounts(self):
        external = documents((CHARTS / "examples/external-secrets.yaml").read_text())
        keys = {thing["spec"]["target"]["name"]: {data["secretKey"] for data in thing["spec"]["data"]} for thing in of_kind(external, "ExternalSecret")}
        values = {
            "image": {"repository": "registry.example/stubgate"},
            "service": {"clusterIPs": ["10.43.100.100"]},
            "agents": {"namespaces": ["agents"]},
            "kubernetes": {"apiServers": ["10.0.0.5/32"]},
            "policy": {"configMaps": ["stubgate-policy"]},
            "ca": {"secretName": "stubgate-ca"},
            "credentials": {"secrets": ["github"]},
            "stubs": {"secretName": "stubgate-stubs"},
            "escrow": {"enabled": True, "keySecret": "stubgate-escrow", "databaseSecret": "stubgate-database", "databaseCa": True},
        }
        status, out, error = template_of("stubgate", values)
        self.assertEqual(status, 0, error)
        objects = documents(out)
        volumes = {volume["name"]: volume["secret"] for volume in one(objects, "Deployment")["spec"]["template"]["spec"]["volumes"] if "secret" in volume}
        wanted = {volume["secretName"]: {item["key"] for item in volume.get("items", [])} for volume in volumes.values()}
        self.assertEqual(set(wanted) - set(keys), {"stubgate-ca"})
        for name, items in wanted.items():
            if name in keys:
                self.assertLessEqual(items, keys[name])
        self.assertEqual(keys["github"], {"token"})
        self.assertEqual(keys["stubgate-database"], {"url", "ca.crt"})
        manager = documents((CHARTS / "examples/cert-manager.yaml").read_text())
        certificate = one(manager, "Certificate")
        self.assertIs(certificate["spec"]["isCA"], True)
        self.assertEqual(certificate["spec"]["secretName"], "stubgate-ca")
        # cert-manager writes these two keys.
        self.assertEqual(wanted["stubgate-ca"], {"tls.crt", "tls.key"})
        bundle = one(manager, "Bundle")
        defaults = yaml.safe_load((CHARTS / "stubgate-agent/values.yaml").read_text())["trust"]
        self.assertEqual((bundle["metadata"]["name"], bundle["spec"]["target"]["configMap"]["key"]), (defaults["configMap"], defaults["key"]))
        for thing in external + manager:
            self.assertEqual(thing["metadata"].get("namespace", "stubgate"), "stubgate")

    def test_values_of_argo_cd_render(self):
        for thing in documents((CHARTS / "examples/argocd.yaml").read_text()):
            source = thing["spec"]["source"]
            self.assertTrue((ROOT / source["path"] / "Chart.yaml").exists())
            status, _, error = template_of(pathlib.Path(source["path"]).name, source["helm"]["valuesObject"])
            self.assertEqual(status, 0, error)

    def test_the_charts_have_the_version_of_the_program(self):
        version = re.search(r'^version = "(.*)"$', (ROOT / "Cargo.toml").read_text(), re.M).group(1)
        for chart in ("stubgate", "stubgate-agent"):
            said = yaml.safe_load((CHARTS / chart / "Chart.yaml").read_text())
            self.assertEqual((said["version"], said["appVersion"]), (version, version))
        self.assertTrue(stubgate())
