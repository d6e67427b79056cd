{{- define "medical-operator.labels" -}}
{{ include "medical-operator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "medical-operator.selector" -}}
app.kubernetes.io/name: medical-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* The operator's objects are called after the release; cluster-wide ones after its namespace too. */}}
{{- define "medical-operator.name" -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "medical-operator.clusterName" -}}
{{ printf "%s-%s" .Release.Namespace (include "medical-operator.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
