{{/* stubgate.yaml: what follows from other values, and `config` over it. Folders that the running process reads (policy, stubgate.yaml,
credentials) stand apart from those of keys, which it reads at its start only. */}}

{{- define "stubgate.config" -}}
{{- $listen := dict -}}
{{- range $name, $port := dict "dns" 53 "http" 80 "https" 443 "proxy" 3128 "admin" 9090 -}}
{{- $_ := set $listen $name (include "stubgate.listen" (dict "root" $ "port" $port) | fromJsonArray) -}}
{{- end -}}
{{- $policy := list -}}
{{- if .Values.policy.files -}}{{- $policy = append $policy "/etc/stubgate/policy/chart" -}}{{- end -}}
{{- range .Values.policy.configMaps -}}{{- $policy = append $policy (printf "/etc/stubgate/policy/%s" .) -}}{{- end -}}
{{- $config := dict "listen" $listen "advertise" .Values.service.clusterIPs "policy" $policy "state_dir" "/var/lib/stubgate/state" -}}
{{- if .Values.ca.secretName -}}
{{- $_ := set $config "ca" (dict "certificate_file" "/etc/stubgate/ca/tls.crt" "key_file" "/etc/stubgate/ca/tls.key") -}}
{{- end -}}
{{- if .Values.clusterDns.servers -}}
{{- $to := list -}}
{{- range .Values.clusterDns.servers -}}{{- $to = append $to (ternary (printf "[%s]:53" .) (printf "%s:53" .) (contains ":" .)) -}}{{- end -}}
{{- $_ := set $config "dns" (dict "forward" (list (dict "zones" .Values.clusterDns.zones "to" $to))) -}}
{{- end -}}
{{- if .Values.credentials.secrets -}}
{{- $_ := set $config "process" (dict "credential_folders" (list "/run/secrets/stubgate")) -}}
{{- end -}}
{{- $stubs := dict -}}
{{- if .Values.stubs.secretName -}}{{- $_ := set $stubs "key_file" "/etc/stubgate/stubs/key" -}}{{- end -}}
{{- if .Values.stubs.revokedConfigMap -}}{{- $_ := set $stubs "revoked_file" "/etc/stubgate/revoked/revoked" -}}{{- end -}}
{{- if $stubs -}}{{- $_ := set $config "stubs" $stubs -}}{{- end -}}
{{- if .Values.escrow.enabled -}}
{{- $escrow := dict -}}
{{- if .Values.escrow.keySecret -}}{{- $_ := set $escrow "key" (dict "file" "/etc/stubgate/escrow/key") -}}{{- end -}}
{{- if .Values.escrow.databaseSecret -}}
{{- $database := dict "url_file" "/etc/stubgate/database/url" -}}
{{- if .Values.escrow.databaseCa -}}{{- $_ := set $database "ca_file" "/etc/stubgate/database/ca.crt" -}}{{- end -}}
{{- $_ := set $escrow "store" (dict "postgres" $database) -}}
{{- end -}}
{{- $_ := set $config "escrow" $escrow -}}
{{- end -}}
{{- if .Values.upstreamTrust -}}
{{- $files := list -}}
{{- range $index, $trust := .Values.upstreamTrust -}}{{- $files = append $files (printf "/etc/stubgate/upstream/%d/%s" $index $trust.key) -}}{{- end -}}
{{- $_ := set $config "upstream" (dict "ca_files" $files) -}}
{{- end -}}
{{- if .Values.kubernetes.enabled -}}{{- $_ := set $config "kubernetes" (dict "namespaces" .Values.agents.namespaces) -}}{{- end -}}
{{- $more := deepCopy .Values.config -}}
{{- /* A merge replaces lists, and would take away what other values gave. */ -}}
{{- range $path := list (list "upstream" "ca_files") (list "process" "credential_folders") (list "dns" "forward") -}}
{{- $ours := dig (first $path) (last $path) list $config -}}
{{- $theirs := dig (first $path) (last $path) list $more -}}
{{- if and $ours $theirs -}}{{- $_ := set (get $more (first $path)) (last $path) (concat $ours $theirs) -}}{{- end -}}
{{- end -}}
{{- mergeOverwrite $config $more | toYaml -}}
{{- end -}}

