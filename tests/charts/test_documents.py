"""Examples and guides are followed: values render, policy is good, commands name what there is."""

import os
import pathlib
import re
import shlex
import shutil
import subprocess
import tempfile
import unittest

import yaml

from charts import CHARTS, ROOT, documents, of_kind, one, template, template_of
from layout import run, stubgate

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
        installed = [words for words in self.commands if words[:2] == ["helm", "install"]]
        self.assertEqual([words[2] for words in installed], ["stubgate", "devbot"])
        for words in installed:
            chart = pathlib.Path(words[3]).name
            with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
                file.write(self.files[self.option(words, "--values")])
                file.flush()
                status, _, error = template(chart, file.name)
            self.assertEqual(status, 0, error)

    def test_what_the_charts_mount_is_made_by_its_commands(self):
        made = set()
        for words in self.commands:
            if words[:2] == ["kubectl", "create"] and words[2] in ("secret", "configmap"):
                name = words[4] if words[2] == "secret" else words[3]
                made.add((words[2], self.option(words, "--namespace"), name))
        for file, chart, kind in (("install/stubgate.yaml", "stubgate", "Deployment"), ("install/devbot.yaml", "stubgate-agent", "StatefulSet")):
            status, out, error = template_of(chart, yaml.safe_load(self.files[file]))
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
            for words in self.commands:
                if words[0] != "stubgate":
                    continue
                into = words[-1].lstrip(">") if words[-1].startswith(">") else None
                words = [word for word in words if not word.startswith(">")]
                done = run(*words[1:], cwd=place)
                self.assertEqual(done.returncode, 0, f"{words}: {done.stdout}{done.stderr}")
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
            from layout import authority

            for name, text in zip(("certificate.pem", "key.pem"), authority()):
                (certificate / name).write_text(text)
            for name, text in {**self.files, "install/bundle.pem": authority()[0], "install/token": "x"}.items():
                (place / name).write_text(text)
            for words in self.commands:
                if words[:2] != ["kubectl", "create"]:
                    continue
                done = subprocess.run([*words, "--dry-run=client", "--output", "yaml"], cwd=place, capture_output=True, text=True, check=False, env={**os.environ, "KUBECONFIG": "/dev/null"})
                self.assertEqual(done.returncode, 0, f"{words}: {done.stderr}")
                self.assertEqual(yaml.safe_load(done.stdout)["kind"].lower(), words[2])

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
