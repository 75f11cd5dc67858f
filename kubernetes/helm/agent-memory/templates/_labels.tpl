{{- define "labels" -}}
app.kubernetes.io/name: {{ .root.Values.name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "metadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "labels" . | nindent 2 }}
{{- end -}}

{{- define "secretName" -}}
{{ .Values.secret.name | default (printf "%s-secrets" .Values.name) }}
{{- end -}}
