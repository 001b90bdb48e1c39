{{/*
A Deployment and a Service for one server of the demo. Call with (dict "root" $ "component" "valkey" "image" ... "args" (list ...)
"env" (list ...) "port" 6379 "user" 999 "folder" "/data" "memory" "128Mi").
*/}}
{{- define "corti-worker.demo.server" -}}
{{- $name := printf "%s-%s" (include "corti-worker.fullname" .root) .component }}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}
  labels:
    {{- include "corti-worker.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
spec:
  replicas: 1
  strategy: {type: Recreate}
  selector:
    matchLabels:
      {{- include "corti-worker.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "corti-worker.selector" . | nindent 8 }}
    spec:
      automountServiceAccountToken: false
      enableServiceLinks: false
      securityContext:
        runAsNonRoot: true
        runAsUser: {{ .user }}
        runAsGroup: {{ .user }}
        fsGroup: {{ .user }}
        seccompProfile: {type: RuntimeDefault}
      containers:
        - name: {{ .component }}
          image: {{ .image }}
          {{- with .args }}
          args:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          {{- with .env }}
          env:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          ports:
            - {name: main, containerPort: {{ .port }}}
          readinessProbe:
            tcpSocket: {port: main}
            periodSeconds: 2
          livenessProbe:
            tcpSocket: {port: main}
            periodSeconds: 10
            failureThreshold: 12
          resources:
            requests: {cpu: 50m, memory: {{ .memory }}}
            limits: {memory: {{ .memory }}}
          securityContext:
            {{- toYaml .root.Values.securityContext | nindent 12 }}
          volumeMounts:
            - {name: data, mountPath: {{ .folder }}}
            - {name: tmp, mountPath: /tmp}
      volumes:
        - {name: data, emptyDir: {}}
        - {name: tmp, emptyDir: {}}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ $name }}
  labels:
    {{- include "corti-worker.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
spec:
  selector:
    {{- include "corti-worker.selector" . | nindent 4 }}
  ports:
    - {name: main, port: {{ .port }}, targetPort: main}
{{- end -}}
