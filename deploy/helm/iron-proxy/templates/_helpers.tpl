{{- define "iron-proxy.labels" -}}
{{ include "iron-proxy.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* Operators choose what they scrape by labels of their own. */}}
{{- define "iron-proxy.monitoring-labels" -}}
{{ include "iron-proxy.labels" . }}
{{- with .Values.monitoring.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "iron-proxy.selector" -}}
app.kubernetes.io/name: iron-proxy
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "iron-proxy.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* The doors that agents reach, as ports of a NetworkPolicy. */}}
{{- define "iron-proxy.doors" -}}
- {protocol: UDP, port: {{ .Values.listeners.dns }}}
- {protocol: TCP, port: {{ .Values.listeners.dns }}}
- {protocol: TCP, port: {{ .Values.listeners.http }}}
- {protocol: TCP, port: {{ .Values.listeners.https }}}
- {protocol: TCP, port: {{ .Values.listeners.proxy }}}
{{- end }}

{{/* What the schema cannot say: values that contradict each other. */}}
{{- define "iron-proxy.validate" -}}
{{- if not .Values.image.repository }}
{{- fail "image.repository: say where you push the image; none is published" }}
{{- end }}
{{- if and (gt (int .Values.replicas) 1) (not .Values.state.redis.url) }}
{{- fail "replicas: more than one needs state.redis.url, since embedded state has one writer" }}
{{- end }}
{{- /* 9465 is the admin listener's. A port comes as an int from a flag and as a float from a file. */}}
{{- $ports := list 9465 }}
{{- range .Values.listeners }}{{ $ports = append $ports (int .) }}{{ end }}
{{- if ne (len $ports) (len (uniq $ports)) }}
{{- fail "listeners: two listeners have the same port" }}
{{- end }}
{{- range $key := list "listen" "policies" "ca" "state" "sealKey" "advertise" "service" "kubernetes" "shutdown" "replicas" "redis" }}
{{- if hasKey $.Values.settings $key }}
{{- fail (printf "settings.%s: the chart sets this; use its own value" $key) }}
{{- end }}
{{- end }}
{{- if .Values.admin.enabled }}
{{- if eq .Values.admin.clusterIP .Values.service.clusterIP }}
{{- fail "admin.clusterIP: is the address of the agents' Service; choose another" }}
{{- end }}
{{- if hasKey .Values.settings "adminToken" }}
{{- fail "settings.adminToken: the chart sets this; use admin.existingSecret" }}
{{- end }}
{{- end }}
{{- if and .Values.state.redis.existingSecret (not .Values.state.redis.url) }}
{{- fail "state.redis.existingSecret: is the password of a Redis that state.redis.url does not name" }}
{{- end }}
{{- $secrets := list .Values.ca.existingSecret .Values.seal.existingSecret .Values.credentials.existingSecret }}
{{- if ne (len $secrets) (len (uniq $secrets)) }}
{{- fail "existingSecret: ca, seal and credentials are three Secrets; agents' credentials beside the CA key would be files of the CA" }}
{{- end }}
{{- $limit := toString (dig "limits" "memory" "" .Values.resources) }}
{{- $mebibytes := 0 }}
{{- if regexMatch "^[0-9]+Mi$" $limit }}{{ $mebibytes = int (trimSuffix "Mi" $limit) }}{{ end }}
{{- if regexMatch "^[0-9]+Gi$" $limit }}{{ $mebibytes = mul 1024 (int (trimSuffix "Gi" $limit)) }}{{ end }}
{{- if and $mebibytes (ge (int .Values.heapLimit) (int $mebibytes)) }}
{{- fail (printf "heapLimit: %v MiB do not fit below the memory limit, %s; take three quarters of it" .Values.heapLimit $limit) }}
{{- end }}
{{- if and .Values.monitoring.podMonitor .Values.monitoring.serviceMonitor }}
{{- fail "monitoring: podMonitor and serviceMonitor would scrape everything twice; choose one" }}
{{- end }}
{{- if and .Values.podIdentity.enabled .Values.podIdentity.manageNamespaces (not .Values.podIdentity.createNamespaces) (lookup "v1" "Namespace" "" "kube-system") }}
{{- range .Values.podIdentity.namespaces }}
{{- if not (lookup "v1" "Namespace" "" .) }}
{{- fail (printf "podIdentity.namespaces: the cluster has no namespace %s; make it, or set podIdentity.createNamespaces" .) }}
{{- end }}
{{- end }}
{{- end }}
{{- if and .Values.podIdentity.createNamespaces (not .Values.podIdentity.manageNamespaces) }}
{{- fail "podIdentity.createNamespaces: makes namespaces that podIdentity.manageNamespaces leaves alone" }}
{{- end }}
{{- if and .Values.podIdentity.enabled (not .Values.podIdentity.namespaces) }}
{{- fail "podIdentity.namespaces: name the namespaces of your agents, or turn podIdentity off" }}
{{- end }}
{{- end }}

{{/* The process settings, as its file has them. */}}
{{- define "iron-proxy.settings" -}}
{{- $l := .Values.listeners }}
{{- $own := dict
  "policies" "/etc/iron-proxy/policies"
  "listen" (dict
    "dns" (printf "0.0.0.0:%v" $l.dns) "http" (printf "0.0.0.0:%v" $l.http) "https" (printf "0.0.0.0:%v" $l.https)
    "proxy" (printf "0.0.0.0:%v" $l.proxy) "metrics" (printf "0.0.0.0:%v" $l.metrics)
    "admin" (printf "%s:9465" (ternary "0.0.0.0" "127.0.0.1" .Values.admin.enabled)))
  "advertise" .Values.service.clusterIP
  "service" "iron-proxy"
  "ca" (dict "cert" "/etc/iron-proxy/ca/ca.crt" "key" "/etc/iron-proxy/ca/ca.key")
  "state" "/var/lib/iron-proxy/state.db"
  "sealKey" "/etc/iron-proxy/seal/seal.key"
  "kubernetes" .Values.podIdentity.enabled
  "shutdown" .Values.shutdown }}
{{- if .Values.admin.enabled }}{{ $_ := set $own "adminToken" "/etc/iron-proxy/admin/token" }}{{ end }}
{{- toYaml (merge $own .Values.settings) }}
{{- end }}
