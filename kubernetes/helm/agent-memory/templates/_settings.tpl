{{/* What the values mean for the daemon. The names of the AgentState guide (env, secrets, persistence, tls, ingress.hostname) have precedence. */}}

{{/* Whether the pod generates its secrets: with the embedded database, if JWT_SECRET is still the placeholder. */}}
{{- define "generatesSecrets" -}}
{{- $jwt := (merge (dict) .Values.secrets .Values.secret.values).JWT_SECRET | default "<" | toString }}
{{- if and .Values.persistence.enabled .Values.secret.create (hasPrefix "<" $jwt) }}true{{ end }}
{{- end -}}

{{/* All settings that are not secret, as YAML. */}}
{{- define "settings" -}}
{{- $settings := deepCopy .Values.config }}
{{- if .Values.persistence.enabled }}
{{- if or .Values.env.PGHOST .Values.env.DATABASE_URL .Values.secrets.DATABASE_URL .Values.secret.values.DATABASE_URL }}
{{- fail "persistence is the volume of the embedded database: set either persistence.enabled, or PGHOST or DATABASE_URL" }}
{{- end }}
{{- $settings = omit $settings "PGHOST" "PGPORT" "PGDATABASE" "PGUSER" "PGSSLMODE" "PGPOOL_MAX" "MIGRATE_ON_START" }}
{{- if include "generatesSecrets" . }}{{ $settings = merge (dict "NODE_ENV" "development" "HOST" "0.0.0.0") $settings }}{{ end }}
{{- end }}
{{- if .Values.postgresCa.secret }}
{{- $settings = merge (dict "PGSSLMODE" "verify-full" "PGSSLROOTCERT" "/run/secrets/postgres-ca/ca.crt") $settings }}
{{- end }}
{{- if .Values.tls.enabled }}
{{- $settings = merge (dict "TLS_CERT_FILE" "/run/secrets/tls/tls.crt" "TLS_KEY_FILE" "/run/secrets/tls/tls.key") $settings }}
{{- end }}
{{- $settings = mergeOverwrite $settings .Values.env }}
{{- if and $settings.ADMIN_PORT (not $settings.ADMIN_HOST) }}{{ $_ := set $settings "ADMIN_HOST" "0.0.0.0" }}{{ end }}
{{- toYaml $settings }}
{{- end -}}

{{/* The secret settings, as YAML; without those that the pod generates or does not need. */}}
{{- define "secretSettings" -}}
{{- $secrets := mergeOverwrite (deepCopy .Values.secret.values) .Values.secrets }}
{{- if .Values.persistence.enabled }}{{ $secrets = omit $secrets "PGPASSWORD" }}{{ end }}
{{- if include "generatesSecrets" . }}
{{- range $name, $value := $secrets }}
{{- if hasPrefix "<" ($value | toString) }}{{ $secrets = omit $secrets $name }}{{ end }}
{{- end }}
{{- end }}
{{- toYaml $secrets }}
{{- end -}}

{{/* The port that serves /metrics, by its name in the pod and the Service. */}}
{{- define "metricsPort" -}}
{{- if (include "settings" . | fromYaml).ADMIN_PORT }}admin{{ else }}http{{ end }}
{{- end -}}

{{/* The Secret with the certificate of the daemon. */}}
{{- define "tlsSecret" -}}
{{- if not (or .Values.tls.secretName .Values.tls.certManager) }}{{ fail "tls.enabled needs tls.secretName or tls.certManager" }}{{ end -}}
{{ .Values.tls.secretName | default (printf "%s-daemon-tls" .Values.name) }}
{{- end -}}

{{- define "host" -}}
{{ .Values.ingress.hostname | default .Values.ingress.host }}
{{- end -}}
