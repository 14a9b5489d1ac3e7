{{/* Names, labels, and what is the same in every pod. */}}

{{- define "agent.fullname" -}}
{{- default .Release.Name .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* The agent's name, as in policy. */}}
{{- define "agent.name" -}}
{{- default (include "agent.fullname" .) .Values.agent.name -}}
{{- end -}}

{{- define "agent.serviceAccountName" -}}
{{- if .Values.serviceAccount.name -}}{{ .Values.serviceAccount.name }}
{{- else if .Values.serviceAccount.create -}}{{ include "agent.fullname" . }}
{{- else -}}default
{{- end -}}
{{- end -}}

{{/* What selects the agent's own pod. Never changes. */}}
{{- define "agent.selectorLabels" -}}
app.kubernetes.io/name: stubgate-agent
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: agent
{{- end -}}

{{/* What stubgate and the network policy know the agent by; its pod has it, and the test's. */}}
{{- define "agent.identity" -}}
stubgate.internal/agent: {{ include "agent.name" . | quote }}
{{- end -}}

{{- define "agent.commonLabels" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: stubgate
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "agent.labels" -}}
{{ include "agent.selectorLabels" . }}
{{ include "agent.commonLabels" . }}
{{- end -}}

{{/* How an image is named: by its digest, else by its tag, else by that of the release. */}}
{{- define "agent.named" -}}
{{- $image := .image -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ default (printf "v%s" (trimPrefix "v" .chart.AppVersion)) $image.tag }}
{{- end -}}
{{- end -}}

{{- define "agent.image" -}}{{ include "agent.named" (dict "chart" .Chart "image" .Values.image) }}{{- end -}}

{{- define "agent.testImage" -}}{{ include "agent.named" (dict "chart" .Chart "image" .Values.test.image) }}{{- end -}}

{{/* Labels of stubgate's pods. */}}
{{- define "agent.stubgateLabels" -}}
{{- default (dict "app.kubernetes.io/name" "stubgate" "app.kubernetes.io/component" "appliance") .Values.stubgate.podLabels | toJson -}}
{{- end -}}

{{/* stubgate's proxy port, as an address. */}}
{{- define "agent.proxy" -}}
{{- $address := first .Values.stubgate.addresses -}}
{{- printf (ternary "[%s]:3128" "%s:3128" (contains ":" $address)) $address -}}
{{- end -}}

{{/* Restricted, as Kubernetes' pod security standards have it, and a root that can't be written. */}}
{{- define "agent.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "agent.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities: { drop: [ALL] }
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
{{- end -}}

{{/* stubgate answers every name; the cluster's DNS is not asked, and can't be reached. */}}
{{- define "agent.dns" -}}
dnsPolicy: None
dnsConfig:
  nameservers: {{- toYaml .Values.stubgate.addresses | nindent 4 }}
  searches:
    {{- if .Values.dns.searches }}
    {{- toYaml .Values.dns.searches | nindent 4 }}
    {{- else }}
    - {{ .Release.Namespace }}.svc.{{ .Values.dns.clusterDomain }}
    - svc.{{ .Values.dns.clusterDomain }}
    - {{ .Values.dns.clusterDomain }}
    {{- end }}
  options: [{ name: ndots, value: {{ .Values.dns.ndots | quote }} }]
{{- end -}}

{{/* Waits until stubgate knows the pod: the API server tells its address a moment after it has started, and what asks before that is
refused. It asks as one that does not trust this bundle yet (docs/ca.md). It goes on after half a minute all the same: setup says what
does not work. */}}
{{- define "agent.known" -}}
- name: known
  image: {{ include "agent.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [bash, -c]
  args:
    - |
      for _ in {1..60}; do
          curl --silent --fail --max-time 2 --output /dev/null --header 'If-None-Match: "waiting"' http://ca.stubgate.internal/bundle.pem && exit 0
          sleep 0.5
      done
      echo "stubgate at {{ first .Values.stubgate.addresses }} does not answer this pod: is it an agent of its policy?" >&2
  securityContext: {{- include "agent.containerSecurity" . | nindent 4 }}
  resources: { requests: { cpu: 10m, memory: 32Mi }, limits: { memory: 64Mi } }
{{- end -}}

{{- define "agent.bundleVolume" -}}
- name: bundle
  configMap:
    name: {{ .Values.trust.configMap | quote }}
    items: [{ key: {{ .Values.trust.key | quote }}, path: bundle.pem }]
    optional: {{ not .Values.trust.required }}
{{- end -}}

{{- define "agent.check" -}}
{{- $wrong := list -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$" (include "agent.fullname" .)) -}}
{{- $wrong = append $wrong (printf "the release's name %q: lower-case letters, digits and -, a letter first, 40 at most; or give fullnameOverride" .Release.Name) -}}
{{- end -}}
{{- if eq .Release.Namespace .Values.stubgate.namespace -}}
{{- $wrong = append $wrong "the namespace is stubgate's own: agents go into one of theirs" -}}
{{- end -}}
{{- if and .Values.agent.files .Values.agent.configMap -}}
{{- $wrong = append $wrong "agent: give files or configMap, not both" -}}
{{- end -}}
{{- if and .Values.test.enabled (not .Values.test.image.repository) -}}
{{- $wrong = append $wrong "test.image.repository: `helm test` runs `stubgate attack`, which is in stubgate's image" -}}
{{- end -}}
{{- if and .Values.rbac.create (not .Values.rbac.subjects) (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) -}}
{{- $wrong = append $wrong "rbac.create: give the agent a service account of its own, not the namespace's default" -}}
{{- end -}}
{{- if $wrong -}}{{- fail (printf "\n\n  %s\n" (join "\n  " $wrong)) -}}{{- end -}}
{{- end -}}
