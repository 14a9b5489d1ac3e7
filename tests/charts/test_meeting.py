"""Names, ports, selectors and secrets of the two charts meet: what one asks for is what the other gives."""

import functools
import json
import unittest

import yaml

from charts import CHARTS, RELEASES, SETS, called, config, containers, everything, notes, of_kind, one, pods, rendered, selects, values

AGENT_PORTS = {("UDP", 53), ("TCP", 53), ("TCP", 80), ("TCP", 443), ("TCP", 3128)}


def pod_of(name, chart, kind):
    spec = one(rendered(name, chart), kind)["spec"]["template"] if kind != "Pod" else one(rendered(name, chart), kind)
    return spec["metadata"]["labels"], spec["spec"]


def ports(rule):
    return {(port["protocol"], port["port"]) for port in rule["ports"]}


def peer_is(peer, namespace, labels):
    """Whether a peer of a network policy is a pod with these labels in this namespace."""
    if "ipBlock" in peer:
        return False
    return selects(peer["namespaceSelector"], {"kubernetes.io/metadata.name": namespace}) and selects(peer["podSelector"], labels)


def may(objects, direction, pod, other):
    """The ports by which a pod may reach the other (`egress`), or be reached by it (`ingress`). A pod is (namespace, labels)."""
    found, covered = set(), False
    for policy in of_kind(objects, "NetworkPolicy"):
        if policy["metadata"]["namespace"] == pod[0] and selects(policy["spec"]["podSelector"], pod[1]):
            covered = covered or direction.capitalize() in policy["spec"]["policyTypes"]
            for rule in policy["spec"].get(direction, []):
                if any(peer_is(peer, *other) for peer in rule["from" if direction == "ingress" else "to"]):
                    found |= ports(rule)
    return found, covered


def where_policies_are(test):
    """The test is run for each set with network policies."""

    @functools.wraps(test)
    def all_of_them(self):
        for name in SETS:
            if values(name, "stubgate")["networkPolicy"]["enabled"]:
                with self.subTest(set=name):
                    test(self, name)

    return all_of_them


