{{- define "agents.image" -}}
{{- $image := .Values.image -}}
{{ required "image.repository: where is the image of deploy/agent/Dockerfile?" $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "agents.container" -}}
image: {{ include "agents.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- /* What every pod of an agent is: its names lead to the proxy, and nobody in it is root. */ -}}
{{- define "agents.pod" -}}
dnsPolicy: None
dnsConfig:
  nameservers: [{{ .Values.proxy.clusterIP | quote }}]
  options: [{name: ndots, value: "2"}]
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
{{- end }}

{{- /* Whole and without subPath, so that a bundle that is renewed is seen; a key beside the certificates stays behind. */ -}}
{{- define "agents.ca" -}}
{{- $items := "items: [{key: ca.crt, path: ca.crt}]" -}}
{{- with .Values.proxy.caSecret -}}
- {name: ca, secret: {secretName: {{ . }}, {{ $items }}}}
{{- else -}}
- {name: ca, configMap: {name: {{ .Values.proxy.caConfigMap }}, {{ $items }}}}
{{- end }}
{{- end }}

{{- define "agents.adminToken" -}}
{{ required "proxy.adminTokenSecret: runs are told to the proxy's admin door, which asks for its token" .Values.proxy.adminTokenSecret }}
{{- end }}

{{- define "agents.adminEnv" -}}
- {name: IRON_PROXY_ADMIN_URL, value: {{ .Values.proxy.adminUrl | quote }}}
- {name: IRON_PROXY_ADMIN_TOKEN_FILE, value: /run/iron-proxy/token}
{{- end }}

{{- /* An agent for one task: a sidecar mints and revokes, the agent's container runs. (root, name, job, prompt) */ -}}
{{- define "agents.once" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- $job := index . 2 -}}
backoffLimit: 0
activeDeadlineSeconds: {{ add $job.seconds 120 }}
ttlSecondsAfterFinished: 86400
template:
  metadata:
    labels: {app.kubernetes.io/name: {{ $name }}, app.kubernetes.io/component: agent-job, iron-proxy/admin: "true"}
  spec:
    restartPolicy: Never
    automountServiceAccountToken: false
    terminationGracePeriodSeconds: 30
    {{- include "agents.pod" $root | nindent 4 }}
    initContainers:
      - name: setup
        {{- include "agents.container" $root | nindent 8 }}
        command: [/opt/iron-proxy/deploy/agent/setup.sh]
        env:
          - {name: AGENT_NAME, value: {{ $job.agent | quote }}}
          - {name: IRON_PROXY_CA_FILE, value: /etc/agent/ca/ca.crt}
        volumeMounts: &mounts
          - {name: home, mountPath: /home/agent}
          - {name: workspace, mountPath: /workspace}
          - {name: tmp, mountPath: /tmp}
          - {name: order, mountPath: /run/order}
          - {name: ca, mountPath: /etc/agent/ca, readOnly: true}
      # A sidecar: it starts before the agent, and is ended after it, whatever became of it.
      - name: run
        restartPolicy: Always
        {{- include "agents.container" $root | nindent 8 }}
        command: [/opt/iron-proxy/deploy/agent/run-once.sh, hold]
        env:
          - {name: AGENT_NAME, value: {{ $job.agent | quote }}}
          - {name: RUN_SECONDS, value: {{ $job.seconds | quote }}}
          - {name: RUN_TOKENS, value: {{ $job.tokens | int64 | quote }}}
          - {name: RUN_HOSTS, value: {{ join " " $job.hosts | quote }}}
          - {name: RUN_LABEL, value: {{ $name | quote }}}
          - {name: RUN_ORDER_FILE, value: /run/order/run.json}
          - {name: AGENT_HOME, value: /tmp}
          {{- include "agents.adminEnv" $root | nindent 10 }}
        volumeMounts:
          - {name: tmp, mountPath: /tmp}
          - {name: order, mountPath: /run/order}
          - {name: token, mountPath: /run/iron-proxy, readOnly: true}
    containers:
      - name: agent
        {{- include "agents.container" $root | nindent 8 }}
        command: [/opt/iron-proxy/deploy/agent/run-once.sh, run]
        env:
          - {name: AGENT_NAME, value: {{ $job.agent | quote }}}
          - {name: RUN_SECONDS, value: {{ $job.seconds | quote }}}
          - {name: RUN_ORDER_FILE, value: /run/order/run.json}
          - {name: IRON_PROXY_URL, value: "http://{{ $root.Values.proxy.clusterIP }}:8080"}
          - {name: PROMPT, value: {{ index . 3 | quote }}}
        resources: {{ toJson $root.Values.defaults.resources }}
        volumeMounts: *mounts
    volumes:
      - {name: home, emptyDir: {}}
      - {name: workspace, emptyDir: {}}
      - {name: tmp, emptyDir: {}}
      - {name: order, emptyDir: {medium: Memory}}
      {{- include "agents.ca" $root | nindent 6 }}
      - {name: token, secret: {secretName: {{ include "agents.adminToken" $root }}}}
{{- end }}
