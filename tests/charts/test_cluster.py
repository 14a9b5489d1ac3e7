"""A real API server takes what is rendered, with namespaces that enforce restricted pods, and gives the rights that are meant and no others.
Runs where STUBGATE_REAL_CLUSTER is set; tests/setup-go --cluster builds what it needs."""

import json
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.request

from charts import SETS, TARGET, called, everything, pods, rendered

BIN = pathlib.Path(os.environ.get("STUBGATE_LAB_CLUSTER") or TARGET / "lab-cluster" / "bin")
# Without a controller, somebody else makes these.
GIVEN = [
    {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "agents"}, "value": 1000},
    {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "gvisor"}, "handler": "runsc"},
]


def free():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Cluster:
    """etcd and an API server on loopback; both end with `stop`."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.running = []
        peer, client, self.port = free(), free(), free()
        self.start(
            "etcd",
            f"--data-dir={self.folder}/etcd",
            f"--listen-client-urls=http://127.0.0.1:{client}",
            f"--advertise-client-urls=http://127.0.0.1:{client}",
            f"--listen-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-cluster=default=http://127.0.0.1:{peer}",
        )
        subprocess.run(["openssl", "genrsa", "-out", self.folder / "sa.key", "2048"], check=True, capture_output=True)
        (self.folder / "tokens.csv").write_text('nobodys-token,admin,1,"system:masters"\n')
        self.start(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{client}",
            f"--secure-port={self.port}",
            "--bind-address=127.0.0.1",
            f"--cert-dir={self.folder}/certs",
            "--service-cluster-ip-range=10.43.0.0/16,fd00:43::/108",
            "--endpoint-reconciler-type=none",
            "--authorization-mode=RBAC",
            f"--token-auth-file={self.folder}/tokens.csv",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self.folder}/sa.key",
            f"--service-account-signing-key-file={self.folder}/sa.key",
        )
        deadline = time.monotonic() + 120
        while self.ask("GET", "/readyz")[0] != 200:
            if time.monotonic() > deadline:
                raise AssertionError((self.folder / "kube-apiserver.log").read_text()[-3000:])
            time.sleep(0.5)

    def start(self, program, *arguments):
        with open(self.folder / f"{program}.log", "w") as log:
            self.running.append(subprocess.Popen([BIN / program, *arguments], stdout=log, stderr=log, cwd=self.folder))

    def stop(self):
        for process in reversed(self.running):
            process.terminate()
            process.wait()
        shutil.rmtree(self.folder)

    def ask(self, method, path, body=None):
        certificate = self.folder / "certs/apiserver.crt"
        try:
            context = ssl.create_default_context(cafile=certificate)
            request = urllib.request.Request(f"https://127.0.0.1:{self.port}{path}", method=method)
            request.add_header("Authorization", "Bearer nobodys-token")
            request.add_header("Content-Type", "application/json")
            with urllib.request.urlopen(request, json.dumps(body).encode() if body else None, timeout=20, context=context) as answer:
                text = answer.read().decode()
                return answer.status, text
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def create(self, thing, dry=False):
        """Makes an object, or only asks whether it would be taken; unknown fields are errors."""
        group = "/api/v1" if thing["apiVersion"] == "v1" else f"/apis/{thing['apiVersion']}"
        plural = {"NetworkPolicy": "networkpolicies", "PriorityClass": "priorityclasses", "RuntimeClass": "runtimeclasses"}
        plural = plural.get(thing["kind"], thing["kind"].lower() + "s")
        namespace = thing["metadata"].get("namespace")
        where = f"{group}/namespaces/{namespace}/{plural}" if namespace else f"{group}/{plural}"
        return self.ask("POST", f"{where}?fieldValidation=Strict{'&dryRun=All' if dry else ''}", thing)

    def may(self, account, verb, resource, namespace, subresource=""):
        """Whether a service account (namespace, name) has a right."""
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": f"system:serviceaccount:{account[0]}:{account[1]}",
                "groups": ["system:serviceaccounts", f"system:serviceaccounts:{account[0]}", "system:authenticated"],
                "resourceAttributes": {"verb": verb, "resource": resource, "namespace": namespace, "subresource": subresource},
            },
        }
        status, text = self.ask("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
        assert status == 201, text
        return json.loads(text)["status"]["allowed"]


@unittest.skipUnless(os.environ.get("STUBGATE_REAL_CLUSTER"), "STUBGATE_REAL_CLUSTER is not set")
class ApiServer(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster()
        cls.addClassCleanup(cls.cluster.stop)
        restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
        made = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": restricted}} for name in ("stubgate", "agents", "agents-staging")]
        made += [{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "stubgate"}}]
        for thing in made + GIVEN:
            status, text = cls.cluster.create(thing)
            assert status == 201, text

    def test_it_takes_every_object_and_every_pod_of_every_set(self):
        accounts = set()
        for name in SETS:
            for thing in everything(name):
                key = (thing["metadata"].get("namespace"), thing["metadata"]["name"])
                if thing["kind"] == "ServiceAccount" and key not in accounts:
                    accounts.add(key)
                    self.assertEqual(self.cluster.create(thing)[0], 201)
        for name in SETS:
            for thing in everything(name):
                if thing["kind"] == "ServiceAccount" or thing["apiVersion"].startswith("monitoring.coreos.com/"):
                    continue
                with self.subTest(set=name, object=called(thing)):
                    status, text = self.cluster.create(thing, dry=True)
                    self.assertEqual(status, 201, text)
            # A workload is taken whatever its pods are; these are what is enforced.
            for thing, meta, spec in pods(everything(name)):
                pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {**meta, "name": "pod", "namespace": thing["metadata"]["namespace"]}, "spec": {**spec}}
                claims = thing["spec"].get("volumeClaimTemplates", [])
                more = [{"name": claim["metadata"]["name"], "persistentVolumeClaim": {"claimName": "pod"}} for claim in claims]
                pod["spec"]["volumes"] = [*spec.get("volumes", []), *more]
                with self.subTest(set=name, pod=called(thing)):
                    status, text = self.cluster.create(pod, dry=True)
                    self.assertEqual(status, 201, text)

    def test_it_refuses_a_pod_that_is_not_restricted(self):
        [(thing, meta, spec)] = pods(rendered("two-replicas", "stubgate"))
        container = {**spec["containers"][0], "securityContext": {}}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {**meta, "name": "pod", "namespace": "stubgate"}, "spec": {**spec, "serviceAccountName": "default", "containers": [container]}}
        status, text = self.cluster.create(pod, dry=True)
        self.assertEqual(status, 403, text)
        self.assertIn("restricted", text)

    def test_rights_are_those_that_are_meant(self):
        # Accounts need not be there for their rights.
        for thing in rendered("two-replicas", "stubgate") + rendered("cluster-reader", "stubgate-agent"):
            if thing["kind"] in ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"):
                status, text = self.cluster.create(thing)
                self.assertEqual(status, 201, text)
        appliance, agent, reader = ("stubgate", "stubgate"), ("agents", "devbot"), ("stubgate", "cluster-reader")
        self.assertTrue(self.cluster.may(appliance, "list", "pods", "agents"))
        self.assertTrue(self.cluster.may(appliance, "watch", "pods", "agents"))
        self.assertTrue(self.cluster.may(reader, "get", "pods", "stubgate", "log"))
        for account, verb, resource, namespace in (
            (appliance, "get", "secrets", "stubgate"),
            (appliance, "list", "secrets", "agents"),
            (appliance, "create", "pods", "agents"),
            (appliance, "list", "pods", "kube-system"),
            (agent, "list", "pods", "agents"),
            (agent, "get", "secrets", "agents"),
            (("agents", "reader-account"), "get", "pods", "agents"),
            (reader, "get", "secrets", "stubgate"),
            (reader, "delete", "pods", "agents"),
        ):
            self.assertFalse(self.cluster.may(account, verb, resource, namespace), (account, verb, resource, namespace))
