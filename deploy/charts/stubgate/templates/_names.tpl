{{/* Names, labels, the image. */}}

{{- define "stubgate.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "stubgate.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "stubgate.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "stubgate.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "stubgate.serviceAccountName" -}}
{{- if .Values.serviceAccount.name -}}{{ .Values.serviceAccount.name }}
{{- else if .Values.serviceAccount.create -}}{{ include "stubgate.fullname" . }}
{{- else -}}default
{{- end -}}
{{- end -}}

{{/* What selects the appliance's pods. Never changes: a Deployment's selector can't. */}}
{{- define "stubgate.selectorLabels" -}}
app.kubernetes.io/name: {{ include "stubgate.name" . }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: appliance
{{- end -}}

{{- define "stubgate.labels" -}}
{{ include "stubgate.selectorLabels" . }}
{{ include "stubgate.commonLabels" . }}
{{- end -}}

{{- define "stubgate.commonLabels" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: stubgate
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "stubgate.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default (printf "v%s" (trimPrefix "v" .Chart.AppVersion)) .Values.image.tag }}
{{- end -}}
{{- end -}}

{{/* The container of any pod of this chart: no right that it does not need. */}}
{{- define "stubgate.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities: { drop: [ALL] }
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
{{- end -}}

{{/* Wildcard addresses of the families that the Service has, with a port. */}}
{{- define "stubgate.listen" -}}
{{- $port := .port -}}
{{- $families := list -}}
{{- range .root.Values.service.clusterIPs -}}
{{- $families = append $families (ternary (printf "[::]:%v" $port) (printf "0.0.0.0:%v" $port) (contains ":" .)) -}}
{{- end -}}
{{- $families | uniq | toJson -}}
{{- end -}}

{{/* What an agent may reach. Numbers: not every network plugin follows names. */}}
{{- define "stubgate.agentPorts" -}}
- { port: 53, protocol: UDP }
- { port: 53, protocol: TCP }
- { port: 80, protocol: TCP }
- { port: 443, protocol: TCP }
- { port: 3128, protocol: TCP }
{{- end -}}