{{/* What a schema can't say. Each line is one sentence to whoever installs it. */}}
{{- define "stubgate.check" -}}
{{- $wrong := list -}}
{{- $many := gt (int .Values.replicas) 1 -}}
{{- if and (not $many) (not .Values.allowSingleReplica) -}}
{{- $wrong = append $wrong "replicas: fewer than two leave agents without a way out while a pod is replaced; write `allowSingleReplica: true` if that is meant" -}}
{{- end -}}
{{- if and $many .Values.podDisruptionBudget.enabled (ge (int .Values.podDisruptionBudget.maxUnavailable) (int .Values.replicas)) -}}
{{- $wrong = append $wrong "podDisruptionBudget.maxUnavailable: all replicas at once may go; give less than replicas" -}}
{{- end -}}
{{- $families := list -}}
{{- range .Values.service.clusterIPs -}}{{- $families = append $families (contains ":" .) -}}{{- end -}}
{{- if ne (len $families) (len (uniq $families)) -}}
{{- $wrong = append $wrong "service.clusterIPs: two addresses must be of different families" -}}
{{- end -}}
{{- if and $many (not .Values.ca.secretName) -}}
{{- $wrong = append $wrong "ca.secretName: several replicas need one authority; make a Secret with tls.crt and tls.key (examples/cert-manager.yaml)" -}}
{{- end -}}
{{- if and $many .Values.persistence.enabled -}}
{{- $wrong = append $wrong "persistence.enabled: several replicas can't share a state folder; give ca.secretName, stubs.secretName and escrow.databaseSecret instead" -}}
{{- end -}}
{{- if and (not $many) (not .Values.persistence.enabled) (not .Values.ca.secretName) -}}
{{- $wrong = append $wrong "persistence.enabled: without it or ca.secretName each new pod would make an authority that no agent trusts" -}}
{{- end -}}
{{- if .Values.escrow.enabled -}}
{{- if and $many (not (and .Values.escrow.databaseSecret .Values.escrow.keySecret)) -}}
{{- $wrong = append $wrong "escrow: several replicas need escrow.databaseSecret and escrow.keySecret" -}}
{{- end -}}
{{- if and .Values.escrow.databaseSecret (not .Values.escrow.keySecret) -}}
{{- $wrong = append $wrong "escrow.keySecret: a shared store takes a key of its own" -}}
{{- end -}}
{{- if and (not $many) (not .Values.escrow.databaseSecret) (not .Values.persistence.enabled) -}}
{{- $wrong = append $wrong "escrow: without escrow.databaseSecret or persistence.enabled a login is lost with its pod" -}}
{{- end -}}
{{- end -}}
{{- if not (or .Values.policy.files .Values.policy.configMaps) -}}
{{- $wrong = append $wrong "policy: give policy.files or policy.configMaps; without a policy everything is refused" -}}
{{- end -}}
{{- if has "chart" .Values.policy.configMaps -}}
{{- $wrong = append $wrong "policy.configMaps: `chart` is the folder of policy.files; name that ConfigMap otherwise" -}}
{{- end -}}
{{- if and .Values.kubernetes.enabled .Values.networkPolicy.enabled (not .Values.kubernetes.apiServers) -}}
{{- $wrong = append $wrong "kubernetes.apiServers: the network policy must name the API server; ask: kubectl get endpointslices -n default -l kubernetes.io/service-name=kubernetes" -}}
{{- end -}}
{{- $times := default dict .Values.config.timeouts -}}
{{- $times = mergeOverwrite (dict "drain_delay_seconds" 5 "drain_seconds" 20) $times -}}
{{- $needed := add (int $times.drain_delay_seconds) (int $times.drain_seconds) (ternary 42 0 .Values.escrow.enabled) -}}
{{- if le (int .Values.terminationGracePeriodSeconds) (int $needed) -}}
{{- $wrong = append $wrong (printf "terminationGracePeriodSeconds: a stop takes up to %d seconds (drain_delay_seconds, drain_seconds%s); give more than that" (int $needed) (ternary ", and 42 for a login that is being refreshed" "" .Values.escrow.enabled)) -}}
{{- end -}}
{{- if and .Values.networkPolicy.lockNamespaces (has .Release.Namespace .Values.agents.namespaces) -}}
{{- $wrong = append $wrong "networkPolicy.lockNamespaces: stubgate itself stands in a namespace of agents; give it one of its own" -}}
{{- end -}}
{{- if $wrong -}}{{- fail (printf "\n\n  %s\n" (join "\n  " $wrong)) -}}{{- end -}}
{{- end -}}
