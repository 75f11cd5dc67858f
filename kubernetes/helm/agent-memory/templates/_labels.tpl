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

{{/* The claim of the ledger of erasures: one that is there, or the chart's own, or none. With persistence, the ledger is in the volume of the data. */}}
{{- define "ledgerClaim" -}}
{{ .Values.erasureLedger.claim | default (ternary (printf "%s-ledger" .Values.name) "" (and .Values.erasureLedger.create (not .Values.persistence.enabled))) }}
{{- end -}}
