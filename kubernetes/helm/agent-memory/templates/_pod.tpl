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
  - name: data
    emptyDir:
      sizeLimit: {{ .Values.dataSizeLimit }}
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
  # A file per pod, because appending to one file from several pods is not safe on every shared file system.
  - name: ERASURE_LEDGER
    value: /ledger/$(POD_NAME).ndjson
  {{- with $env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
volumeMounts:
  - name: data
    mountPath: {{ .Values.config.DATA_DIR }}
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
