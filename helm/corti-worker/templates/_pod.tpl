{{/*
The pod spec of workers and doors.
Call with (dict "root" $ "component" "worker").
*/}}
{{- define "corti-worker.pod" -}}
{{- $values := .root.Values -}}
{{- $job := and (eq .component "worker") (eq $values.mode "scaledJob") -}}
{{- $cost := and (eq .component "worker") (not $job) $values.podDeletionCost.enabled -}}
serviceAccountName: {{ include "corti-worker.serviceAccountName" .root }}
# The worker does not use the Kubernetes API.
automountServiceAccountToken: false
# Service links would put variables named CORTI_WORKER_... into the container, where they look like settings.
enableServiceLinks: false
{{- with $values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if $job }}
restartPolicy: Never
{{- end }}
# The worker ends by itself after CORTI_WORKER_GRACE at the latest. This period is longer, so that Kubernetes kills
# only a worker that hangs. No preStop hook is needed: no requests are routed to a worker, and it stops taking jobs
# at SIGTERM.
terminationGracePeriodSeconds: {{ if eq .component "door" }}30{{ else }}{{ include "corti-worker.gracePeriod" .root }}{{ end }}
securityContext:
  {{- toYaml $values.podSecurityContext | nindent 2 }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
{{- if $values.topologySpreadConstraints }}
  {{- toYaml $values.topologySpreadConstraints | nindent 2 }}
{{- else }}
{{- $selector := include "corti-worker.selector" . }}
{{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- $selector | nindent 8 }}
{{- end }}
{{- end }}
containers:
  - name: {{ .component }}
    image: {{ include "corti-worker.image" .root }}
    imagePullPolicy: {{ $values.image.pullPolicy }}
    args: [{{ if eq .component "door" }}door{{ else }}run{{ end }}]
    envFrom:
      - configMapRef:
          name: {{ include "corti-worker.fullname" .root }}
    env:
      {{- include "corti-worker.env" . | nindent 6 }}
    ports:
      - name: metrics
        containerPort: {{ $values.metrics.port }}
    startupProbe:
      httpGet: {path: /startupz, port: metrics}
      periodSeconds: {{ $values.probes.startup.periodSeconds }}
      failureThreshold: {{ $values.probes.startup.failureThreshold }}
    livenessProbe:
      httpGet: {path: /livez, port: metrics}
      periodSeconds: {{ $values.probes.liveness.periodSeconds }}
      timeoutSeconds: {{ $values.probes.liveness.timeoutSeconds }}
      failureThreshold: {{ $values.probes.liveness.failureThreshold }}
    readinessProbe:
      httpGet: {path: /readyz, port: metrics}
      periodSeconds: {{ $values.probes.readiness.periodSeconds }}
      timeoutSeconds: {{ $values.probes.readiness.timeoutSeconds }}
      failureThreshold: {{ $values.probes.readiness.failureThreshold }}
    resources:
      {{- toYaml (ternary $values.door.resources $values.resources (eq .component "door")) | nindent 6 }}
    securityContext:
      {{- toYaml $values.securityContext | nindent 6 }}
    volumeMounts:
      - name: secrets
        mountPath: /run/secrets/corti-worker
        readOnly: true
      {{- if $values.tenants }}
      - name: tenants
        mountPath: /run/secrets/corti-tenants
        readOnly: true
      {{- end }}
      - name: tmp
        mountPath: /tmp
      {{- with $values.corti.ca }}
      - name: corti-ca
        mountPath: /run/corti-ca
        readOnly: true
      {{- end }}
      {{- with $values.extraVolumeMounts }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
  {{- if $cost }}
  {{- include "corti-worker.deletion-cost.container" .root | nindent 2 }}
  {{- end }}
volumes:
  - name: secrets
    projected:
      defaultMode: 0440
      sources:
        {{- include "corti-worker.secrets" .root | nindent 8 }}
  {{- if $values.tenants }}
  - name: tenants
    projected:
      defaultMode: 0440
      sources:
        {{- include "corti-worker.tenants.sources" .root | nindent 8 }}
  {{- end }}
  - name: tmp
    emptyDir:
      # Kubernetes evicts a pod, with all of its jobs, when this volume exceeds the limit. The copies of recordings
      # stay 256 MiB below the limit.
      sizeLimit: {{ if eq .component "door" }}256Mi{{ else }}{{ add ($values.spoolMebibytes | int64) 256 }}Mi{{ end }}
  {{- with $values.corti.ca }}
  - name: corti-ca
    {{- if .secret }}
    secret:
      secretName: {{ .secret }}
    {{- else }}
    configMap:
      name: {{ .configMap }}
    {{- end }}
      items: [{key: {{ default "ca.crt" .key }}, path: ca.crt}]
  {{- end }}
  {{- if $cost }}
  {{- include "corti-worker.deletion-cost.volumes" .root | nindent 2 }}
  {{- end }}
  {{- with $values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Labels and annotations of a pod. */}}
{{- define "corti-worker.pod.metadata" -}}
labels:
  {{- include "corti-worker.labels" .root | nindent 2 }}
  app.kubernetes.io/component: {{ .component }}
  corti-worker/scraped: "true"
  {{- with .root.Values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  # A changed setting changes this checksum, and so starts new pods.
  checksum/config: {{ include (print .root.Template.BasePath "/configmap.yaml") .root | sha256sum }}
  {{- if .root.Values.tenants }}
  checksum/tenants: {{ include (print .root.Template.BasePath "/tenants.yaml") .root | sha256sum }}
  {{- end }}
  kubectl.kubernetes.io/default-container: {{ .component }}
  {{- with .root.Values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/*
The environment variables of a container. Secrets are mounted as files, because variables are visible in
`kubectl describe`, in crash dumps and in child processes.
*/}}
{{- define "corti-worker.env" -}}
{{- $values := .root.Values -}}
{{- if include "corti-worker.secret.corti" .root }}
- name: CORTI_CLIENT_ID_FILE
  value: /run/secrets/corti-worker/client-id
- name: CORTI_CLIENT_SECRET_FILE
  value: /run/secrets/corti-worker/client-secret
{{- end }}
{{- if $values.tenants }}
- name: CORTI_WORKER_TENANTS_DIR
  value: /run/secrets/corti-tenants
{{- end }}
- name: CORTI_WORKER_BROKER_URL_FILE
  value: /run/secrets/corti-worker/broker-url
{{- include "corti-worker.tls.env" (dict "of" $values.broker "name" "broker") }}
{{- if include "corti-worker.secret.redis" .root }}
- name: CORTI_WORKER_REDIS_URL_FILE
  value: /run/secrets/corti-worker/redis-url
{{- include "corti-worker.tls.env" (dict "of" $values.redis "name" "redis") }}
{{- end }}
{{- if $values.encryption.existingSecret }}
- name: CORTI_WORKER_ENCRYPTION_KEYS_FILE
  value: /run/secrets/corti-worker/encryption-keys
{{- end }}
{{- if eq .component "worker" }}
- name: CORTI_WORKER_DOOR
  value: {{ not $values.door.separate | quote }}
{{- if eq $values.mode "scaledJob" }}
- name: CORTI_WORKER_IDLE_EXIT
  value: {{ $values.scaledJob.idleSeconds | quote }}
{{- end }}
{{- end }}
{{- with $values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "corti-worker.secrets" -}}
{{- with include "corti-worker.secret.corti" . }}
- secret:
    name: {{ . }}
    items:
      - {key: {{ $.Values.corti.clientIdKey }}, path: client-id}
      - {key: {{ $.Values.corti.clientSecretKey }}, path: client-secret}
{{- end }}
- secret:
    name: {{ include "corti-worker.secret.broker" . }}
    items:
      - {key: {{ .Values.broker.urlKey }}, path: broker-url}
      {{- include "corti-worker.tls.items" (dict "of" .Values.broker "name" "broker") | nindent 6 }}
{{- with include "corti-worker.secret.redis" . }}
- secret:
    name: {{ . }}
    items:
      - {key: {{ $.Values.redis.urlKey }}, path: redis-url}
      {{- include "corti-worker.tls.items" (dict "of" $.Values.redis "name" "redis") | nindent 6 }}
{{- end }}
{{- with .Values.encryption.existingSecret }}
- secret:
    name: {{ . }}
    items:
      - {key: {{ $.Values.encryption.keysKey }}, path: encryption-keys}
{{- end }}
{{- end -}}

{{/*
The TLS files in the Secret that holds the URL of the broker or of Redis.
Call with (dict "of" .Values.broker "name" "broker").
*/}}
{{- define "corti-worker.tls.items" -}}
{{- range $file, $key := dict "ca" .of.caKey "cert" .of.certKey "key" .of.privateKeyKey }}
{{- if $key }}
- {key: {{ $key }}, path: {{ $.name }}-{{ $file }}}
{{- end }}
{{- end }}
{{- end -}}

{{- define "corti-worker.tls.env" -}}
{{- range $file, $key := dict "ca" .of.caKey "cert" .of.certKey "key" .of.privateKeyKey }}
{{- if $key }}
- name: CORTI_WORKER_{{ upper $.name }}_{{ upper $file }}_FILE
  value: /run/secrets/corti-worker/{{ $.name }}-{{ $file }}
{{- end }}
{{- end }}
{{- end -}}
