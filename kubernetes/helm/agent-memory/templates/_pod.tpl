{{/* What the daemon, the migration and the backup have in common: restricted pod security, the settings, the secrets as files. Both take the root
   context as `root`, and what one has beside as `volumes`, or as `image`, `env` and `mounts`. */}}
{{- define "pod" -}}
{{- $more := .volumes }}{{ with .root -}}
serviceAccountName: {{ .Values.name }}-daemon
automountServiceAccountToken: false
# disabled, because the environment would contain the addresses of every Service
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 1000
  runAsGroup: 1000
  fsGroup: 1000
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
volumes:
  {{- if not .Values.persistence.enabled }}
  - name: data
    emptyDir:
      sizeLimit: {{ .Values.dataSizeLimit }}
  {{- end }}
  - name: tmp
    emptyDir:
      sizeLimit: 64Mi
  - name: secrets
    secret:
      secretName: {{ include "secretName" . }}
      defaultMode: 0440
  {{- with .Values.postgresCa.secret }}
  - name: postgres-ca
    secret:
      secretName: {{ . }}
      defaultMode: 0444
  {{- end }}
  {{- if .Values.tls.enabled }}
  - name: tls
    secret:
      secretName: {{ include "tlsSecret" . }}
      defaultMode: 0440
  {{- end }}
  {{- with include "ledgerClaim" . }}
  - name: ledger
    persistentVolumeClaim:
      claimName: {{ . }}
  {{- end }}
  {{- with $more }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "container" -}}
{{- $env := .env }}{{ $mounts := .mounts }}{{ $image := .image | default .root.Values.image }}{{ with .root -}}
image: {{ $image.repository }}:{{ $image.tag | default .Values.image.tag | default .Chart.AppVersion }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
envFrom:
  - configMapRef:
      name: {{ .Values.name }}-config
env:
  - name: POD_NAME
    valueFrom:
      fieldRef:
        fieldPath: metadata.name
  {{- if or (include "ledgerClaim" .) (not .Values.persistence.enabled) }}
  # A file per pod, because appending to one file from several pods is not safe on every shared file system.
  - name: ERASURE_LEDGER
    value: /ledger/$(POD_NAME).ndjson
  {{- end }}
  {{- with $env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
volumeMounts:
  - name: data
    mountPath: {{ (include "settings" . | fromYaml).DATA_DIR }}
  - name: tmp
    mountPath: /tmp
  - name: secrets
    mountPath: /run/secrets/agent-memory
    readOnly: true
  {{- if .Values.postgresCa.secret }}
  - name: postgres-ca
    mountPath: /run/secrets/postgres-ca
    readOnly: true
  {{- end }}
  {{- if .Values.tls.enabled }}
  - name: tls
    mountPath: /run/secrets/tls
    readOnly: true
  {{- end }}
  {{- if include "ledgerClaim" . }}
  - name: ledger
    mountPath: /ledger
  {{- end }}
  {{- with $mounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "migration" -}}
metadata:
  labels:
    {{- include "labels" (dict "root" . "component" "migration") | nindent 4 }}
spec:
  {{- include "pod" (dict "root" .) | nindent 2 }}
  # keeps the log of a failed attempt
  restartPolicy: Never
  containers:
    - name: migrate
      {{- include "container" (dict "root" .) | nindent 6 }}
      command: [node, dist/scripts/migrate.js, up]
      resources:
        requests:
          cpu: 100m
          memory: 128Mi
          ephemeral-storage: 64Mi
        limits:
          memory: 512Mi
          ephemeral-storage: 256Mi
{{- end -}}

{{/* The pod of the daemon, of a Deployment or with persistence of a StatefulSet. */}}
{{- define "daemonPod" -}}
{{- $settings := include "settings" . | fromYaml -}}
metadata:
  labels:
    {{- include "labels" (dict "root" . "component" "daemon") | nindent 4 }}
  annotations:
    # The daemon reads its settings only at startup, so changed settings need new pods.
    checksum/settings: {{ list (include "settings" .) (include "secretSettings" .) .Values.secret.name | toJson | sha256sum | trunc 16 | quote }}
    {{- if .Values.monitoring.prometheus.scrape }}
    prometheus.io/scrape: "true"
    prometheus.io/scheme: {{ ternary "https" "http" .Values.tls.enabled }}
    prometheus.io/port: {{ $settings.ADMIN_PORT | default $settings.PORT | toString | quote }}
    prometheus.io/path: /metrics
    {{- end }}
spec:
  {{- include "pod" (dict "root" .) | nindent 2 }}
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  {{- if not .Values.persistence.enabled }}
  topologySpreadConstraints:
    {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - topologyKey: {{ . }}
      maxSkew: 1
      # Scheduling all pods on one node or zone is better than leaving a pod pending.
      whenUnsatisfiable: ScheduleAnyway
      # Ignores the terminating pods of the old release.
      matchLabelKeys: [pod-template-hash]
      labelSelector:
        matchLabels:
          {{- include "labels" (dict "root" $ "component" "daemon") | nindent 10 }}
    {{- end }}
  {{- end }}
  containers:
    - name: daemon
      {{- include "container" (dict "root" .) | nindent 6 }}
      ports:
        - name: http
          containerPort: {{ $settings.PORT }}
        {{- with $settings.ADMIN_PORT }}
        - name: admin
          containerPort: {{ . }}
        {{- end }}
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      # responds 503 until the database is open
      startupProbe:
        httpGet:
          path: /health/live
          port: http
          {{- if .Values.tls.enabled }}
          scheme: HTTPS
          {{- end }}
        periodSeconds: 2
        timeoutSeconds: 2
        failureThreshold: 60
      # Checks only the process, because a lost database is no reason to restart all daemons.
      livenessProbe:
        httpGet:
          path: /health/live
          port: http
          {{- if .Values.tls.enabled }}
          scheme: HTTPS
          {{- end }}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 3
      # Checks the database, with its own timeout of 2 s.
      readinessProbe:
        httpGet:
          path: /ready
          port: http
          {{- if .Values.tls.enabled }}
          scheme: HTTPS
          {{- end }}
        periodSeconds: 5
        timeoutSeconds: 3
        failureThreshold: 2
      lifecycle:
        preStop:
          # The pod keeps serving while the Ingress controller and the nodes learn that it is terminating.
          sleep:
            seconds: {{ .Values.preStopSeconds }}
{{- end -}}
