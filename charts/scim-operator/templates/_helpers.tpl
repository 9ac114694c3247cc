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

{{- define "scim-operator.ownLabels" -}}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{ include "scim-operator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "scim-operator.labels" -}}
{{ toYaml (merge (include "scim-operator.ownLabels" . | fromYaml) .Values.commonLabels) }}
{{- end }}

{{- define "scim-operator.serviceAccount" -}}
{{ default (include "scim-operator.fullname" .) .Values.serviceAccount.name }}
{{- end }}

{{- /* Of all operators in a namespace one leads, whatever their releases are called: a name of the release
       would let the old and the new one lead at once when it is changed. */ -}}
{{- define "scim-operator.lease" -}}scim-operator{{- end }}

{{- /* What it may do with what is declared, in all namespaces or in each that is watched. */ -}}
{{- define "scim-operator.ownRules" -}}
- apiGroups: [scim-operator.io]
  resources: [scimconnections, scimusers, scimgroups]
  verbs: [get, list, watch]
# Finalizers.
- apiGroups: [scim-operator.io]
  resources: [scimconnections, scimusers, scimgroups]
  verbs: [patch]
- apiGroups: [scim-operator.io]
  resources: [scimconnections/status, scimusers/status, scimgroups/status]
  verbs: [patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{- /* Which namespaces a release watches, so that another can tell; nothing where it watches all. */ -}}
{{- define "scim-operator.watchedBy" -}}scim-operator.io/watch-namespaces{{- end }}

{{- /* A second release would write to the same accounts, unless the two watch namespaces that are named, and no
       other has one of them. In one namespace both would wait for the one Lease that is there. Nothing is
       found by `helm template`. */ -}}
{{- define "scim-operator.refuseOthers" -}}
{{- range (lookup "apps/v1" "Deployment" "" "").items }}
{{- $labels := .metadata.labels | default dict }}
{{- $chart := get $labels "helm.sh/chart" | toString }}
{{- $instance := get $labels "app.kubernetes.io/instance" | toString }}
{{- if or (eq (get $labels "app.kubernetes.io/name" | toString) "scim-operator") (regexMatch "^scim-operator-[0-9]" $chart) }}
{{- if or (ne .metadata.namespace $.Release.Namespace) (ne $instance $.Release.Name) }}
{{- $named := get (.metadata.annotations | default dict) (include "scim-operator.watchedBy" $) | toString }}
{{- $theirs := compact (splitList "," $named) }}
{{- $both := list }}
{{- range $.Values.watchNamespaces }}{{ if has . $theirs }}{{ $both = append $both . }}{{ end }}{{ end }}
{{- if eq .metadata.namespace $.Release.Namespace }}
{{- fail (printf "one scim-operator a namespace: the release %q is here already, and the two would wait for one Lease; uninstall it first (the CustomResourceDefinitions and what is declared stay), or install this one in another namespace" $instance) }}
{{- else if not (and $theirs $.Values.watchNamespaces) }}
{{- fail (printf "one scim-operator a cluster, unless all of them are told which namespaces to watch: the release %q in the namespace %q is one already; uninstall it first (the CustomResourceDefinitions and what is declared stay), give both of them watchNamespaces, or set refuseSecondRelease=false where it watches nothing that this one does" $instance .metadata.namespace) }}
{{- else if $both }}
{{- fail (printf "one scim-operator a namespace that is watched: the release %q in the namespace %q watches %s already" $instance .metadata.namespace (join ", " $both)) }}
{{- end }}
{{- end }}{{ end }}{{ end }}
{{- end }}

{{- define "scim-operator.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else }}{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}{{ end }}
{{- end }}

{{- /* Namespaces and names whose Secrets and ConfigMaps may be read. */ -}}
{{- define "scim-operator.secretAccess" -}}
{{- $here := list (dict "namespace" .Release.Namespace) }}
{{- if and .Values.watchNamespaces (not (has .Release.Namespace .Values.watchNamespaces)) }}{{ $here = list }}{{ end }}
{{- toYaml (.Values.secretAccess | default $here) }}
{{- end }}

{{- /* The container's variables. What extraEnv names is as it says there: the API server refuses a name twice. What a
       value refers to comes before it. */ -}}
{{- define "scim-operator.env" -}}
{{- $field := list (list "POD_NAME" "metadata.name") (list "POD_NAMESPACE" "metadata.namespace") }}
{{- $plain := list (list "RUST_LOG" .Values.logLevel) }}
{{- if .Values.tracing.endpoint }}
{{- $whose := "k8s.namespace.name=$(POD_NAMESPACE),k8s.pod.name=$(POD_NAME),service.instance.id=$(POD_NAME)" }}
{{- $plain = concat $plain (list
      (list "OTEL_EXPORTER_OTLP_ENDPOINT" .Values.tracing.endpoint)
      (list "OTEL_TRACES_SAMPLER" "parentbased_traceidratio")
      (list "OTEL_TRACES_SAMPLER_ARG" (toString .Values.tracing.sampleRatio))
      (list "OTEL_RESOURCE_ATTRIBUTES" $whose)) }}
{{- end }}
{{- $said := dict }}
{{- range .Values.extraEnv }}{{ $_ := set $said .name true }}{{ end }}
{{- $all := list }}
{{- range $field }}{{ if not (hasKey $said (first .)) }}
{{- $all = append $all (dict "name" (first .) "valueFrom" (dict "fieldRef" (dict "fieldPath" (last .)))) }}
{{- end }}{{ end }}
{{- range $plain }}{{ if not (hasKey $said (first .)) }}
{{- $all = append $all (dict "name" (first .) "value" (last .)) }}
{{- end }}{{ end }}
{{- toYaml (concat $all .Values.extraEnv) }}
{{- end }}
