"""Puts a rendered pod's volumes below a folder, as the kubelet does: links to a folder with a time for a name, owners and modes of
`fsGroup`. Paths in what is read there are put below that folder too, since nothing here has a root of its own."""

import os
import pathlib
import secrets
import subprocess

import yaml

from charts import TARGET, of_kind, one, rendered

GROUP = 65532
PLACES = ("/etc/stubgate/", "/run/secrets/stubgate", "/var/lib/stubgate/")
# A network of its own, in which ports below 1024 are anybody's, as in a pod.
ALONE = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--net"]


def program(name, variable):
    """A binary: the one that the variable names, else the newest that is built."""
    if named := os.environ.get(variable):
        return named
    built = [path for path in (TARGET / "debug" / name, TARGET / "lab" / name) if path.exists()]
    if not built:
        raise AssertionError(f"no {name} to try: cargo build, or name one in {variable}")
    return str(max(built, key=lambda path: path.stat().st_mtime))


def stubgate():
    return program("stubgate", "STUBGATE_BIN")


def run(*arguments, **more):
    return subprocess.run([stubgate(), *arguments], capture_output=True, text=True, check=False, **more)


class Layout:
    """The volumes of a set's appliance, or agent, below `root`."""

    def __init__(self, name, root, chart="stubgate"):
        self.root = pathlib.Path(root)
        self.root.chmod(0o711)
        self.objects = rendered(name, chart)
        self.spec = one(self.objects, {"stubgate": "Deployment", "stubgate-agent": "StatefulSet"}[chart])["spec"]["template"]["spec"]
        claims = ({"name": name, "persistentVolumeClaim": {}} for name in ("home", "workspace"))
        volumes = {volume["name"]: volume for volume in [*self.spec["volumes"], *claims]}
        for mount in self.spec["containers"][0]["volumeMounts"]:
            self.mount(volumes[mount["name"]], self.below(mount["mountPath"]))

    def below(self, path):
        return self.root / path.lstrip("/")

    def text(self, text):
        for place in PLACES:
            text = text.replace(place, f"{self.root}{place}")
        return text

    def config(self):
        return self.below(self.spec["containers"][0]["args"][2])

    def without_cluster(self):
        """As if there were no API server: agents by their addresses. One that there is, is a matter of another suite."""
        wanted = yaml.safe_load(self.config().read_text())
        wanted.pop("kubernetes", None)
        self.config().resolve().write_text(yaml.safe_dump(wanted))
        for folder in wanted["policy"]:
            for file in pathlib.Path(folder).glob("*.yaml"):
                policy = yaml.safe_load(file.read_text())
                for number, agent in enumerate(policy.get("agents", {}).values()):
                    if agent.pop("pods", None):
                        agent["sources"] = [f"10.42.{number}.0/24"]
                file.resolve().write_text(yaml.safe_dump(policy))

    def mount(self, volume, folder):
        folder.mkdir(parents=True)
        for above in folder.relative_to(self.root).parents:
            (self.root / above).chmod(0o755)
        if "configMap" in volume:
            named = volume["configMap"]["name"]
            found = [thing["data"] for thing in of_kind(self.objects, "ConfigMap") if thing["metadata"]["name"] == named]
            # One that the chart does not make: policy of others, certificates of others.
            data = found[0] if found else {item["path"]: "" for item in volume["configMap"].get("items", [])}
            if volume["name"] == "bundle":
                data = {"bundle.pem": authority()[0]}
            self.write(folder, {key: self.text(text) for key, text in data.items()}, 0o644)
        elif "secret" in volume:
            self.write(folder, self.secret(volume), volume["secret"]["defaultMode"])
        elif "emptyDir" in volume:
            self.give(folder, 0o2777)
        elif "persistentVolumeClaim" in volume:
            self.give(folder, 0o2775)
        elif "projected" in volume:
            self.write(folder, {"token": "x", "ca.crt": authority()[0], "namespace": "stubgate"}, volume["projected"]["defaultMode"])

    def secret(self, volume):
        """What others would have put into it."""
        certificate, key = authority()
        known = {
            "tls.crt": certificate,
            "tls.key": key,
            "key": secrets.token_hex(32) if volume["name"] == "stubs" else secrets.token_urlsafe(32)[:32],
            "url": "postgres://stubgate:x@127.0.0.1/stubgate",
            "ca.crt": certificate,
            "token": "not-a-real-credential-0123456789",
            "tokens": "not-a-real-credential-0123456789",
        }
        wanted = [item["key"] for item in volume["secret"].get("items", [])]
        return {name: known[name] for name in wanted} or {name: known[name] for name in ("token", "tokens", "url", "ca.crt")}

    def write(self, folder, files, mode):
        """As the kubelet exchanges files: all at once, by a link."""
        data = folder / "..2026_11_21_00_00_00.1"
        data.mkdir()
        for name, text in files.items():
            (data / name).write_text(text)
            self.give(data / name, mode)
            (folder / name).symlink_to(f"..data/{name}")
        (folder / "..data").symlink_to(data.name)
        self.give(data, 0o2755)
        self.give(folder, 0o3777)

    def give(self, path, mode):
        if os.geteuid() == 0:
            os.chown(path, 0, GROUP)
        path.chmod(mode)


_authority = []


def authority():
    """An authority that stubgate made: its certificate and key, in PEM."""
    if not _authority:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            place = pathlib.Path(folder)
            (place / "policy").mkdir()
            (place / "stubgate.yaml").write_text(f"listen: {{ proxy: ['127.0.0.1:3128'] }}\npolicy: [{folder}/policy]\nstate_dir: {folder}/state\n")
            done = run("ca", "init", "--config", str(place / "stubgate.yaml"))
            if done.returncode != 0:
                raise AssertionError(done.stderr)
            _authority.extend((place / "state/ca" / name).read_text() for name in ("certificate.pem", "key.pem"))
    return _authority
