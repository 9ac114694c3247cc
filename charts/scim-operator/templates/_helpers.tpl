{{- define "scim-operator.fullname" -}}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else }}{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if contains $name .Release.Name }}{{ .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}{{ end }}{{ end }}
{{- end }}

{{- define "scim-operator.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "scim-operator.labels" -}}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{ include "scim-operator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "scim-operator.serviceAccount" -}}
{{ default (include "scim-operator.fullname" .) .Values.serviceAccount.name }}
{{- end }}

{{- /* Of all operators in a namespace one leads, whatever their releases are called: a name of the release
       would let the old and the new one lead at once when it is changed. */ -}}
{{- define "scim-operator.lease" -}}scim-operator{{- end }}

{{- /* A second release would write to the same accounts: outside of this namespace with a Lease of its own,
       and in it with an account that its Role may not know. Nothing is found by `helm template`. */ -}}
{{- define "scim-operator.refuseOthers" -}}
{{- range (lookup "apps/v1" "Deployment" "" "").items }}
{{- $labels := .metadata.labels | default dict }}
{{- $chart := get $labels "helm.sh/chart" | toString }}
{{- $instance := get $labels "app.kubernetes.io/instance" | toString }}
{{- if or (eq (get $labels "app.kubernetes.io/name" | toString) "scim-operator") (regexMatch "^scim-operator-[0-9]" $chart) }}
{{- if or (ne .metadata.namespace $.Release.Namespace) (ne $instance $.Release.Name) }}
{{- fail (printf "one scim-operator a cluster: the release %q in the namespace %q is one already; uninstall it first (the CustomResourceDefinitions and what is declared stay), or set refuseSecondRelease=false where it watches nothing that this one does" $instance .metadata.namespace) }}
{{- end }}{{ end }}{{ end }}
{{- end }}

{{- define "scim-operator.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else }}{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}{{ end }}
{{- end }}

{{- /* Namespaces and names whose Secrets and ConfigMaps may be read. */ -}}
{{- define "scim-operator.secretAccess" -}}
{{ toYaml (.Values.secretAccess | default (list (dict "namespace" .Release.Namespace))) }}
{{- end }}
