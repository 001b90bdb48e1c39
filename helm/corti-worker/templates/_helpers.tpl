{{- define "corti-worker.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "corti-worker.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "corti-worker.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "corti-worker.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "corti-worker.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/name: {{ include "corti-worker.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Labels that select pods. `component` is worker, door or a server of the demo. Call with (dict "root" $ "component" "worker"). */}}
{{- define "corti-worker.selector" -}}
app.kubernetes.io/name: {{ include "corti-worker.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "corti-worker.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "corti-worker.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "corti-worker.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* The names of the mounted Secrets. Empty: no Secret is mounted. */}}
{{- define "corti-worker.secret.demo" -}}
{{- printf "%s-demo" (include "corti-worker.fullname" .) -}}
{{- end -}}
{{- define "corti-worker.secret.corti" -}}
{{- if .Values.demo.enabled -}}
{{- include "corti-worker.secret.demo" . -}}
{{- else if and .Values.tenants (not .Values.corti.existingSecret) -}}
{{- else -}}
{{- required "corti.existingSecret is required: the Secret with client-id and client-secret of your Corti API client" .Values.corti.existingSecret -}}
{{- end -}}
{{- end -}}
{{- define "corti-worker.secret.broker" -}}
{{- if .Values.demo.enabled -}}
{{- include "corti-worker.secret.demo" . -}}
{{- else -}}
{{- required "broker.existingSecret is required: the Secret with the broker's URL" .Values.broker.existingSecret -}}
{{- end -}}
{{- end -}}
{{- define "corti-worker.secret.redis" -}}
{{- if .Values.demo.enabled -}}
{{- include "corti-worker.secret.demo" . -}}
{{- else if eq .Values.broker.kind "rabbitmq" -}}
{{- required "redis.existingSecret is required with RabbitMQ: the Secret with the URL of the Redis for claims and tokens" .Values.redis.existingSecret -}}
{{- else -}}
{{- .Values.redis.existingSecret -}}
{{- end -}}
{{- end -}}

{{- define "corti-worker.gracePeriod" -}}
{{- if kindIs "invalid" .Values.terminationGracePeriodSeconds -}}
{{- add (int .Values.graceSeconds) 30 -}}
{{- else -}}
{{- int .Values.terminationGracePeriodSeconds -}}
{{- end -}}
{{- end -}}

{{/* The name of a queue, with this release's lane. Call with (dict "root" $ "name" "corti.jobs"). */}}
{{- define "corti-worker.queue" -}}
{{- if .root.Values.lane -}}{{ .name }}.{{ .root.Values.lane }}{{- else -}}{{ .name }}{{- end -}}
{{- end -}}

{{/* Refuses combinations of values that values.schema.json cannot refuse. */}}
{{- define "corti-worker.check" -}}
{{- if le (int (include "corti-worker.gracePeriod" .)) (int .Values.graceSeconds) -}}
{{- fail (printf "terminationGracePeriodSeconds (%s) must be longer than graceSeconds (%d), or Kubernetes kills the worker before it has handed its jobs back" (include "corti-worker.gracePeriod" .) (int .Values.graceSeconds)) -}}
{{- end -}}
{{- if and (eq .Values.mode "scaledJob") (not .Values.door.separate) -}}
{{- fail "mode scaledJob needs door.separate=true: a door must take messages in while no worker runs" -}}
{{- end -}}
{{- if and (eq .Values.mode "scaledJob") (ne .Values.autoscaling.kind "keda") -}}
{{- fail "mode scaledJob needs autoscaling.kind=keda: nothing else starts its Jobs" -}}
{{- end -}}
{{- if and (ne .Values.mode "scaledJob") (ne .Values.autoscaling.kind "none") (lt (int .Values.autoscaling.minReplicas) 1) -}}
{{- fail "autoscaling.minReplicas must be at least 1 with mode deployment: only a running worker takes messages in and reports how many jobs wait" -}}
{{- end -}}
{{- if gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas) -}}
{{- fail "autoscaling.minReplicas is larger than autoscaling.maxReplicas" -}}
{{- end -}}
{{- if and (eq .Values.autoscaling.kind "keda") (eq .Values.autoscaling.keda.trigger "broker") -}}
{{- if eq .Values.broker.kind "rabbitmq" -}}
{{- $_ := required "autoscaling.keda.rabbitmq.existingSecret is required with autoscaling.keda.trigger=broker: the Secret with the URL of RabbitMQ's management API" .Values.autoscaling.keda.rabbitmq.existingSecret -}}
{{- else -}}
{{- $_ := required "autoscaling.keda.redis.address is required with autoscaling.keda.trigger=broker" .Values.autoscaling.keda.redis.address -}}
{{- end -}}
{{- end -}}
{{- if and (include "corti-worker.secret.corti" .) (hasKey .Values.tenants .Values.corti.tenant) -}}
{{- fail (printf "tenants.%s has the name of corti.tenant: give the entry another name, and set its `tenant` to Corti's name of the tenant" .Values.corti.tenant) -}}
{{- end -}}
{{- if and .Values.corti.ca (not (or .Values.corti.ca.secret .Values.corti.ca.configMap)) -}}
{{- fail "corti.ca needs secret or configMap; key is ca.crt unless you set it" -}}
{{- end -}}
{{- end -}}
