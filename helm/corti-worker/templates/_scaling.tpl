{{/*
How fast replicas are added and removed. With a shorter window for removal, workers would be removed in a gap between
two consultations.
*/}}
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

{{/* The number of waiting and running jobs for each replica. */}}
{{- define "corti-worker.target" -}}
{{- max 1 (div (mul (int .Values.slots) (int .Values.autoscaling.targetUtilization)) 100) -}}
{{- end -}}

{{/*
KEDA's triggers count the jobs that wait for the door (corti.jobs), those that wait for a worker (corti.work), and those
that run. If only waiting jobs counted, a scale-down would remove busy workers.
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
    # An empty answer is an error for KEDA, and nothing is scaled. By default KEDA would read it as 0 and remove workers
    # when Prometheus has lost its targets.
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
    # Only RabbitMQ's HTTP API counts unacknowledged messages, which are the running jobs.
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
    # KEDA reads the length of a hash as well as of a list. The key `running` is a hash of the unacknowledged messages.
    listName: {{ $key }}
    listLength: {{ $target | quote }}
  {{- if $keda.redis.existingSecret }}
  authenticationRef:
    name: {{ include "corti-worker.fullname" $ }}-keda
  {{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/*
The PromQL query for waiting and running jobs. The worker that is the observer exports these numbers for the whole
installation, and after a change of observer two workers may export them for a while: so each queue counts by max, not sum.
*/}}
{{- define "corti-worker.query" -}}
{{- $queues := printf "%s|%s" (include "corti-worker.queue" (dict "root" $ "name" "corti.jobs")) (include "corti-worker.queue" (dict "root" $ "name" "corti.work")) | replace "." "[.]" -}}
sum(max by (queue, state) (corti_queue_depth{namespace="{{ .Release.Namespace }}",pod=~"{{ include "corti-worker.fullname" . }}-.*",queue=~"{{ $queues }}",state=~"waiting|running"}))
{{- end -}}
