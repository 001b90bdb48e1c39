{{/*
The worker reads each tenant from a directory of files. The files come from the tenant's Secret, and what is not secret
from one ConfigMap for all tenants. This template gives the name of the ConfigMap.
*/}}
{{- define "corti-worker.tenants.name" -}}
{{- printf "%s-tenants" (include "corti-worker.fullname" .) -}}
{{- end -}}

{{/* The files of a tenant that are not secret: a JSON object of text by file name. Call with the tenant's values. */}}
{{- define "corti-worker.tenant.files" -}}
{{- $files := dict -}}
{{- range $key, $file := dict "tenant" "tenant" "environment" "environment" "authUrl" "auth-url" "apiUrl" "api-url" "streamUrl" "stream-url" "maxStreams" "max-streams" "retention" "retention" "audioBuckets" "audio-buckets" -}}
{{- if hasKey $ $key -}}
{{- $value := index $ $key -}}
{{- $_ := set $files $file (ternary (toString (int64 $value)) (toString $value) (eq $key "maxStreams")) -}}
{{- end -}}
{{- end -}}
{{- toJson $files -}}
{{- end -}}

{{/* The sources of the projected volume with all tenants' directories. */}}
{{- define "corti-worker.tenants.sources" -}}
{{- range $name, $tenant := .Values.tenants }}
- secret:
    name: {{ $tenant.existingSecret }}
    items:
      - {key: {{ default "client-id" $tenant.clientIdKey }}, path: {{ $name }}/client-id}
      - {key: {{ default "client-secret" $tenant.clientSecretKey }}, path: {{ $name }}/client-secret}
      {{- with $tenant.caKey }}
      - {key: {{ . }}, path: {{ $name }}/ca.crt}
      {{- end }}
      {{- range $kind := list "s3" "gs" "az" }}
      {{- with index $tenant (printf "%sCredentialsKey" $kind) }}
      - {key: {{ . }}, path: {{ $name }}/{{ $kind }}-credentials}
      {{- end }}
      {{- end }}
{{- with include "corti-worker.tenant.files" $tenant | fromJson }}
- configMap:
    name: {{ include "corti-worker.tenants.name" $ }}
    items:
      {{- range $file, $_ := . }}
      - {key: {{ $name }}.{{ $file }}, path: {{ $name }}/{{ $file }}}
      {{- end }}
{{- end }}
{{- end }}
{{- end -}}