class Meeting(unittest.TestCase):
    def test_the_agents_name_servers_are_the_services_addresses_and_what_dns_answers_with(self):
        for name in SETS:
            with self.subTest(set=name):
                service = one(rendered(name, "stubgate"), "Service", stubgate(name))
                for thing, meta, spec in pods(everything(name)):
                    # Agents, and the pod of `helm test`, which stands where they do.
                    is_agent = thing["kind"] in ("StatefulSet", "Pod")
                    self.assertEqual(spec.get("dnsPolicy") == "None", is_agent)
                    if is_agent:
                        self.assertEqual(spec["dnsConfig"]["nameservers"], service["spec"]["clusterIPs"])
                self.assertEqual(config(name)["advertise"], service["spec"]["clusterIPs"])
                self.assertEqual(service["spec"]["clusterIP"], service["spec"]["clusterIPs"][0])
                families = ["IPv6" if ":" in address else "IPv4" for address in service["spec"]["clusterIPs"]]
                self.assertEqual(service["spec"]["ipFamilies"], families)

    def test_listeners_containers_service_and_network_policies_have_the_same_ports(self):
        for name in SETS:
            with self.subTest(set=name):
                _, spec = pod_of(name, "stubgate", "Deployment")
                [container] = spec["containers"]
                named = {port["name"]: (port["protocol"], port["containerPort"]) for port in container["ports"]}
                service = one(rendered(name, "stubgate"), "Service", stubgate(name))
                for port in service["spec"]["ports"]:
                    self.assertEqual(named[port["targetPort"]], (port["protocol"], port["port"]))
                self.assertEqual({(port["protocol"], port["port"]) for port in service["spec"]["ports"]}, AGENT_PORTS)
                listen = config(name)["listen"]
                numbers = {key: {int(address.rsplit(":", 1)[1]) for address in addresses} for key, addresses in listen.items()}
                self.assertEqual(numbers, {"dns": {53}, "http": {80}, "https": {443}, "proxy": {3128}, "admin": {9090}})
                self.assertEqual({number for _, number in named.values()}, {53, 80, 443, 3128, 9090})
                for addresses in listen.values():
                    self.assertEqual(len(addresses), len(service["spec"]["clusterIPs"]))

    def test_services_and_budgets_select_the_pods_that_they_are_for_and_no_others(self):
        for name in SETS:
            objects = everything(name)
            made = list(pods(objects))
            for thing in of_kind(objects, "Service", "PodDisruptionBudget"):
                selector = thing["spec"]["selector"]
                selector = selector if thing["kind"] == "PodDisruptionBudget" else {"matchLabels": selector}
                hit = [called(pod) for pod, meta, _ in made if pod["metadata"]["namespace"] == thing["metadata"]["namespace"] and selects(selector, meta["labels"])]
                with self.subTest(set=name, object=called(thing)):
                    self.assertEqual(len(hit), 1, hit)
            for thing, _, _ in made:
                if thing["kind"] != "Pod":
                    hit = [called(pod) for pod, meta, _ in made if pod["metadata"]["namespace"] == thing["metadata"]["namespace"] and selects(thing["spec"]["selector"], meta["labels"])]
                    self.assertEqual(hit, [called(thing)])

    @where_policies_are
    def test_an_agent_reaches_stubgate_by_the_ports_that_are_for_it_from_both_sides(self, name):
        appliance, agent = self.both(name)
        self.assertEqual(may(everything(name), "egress", agent, appliance), (AGENT_PORTS, True))
        self.assertEqual(may(everything(name), "ingress", appliance, agent), (AGENT_PORTS, True))

    @where_policies_are
    def test_an_agent_reaches_nothing_else_and_nobody_but_prometheus_reaches_it(self, name):
        appliance, agent = self.both(name)
        others = [(thing["metadata"]["namespace"], meta["labels"]) for thing, meta, _ in pods(everything(name))]
        others += [("kube-system", {"k8s-app": "kube-dns"}), ("default", {}), ("agents", {}), ("stubgate", {})]
        for other in others:
            if other != appliance:
                self.assertEqual(may(everything(name), "egress", agent, other), (set(), True), other)
            self.assertEqual(may(everything(name), "ingress", agent, other), (set(), True), other)
        for policy in of_kind(everything(name), "NetworkPolicy"):
            if policy["metadata"]["namespace"] == agent[0] and selects(policy["spec"]["podSelector"], agent[1]):
                self.assertFalse(any("ipBlock" in peer for rule in policy["spec"].get("egress", []) for peer in rule["to"]))

    @where_policies_are
    def test_a_pod_that_is_no_agent_does_not_reach_stubgate(self, name):
        appliance, _ = self.both(name)
        for stranger in (("default", {"stubgate.internal/agent": "devbot"}), ("agents", {"app": "web"}), ("stubgate", {})):
            self.assertEqual(may(everything(name), "ingress", appliance, stranger), (set(), True), stranger)

    def test_whatever_is_started_in_a_locked_namespace_reaches_stubgate_alone(self):
        appliance, _ = self.both("locked")
        stranger = ("agents", {"app": "web"})
        self.assertEqual(may(rendered("locked", "stubgate"), "egress", stranger, appliance), (AGENT_PORTS, True))
        for other in (("kube-system", {"k8s-app": "kube-dns"}), ("agents", {})):
            self.assertEqual(may(rendered("locked", "stubgate"), "egress", stranger, other), (set(), True))

    def test_the_pod_of_helm_test_stands_where_the_agent_stands(self):
        labels, spec = pod_of("locked", "stubgate-agent", "StatefulSet")
        test_labels, test = pod_of("locked", "stubgate-agent", "Pod")
        annotations = one(rendered("locked", "stubgate-agent"), "Pod")["metadata"]["annotations"]
        self.assertEqual(annotations["helm.sh/hook"], "test")
        self.assertEqual(test_labels["stubgate.internal/agent"], labels["stubgate.internal/agent"])
        self.assertEqual(test["serviceAccountName"], spec["serviceAccountName"])
        self.assertEqual(test["dnsConfig"]["nameservers"], spec["dnsConfig"]["nameservers"])
        appliance, agent = self.both("locked")
        where = ("agents", test_labels)
        for objects in (rendered("locked", "stubgate-agent"), everything("locked")):
            self.assertEqual(may(objects, "egress", where, appliance), may(objects, "egress", agent, appliance))
        [container] = test["containers"]
        self.assertEqual(container["args"][0], "attack")
        self.assertEqual(container["image"], pod_of("locked", "stubgate", "Deployment")[1]["containers"][0]["image"])

    def test_stubgate_knows_the_agents_pod_and_no_bridge_by_what_policy_says(self):
        for name in SETS:
            policy = yaml.safe_load("\n".join(values(name, "stubgate")["policy"]["files"].values()) or "{}") or {}
            for agent, said in policy.get("agents", {}).items():
                for selector in said.get("pods", []):
                    hits = []
                    for thing, meta, spec in pods(rendered(name, "stubgate-agent")):
                        if thing["kind"] == "Pod":
                            continue
                        fits = thing["metadata"]["namespace"] == selector["namespace"] and spec["serviceAccountName"] == selector["service_account"]
                        if fits and selects({"matchLabels": selector["labels"]}, meta["labels"]):
                            hits.append(thing["metadata"]["name"])
                    with self.subTest(set=name, agent=agent):
                        self.assertEqual(len(hits), 1, hits)
                        bridge = "bridge" in agent
                        self.assertEqual("bridge" in hits[0], bridge)

    def test_stubgate_reaches_bridges_and_only_stubgate_does(self):
        appliance, agent = self.both("bridges")
        objects = everything("bridges")
        found = 0
        for thing, meta, spec in pods(objects):
            if meta["labels"].get("app.kubernetes.io/component") != "bridge":
                continue
            found += 1
            bridge = ("agents", meta["labels"])
            self.assertEqual(may(objects, "egress", appliance, bridge), ({("TCP", 8443)}, True))
            self.assertEqual(may(objects, "ingress", bridge, appliance), ({("TCP", 8443)}, True))
            self.assertEqual(may(objects, "ingress", bridge, agent), (set(), True))
            # Its own policy gives it the proxy; that of the namespace what any pod there has.
            ports_there, covered = may(objects, "egress", bridge, appliance)
            self.assertTrue(covered and {("TCP", 3128)} <= ports_there <= AGENT_PORTS)
            [container] = spec["containers"]
            self.assertIn("--listen=0.0.0.0:8443", container["args"])
            self.assertIn({"name": "HTTPS_PROXY", "value": "http://10.43.100.100:3128"}, container["env"])
        self.assertEqual(found, 2)
        # The name that the agent's file, policy and stubgate.yaml have is the one that the Service gives.
        service = one(objects, "Service", "devbot-bridge-nats")
        host = f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc.cluster.local"
        self.assertEqual(service["spec"]["ports"][0]["port"], 443)
        self.assertEqual(config("bridges")["upstream"]["allow_private"][0]["hosts"], [host])
        self.assertIn(f"https://{host}/mcp", values("bridges", "stubgate-agent")["agent"]["files"]["bridges.yaml"])
        # Its token is the credential: one Secret's name on both sides, the same key.
        tokens = values("bridges", "stubgate-agent")["bridges"]["nats"]["tokensSecret"]
        self.assertIn(tokens, values("bridges", "stubgate")["credentials"]["secrets"])
        policy = yaml.safe_load(values("bridges", "stubgate")["policy"]["files"]["agents.yaml"])
        self.assertEqual(policy["credentials"]["nats-bridge"]["source"]["file"], f"/run/secrets/stubgate/{tokens}/tokens")
        self.assertEqual(policy["credentials"]["nats-bridge"]["hosts"], [host])

    def test_the_bundle_that_one_writes_is_the_one_that_the_other_mounts(self):
        for name in SETS:
            where = values(name, "stubgate")["ca"]["bundleConfigMap"]
            agent = pod_of(name, "stubgate-agent", "StatefulSet")[1]
            [volume] = [volume for volume in agent["volumes"] if volume["name"] == "bundle"]
            self.assertEqual(volume["configMap"]["name"], where)
            [mount] = [mount for mount in agent["containers"][0]["volumeMounts"] if mount["name"] == "bundle"]
            self.assertEqual(f"{mount['mountPath']}/{volume['configMap']['items'][0]['path']}", "/etc/stubgate/bundle.pem")
        written = one(rendered("locked", "stubgate"), "ConfigMap", "egress-bundle")
        self.assertEqual(written["metadata"]["namespace"], "agents")
        self.assertEqual(list(written["data"]), ["bundle.pem"])

    def test_every_volume_is_mounted_every_mount_has_its_volume_and_every_object_that_is_named_is_there_or_was_given(self):
        for name in SETS:
            objects = everything(name)
            there = {(thing["kind"], thing["metadata"]["namespace"], thing["metadata"]["name"]) for thing in objects if "namespace" in thing["metadata"]}
            for thing, _, spec in pods(objects):
                namespace = thing["metadata"]["namespace"]
                claims = {claim["metadata"]["name"] for claim in thing["spec"].get("volumeClaimTemplates", [])}
                volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
                mounted = {mount["name"] for container in containers(spec) for mount in container.get("volumeMounts", [])}
                with self.subTest(set=name, pod=called(thing)):
                    self.assertEqual(mounted, set(volumes) | claims)
                    for container in containers(spec):
                        paths = [mount["mountPath"] for mount in container.get("volumeMounts", [])]
                        self.assertEqual(len(paths), len(set(paths)))
                    for volume in volumes.values():
                        config_map = volume.get("configMap", {}).get("name")
                        prefix = RELEASES["stubgate"][0] if namespace == "stubgate" else RELEASES["stubgate-agent"][0]
                        if config_map and config_map.startswith((f"{prefix}-config", f"{prefix}-policy", "devbot-bridge", "egress-config")) and name != "monitoring":
                            self.assertIn(("ConfigMap", namespace, config_map), there)
                    account = spec["serviceAccountName"]
                    if account != "default":
                        self.assertIn(("ServiceAccount", namespace, account), there)

    def test_files_that_stubgate_yaml_names_are_where_they_are_mounted(self):
        for name in SETS:
            _, spec = pod_of(name, "stubgate", "Deployment")
            mounts = [mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]]
            for path in files(config(name)):
                with self.subTest(set=name, path=path):
                    self.assertTrue(any(path == mount or path.startswith(f"{mount}/") for mount in mounts) or path == "/run/secrets/stubgate")
            # What the running process may read has no key beside it: policy, stubgate.yaml and credentials.
            for secret in ("/etc/stubgate/ca", "/etc/stubgate/stubs", "/etc/stubgate/escrow", "/etc/stubgate/database"):
                for folder in [*config(name)["policy"], "/etc/stubgate/policy", "/etc/stubgate/config", "/run/secrets/stubgate"]:
                    self.assertFalse(f"{secret}/".startswith(f"{folder}/"))

    def test_a_stop_has_the_time_that_it_takes(self):
        for name in SETS:
            times = config(name).get("timeouts", {})
            needed = times.get("drain_delay_seconds", 5) + times.get("drain_seconds", 20) + (42 if "escrow" in config(name) else 0)
            self.assertGreater(pod_of(name, "stubgate", "Deployment")[1]["terminationGracePeriodSeconds"], needed)

    def test_every_key_of_a_bridge_is_in_the_readme(self):
        schema = json.loads((CHARTS / "stubgate-agent/values.schema.json").read_text())
        readme = (CHARTS / "stubgate-agent/README.md").read_text()
        for key in schema["definitions"]["bridge"]["properties"]:
            self.assertTrue(f"| `bridges.NAME.{key}` |" in readme, key)

    def test_what_the_notes_tell_to_write_fits(self):
        for name in SETS:
            with self.subTest(set=name):
                labels, spec = pod_of(name, "stubgate-agent", "StatefulSet")
                said = block(notes(name, "stubgate-agent"), "  agents:")["agents"]
                [(agent, pods_of)] = said.items()
                [selector] = pods_of["pods"]
                self.assertEqual(agent, labels["stubgate.internal/agent"])
                self.assertTrue(selects({"matchLabels": selector["labels"]}, labels))
                self.assertEqual((selector["namespace"], selector["service_account"]), ("agents", spec["serviceAccountName"]))
                said = block(notes(name, "stubgate"), "  stubgate:")["stubgate"]
                self.assertEqual(said["addresses"], values(name, "stubgate-agent")["stubgate"]["addresses"])
                self.assertEqual(said["namespace"], values(name, "stubgate-agent")["stubgate"]["namespace"])
                self.assertTrue(selects({"matchLabels": said["podLabels"]}, pod_of(name, "stubgate", "Deployment")[0]))

    def both(self, name):
        return ("stubgate", pod_of(name, "stubgate", "Deployment")[0]), ("agents", pod_of(name, "stubgate-agent", "StatefulSet")[0])


def block(text, first):
    """What begins with this line and is indented like it, as YAML."""
    lines = text.splitlines()
    start = lines.index(first)
    end = next((number for number in range(start, len(lines)) if not lines[number].startswith("  ")), len(lines))
    return yaml.safe_load("\n".join(lines[start:end]))


def stubgate(name):
    """The name of the appliance's objects."""
    return one(rendered(name, "stubgate"), "Deployment")["metadata"]["name"]


def files(node):
    """Every path in a configuration, but for standard output."""
    if isinstance(node, dict):
        for key, below in node.items():
            if key != "upstream" or "ca_files" in below:
                yield from files(below)
    elif isinstance(node, list):
        for below in node:
            yield from files(below)
    elif isinstance(node, str) and node.startswith("/"):
        yield node
