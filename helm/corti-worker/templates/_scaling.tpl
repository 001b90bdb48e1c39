{{/* How fast replicas come and go. A shorter scale-down would take workers away between two consultations. */}}
{{- define "corti-worker.behavior" -}}
{{- $up := .Values.autoscaling.scaleUp -}}
{{- $down := .Values.autoscaling.scaleDown -}}
scaleUp:
  stabilizationWindowSeconds: {{ $up.stabilizationSeconds }}
  policies:
    - {type: Pods, value: {{ $up.pods }}, periodSeconds: {{ $up.periodSeconds }}}
scaleDown:
  stabilizationWindowSeconds: {{ $down.stabilizationSeconds }}
  policies:
    - {type: Pods, value: {{ $down.pods }}, periodSeconds: {{ $down.periodSeconds }}}
{{- end -}}

{{/* Jobs that are meant to wait for or run on one replica. */}}
{{- define "corti-worker.target" -}}
{{- max 1 (div (mul (int .Values.slots) (int .Values.autoscaling.targetUtilization)) 100) -}}
{{- end -}}

{{/*
The triggers: what waits before the door, what waits behind it, and what runs. Counting only what waits would
take workers away that are busy.
*/}}
{{- define "corti-worker.triggers" -}}
{{- $keda := .Values.autoscaling.keda -}}
{{- $target := include "corti-worker.target" . -}}
{{- $jobs := include "corti-worker.queue" (dict "root" $ "name" "corti.jobs") -}}
{{- $work := include "corti-worker.queue" (dict "root" $ "name" "corti.work") -}}
{{- if eq $keda.trigger "prometheus" }}
- type: prometheus
  name: load
  metadata:
    serverAddress: {{ $keda.prometheus.serverAddress }}
    query: {{ default (include "corti-worker.query" .) $keda.prometheus.query | quote }}
    threshold: {{ $target | quote }}
    # No answer is no reason to take workers away: without this, a Prometheus that lost its targets says 0.
    ignoreNullValues: "false"
  {{- with $keda.prometheus.authenticationRef }}
  authenticationRef:
    name: {{ . }}
  {{- end }}
{{- else if eq .Values.broker.kind "rabbitmq" }}
{{- range $name, $queue := dict "jobs" $jobs "work" $work }}
- type: rabbitmq
  name: {{ $name }}
  metadata:
    # Only over HTTP does it count messages that are being worked on.
    protocol: http
    mode: QueueLength
    excludeUnacknowledged: "false"
    queueName: {{ $queue }}
    value: {{ $target | quote }}
  authenticationRef:
    name: {{ include "corti-worker.fullname" $ }}-keda
{{- end }}
{{- else }}
{{- range $name, $key := dict "jobs" $jobs "work" $work "running" (printf "%s:unacked" $work) }}
- type: redis
  name: {{ $name }}
  metadata:
    address: {{ $keda.redis.address }}
    databaseIndex: {{ $keda.redis.databaseIndex | quote }}
    enableTLS: {{ $keda.redis.tls | quote }}
    # KEDA takes the length of a hash as well: the last of the three holds what is being worked on.
    listName: {{ $key }}
    listLength: {{ $target | quote }}
  {{- if $keda.redis.existingSecret }}
  authenticationRef:
    name: {{ include "corti-worker.fullname" $ }}-keda
  {{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Each worker that holds the observer's office exports what waits and runs in the whole installation: max, not sum. */}}
{{- define "corti-worker.query" -}}
{{- $queues := printf "%s|%s" (include "corti-worker.queue" (dict "root" $ "name" "corti.jobs")) (include "corti-worker.queue" (dict "root" $ "name" "corti.work")) | replace "." "[.]" -}}
sum(max by (queue, state) (corti_queue_depth{namespace="{{ .Release.Namespace }}",pod=~"{{ include "corti-worker.fullname" . }}-.*",queue=~"{{ $queues }}",state=~"waiting|running"}))
{{- end -}}
