"""Our own checks, of every pod that the charts make with any set of values."""

import functools
import ipaddress
import re
import unittest

import yaml

from charts import SETS, called, containers, documents, everything, of_kind, one, pods, rendered, selects, template_of, values


def for_every_pod(test):
    """The test is run for each pod of each set, and goes on after one that fails."""

    @functools.wraps(test)
    def all_of_them(self):
        for name in SETS:
            for thing, meta, spec in pods(everything(name)):
                with self.subTest(set=name, pod=called(thing)):
                    test(self, name, thing, meta, spec)

    return all_of_them


class Security(unittest.TestCase):
    @for_every_pod
    def test_pods_are_restricted(self, name, thing, meta, spec):
        context = spec["securityContext"]
        self.assertIs(context["runAsNonRoot"], True)
        self.assertGreater(context["runAsUser"], 0)
        self.assertGreater(context["runAsGroup"], 0)
        self.assertEqual(context["seccompProfile"], {"type": "RuntimeDefault"})
        for key in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"):
            self.assertNotIn(key, spec)
        sysctls = [sysctl["name"] for sysctl in context.get("sysctls", [])]
        self.assertLessEqual(set(sysctls), {"net.ipv4.ip_unprivileged_port_start"})
        for container in containers(spec):
            inner = container["securityContext"]
            self.assertIs(inner["allowPrivilegeEscalation"], False)
            self.assertIs(inner["readOnlyRootFilesystem"], True)
            self.assertIs(inner["privileged"], False)
            self.assertEqual(inner["capabilities"], {"drop": ["ALL"]})
            self.assertFalse(any("hostPort" in port for port in container.get("ports", [])))

    @for_every_pod
    def test_nothing_of_the_node_is_mounted(self, name, thing, meta, spec):
        for volume in spec.get("volumes", []):
            kinds = set(volume) - {"name"}
            self.assertLessEqual(kinds, {"configMap", "secret", "projected", "emptyDir", "persistentVolumeClaim"})

    @for_every_pod
    def test_every_container_says_what_it_asks_for_and_gets(self, name, thing, meta, spec):
        for container in containers(spec):
            self.assertLessEqual({"cpu", "memory"}, set(container["resources"]["requests"]))
            self.assertIn("memory", container["resources"]["limits"])

    @for_every_pod
    def test_images_are_never_latest(self, name, thing, meta, spec):
        for container in containers(spec):
            self.assertRegex(container["image"], r"(@sha256:[0-9a-f]{64}|:[A-Za-z0-9_.-]+)$")
            self.assertFalse(container["image"].endswith(":latest"), name)

    @for_every_pod
    def test_servers_have_probes_and_time_to_end(self, name, thing, meta, spec):
        if thing["kind"] == "Pod":
            return
        self.assertGreaterEqual(spec["terminationGracePeriodSeconds"], 20)
        for container in spec["containers"]:
            ports = {port["name"] for port in container["ports"]}
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                way = container[probe].get("httpGet") or container[probe]["tcpSocket"]
                self.assertIn(way["port"], ports)

    @for_every_pod
    def test_tokens_of_service_accounts_are_mounted_only_where_they_are_asked_for(self, name, thing, meta, spec):
        self.assertIs(spec["automountServiceAccountToken"], False)
        tokens = [volume for volume in spec.get("volumes", []) for source in volume.get("projected", {}).get("sources", []) if "serviceAccountToken" in source]
        asked = {
            "Deployment": values(name, "stubgate")["kubernetes"]["enabled"],
            "StatefulSet": values(name, "stubgate-agent")["serviceAccount"]["mountToken"],
        }
        is_bridge = thing["metadata"]["labels"].get("app.kubernetes.io/component") == "bridge"
        self.assertEqual(len(tokens), 1 if not is_bridge and asked.get(thing["kind"]) else 0)
        for token in tokens:
            self.assertLessEqual(token["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"], 3600)

    def test_no_service_account_mounts_its_token_by_itself(self):
        for name in SETS:
            for account in of_kind(everything(name), "ServiceAccount"):
                self.assertIs(account["automountServiceAccountToken"], False)

    @for_every_pod
    def test_what_holds_secrets_is_read_by_the_pods_group_alone(self, name, thing, meta, spec):
        for volume in spec.get("volumes", []):
            for kind in ("secret", "projected"):
                if kind in volume:
                    self.assertEqual(volume[kind]["defaultMode"], 0o440)
        secrets = {volume["name"] for volume in spec.get("volumes", []) if "secret" in volume}
        for container in containers(spec):
            for mount in container.get("volumeMounts", []):
                if mount["name"] in secrets:
                    self.assertIs(mount["readOnly"], True)
                    # A subPath is not exchanged when its Secret is.
                    self.assertNotIn("subPath", mount)
            for variable in container.get("env", []):
                self.assertNotIn("secretKeyRef", variable.get("valueFrom", {}))

    def test_no_secret_is_made_or_printed(self):
        for name in SETS:
            self.assertEqual(of_kind(everything(name), "Secret"), [])
            text = yaml.safe_dump_all(everything(name))
            self.assertNotRegex(text, r"PRIVATE KEY|gh[pousr]_[A-Za-z0-9]{20}|sk-ant-")

    def test_an_agent_holds_no_secret(self):
        for name in SETS:
            agent = rendered(name, "stubgate-agent")
            spec = one(agent, "StatefulSet")["spec"]["template"]["spec"]
            self.assertFalse([volume for volume in spec["volumes"] if "secret" in volume], name)

    def test_rights_are_read_only_and_no_wider_than_needed(self):
        for name in SETS:
            appliance = rendered(name, "stubgate")
            rules = {role["metadata"]["namespace"]: role["rules"] for role in of_kind(appliance, "ClusterRole", "Role")}
            wanted = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}]
            given = values(name, "stubgate")
            where = given["agents"]["namespaces"] if given["kubernetes"]["enabled"] else []
            self.assertEqual(rules, {namespace: wanted for namespace in where})
            self.assertEqual([binding["metadata"]["namespace"] for binding in of_kind(appliance, "RoleBinding")], where)
            for role in of_kind(rendered(name, "stubgate-agent"), "ClusterRole", "Role"):
                for rule in role["rules"]:
                    self.assertLessEqual(set(rule["verbs"]), {"get", "list", "watch"})
                    self.assertFalse({"*", "secrets"} & set(rule["resources"]))
                    # `get` of these runs and reaches things.
                    self.assertFalse([resource for resource in rule["resources"] if re.search("/(exec|attach|portforward|proxy|ephemeralcontainers)$", resource)])
            for binding in of_kind(everything(name), "ClusterRoleBinding", "RoleBinding"):
                [subject] = binding["subjects"]
                self.assertEqual(subject["kind"], "ServiceAccount")
                self.assertNotEqual(subject["name"], "default")

    def test_rights_to_read_the_cluster_show_no_agents_files_and_no_policy_unless_asked_for(self):
        rules = values("two-replicas", "stubgate-agent")["rbac"]["rules"]
        shown = {resource for rule in rules for resource in rule["resources"]}
        self.assertIn("pods", shown)
        self.assertFalse({"configmaps", "secrets"} & shown)

    def test_rights_may_be_those_of_an_account_whose_token_stubgate_holds(self):
        [binding] = of_kind(rendered("cluster-reader", "stubgate-agent"), "ClusterRoleBinding")
        self.assertEqual(binding["subjects"], [{"kind": "ServiceAccount", "name": "cluster-reader", "namespace": "stubgate"}])
        # A token lies beside its account, and stubgate mounts what lies in its own namespace.
        self.assertIn("cluster-reader", values("cluster-reader", "stubgate")["credentials"]["secrets"])
        status, out, error = template_of("stubgate-agent", {**values("two-replicas", "stubgate-agent"), "rbac": {"create": True}})
        self.assertEqual(status, 0, error)
        binding = one(documents(out), "RoleBinding")
        self.assertEqual(binding["subjects"], [{"kind": "ServiceAccount", "name": "devbot", "namespace": "agents"}])

    @for_every_pod
    def test_every_pod_is_shut_in_by_a_network_policy(self, name, thing, meta, spec):
        chart = "stubgate-agent" if thing["metadata"].get("labels", {}).get("helm.sh/chart", "").startswith("stubgate-agent") else "stubgate"
        if not values(name, chart)["networkPolicy"]["enabled"]:
            return
        covering = [
            policy
            for policy in of_kind(everything(name), "NetworkPolicy")
            if policy["metadata"]["namespace"] == thing["metadata"]["namespace"] and selects(policy["spec"]["podSelector"], meta["labels"])
        ]
        self.assertTrue(any({"Ingress", "Egress"} <= set(policy["spec"]["policyTypes"]) for policy in covering))
        for policy in covering:
            for rule in policy["spec"].get("egress", []) + policy["spec"].get("ingress", []):
                self.assertTrue(rule.get("ports"), "a rule for every port")
                peers = rule.get("to") or rule.get("from")
                self.assertTrue(peers, "a rule for everybody")
                self.assertTrue(all(peer.get("ipBlock") or peer.get("podSelector") for peer in peers))

    def test_stubgate_reaches_no_private_network_that_was_not_named(self):
        policy = one(rendered("two-replicas", "stubgate"), "NetworkPolicy", "stubgate")
        named = {"10.0.0.5/32"}
        for rule in policy["spec"]["egress"]:
            for peer in rule["to"]:
                block = peer.get("ipBlock")
                if block is None or block["cidr"] in named:
                    continue
                self.assertIn(block["cidr"], ("0.0.0.0/0", "::/0"))
                private = {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"} if "." in block["cidr"] else {"fc00::/7", "fe80::/10"}
                self.assertLessEqual(private, set(block["except"]))

    def test_what_is_excepted_of_a_network_is_part_of_it(self):
        """The API server refuses it otherwise."""
        narrow = 0
        for name in SETS:
            for policy in of_kind(everything(name), "NetworkPolicy"):
                for rule in policy["spec"].get("egress", []) + policy["spec"].get("ingress", []):
                    for peer in rule.get("to", []) + rule.get("from", []):
                        if "ipBlock" not in peer:
                            continue
                        whole = ipaddress.ip_network(peer["ipBlock"]["cidr"])
                        narrow += 0 < whole.prefixlen < 20
                        for part in peer["ipBlock"].get("except", []):
                            with self.subTest(set=name, network=str(whole), part=part):
                                self.assertNotEqual(ipaddress.ip_network(part), whole)
                                self.assertTrue(ipaddress.ip_network(part).subnet_of(whole))
        self.assertGreater(narrow, 0, "no set of values has a network of its own")

    def test_only_prometheus_reaches_the_admin_port(self):
        for name in SETS:
            for policy in of_kind(rendered(name, "stubgate"), "NetworkPolicy"):
                for rule in policy["spec"].get("ingress", []):
                    if any(port["port"] == 9090 for port in rule["ports"]):
                        self.assertEqual([port["port"] for port in rule["ports"]], [9090])
                        [peer] = rule["from"]
                        asked = values(name, "stubgate")["networkPolicy"]["prometheus"]
                        labels = asked["podLabels"] or {"app.kubernetes.io/name": "prometheus"}
                        self.assertEqual(peer["podSelector"]["matchLabels"], labels)
                        self.assertEqual(list(peer["namespaceSelector"]["matchLabels"].values()), [asked["namespace"]])
            for service in of_kind(rendered(name, "stubgate"), "Service"):
                ports = {port["port"] for port in service["spec"]["ports"]}
                self.assertEqual(9090 in ports, service["spec"].get("clusterIP") == "None")

    def test_peers_keep_their_addresses(self):
        for name in SETS:
            for service in of_kind(everything(name), "Service"):
                self.assertEqual(service["spec"]["type"], "ClusterIP")
                self.assertNotIn("externalIPs", service["spec"])

    def test_policy_and_credentials_are_folders_that_reload_and_only_configuration_restarts(self):
        for name in SETS:
            deployment = one(rendered(name, "stubgate"), "Deployment")
            annotations = deployment["spec"]["template"]["metadata"]["annotations"]
            self.assertEqual([key for key in annotations if key.startswith("checksum/")], ["checksum/config"])
            for mount in deployment["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]:
                self.assertNotIn("subPath", mount)
                if re.match(r"/etc/stubgate/policy|/run/secrets", mount["mountPath"]):
                    self.assertIs(mount["readOnly"], True)
