{{- define "fw.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- (contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name)) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "fw.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "fw.labels" -}}
{{ include "fw.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "fw.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}

{{- define "fw.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ default (include "fw.fullname" .) .Values.serviceAccount.name }}
{{- else -}}
{{ required "serviceAccount.name: with serviceAccount.create=false, name the one that is there" .Values.serviceAccount.name }}
{{- end -}}
{{- end -}}

{{/* The options as a TOML file. Numbers of YAML are floats here; 1e+06 is none that TOML reads as an integer. */}}
{{- define "fw.config" -}}
{{- range $key, $value := .Values.config }}
{{- if kindIs "invalid" $value }}
{{- else if kindIs "string" $value }}
{{ $key }} = {{ $value | toJson }}
{{- else if kindIs "bool" $value }}
{{ $key }} = {{ $value }}
{{- else if eq (floor $value) (float64 $value) }}
{{ $key }} = {{ int64 $value }}
{{- else }}
{{ $key }} = {{ $value }}
{{- end }}
{{- end }}
drain-timeout = "{{ int64 .Values.drainTimeoutSeconds }}s"
migrate = {{ .Values.migrate.enabled | ternary "off" "auto" | quote }}
{{- if .Values.web.secretName }}
web-config = "/etc/fulfillment-worker/web/web.yml"
{{- end }}
{{ end -}}

{{/* What every pod of the chart may do: nothing. */}}
{{- define "fw.podSecurity" -}}
automountServiceAccountToken: false
# Variables such as POSTGRES_PORT=tcp://… of a Service that is named so would be taken for options.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "fw.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "fw.scheme" -}}
{{- .Values.web.tls | ternary "HTTPS" "HTTP" -}}
{{- end -}}

{{/* A rule for each of `names` in networkpolicy.egress that has ports. */}}
{{- define "fw.egress" -}}
{{- range $name := .names }}
{{- with get $.egress $name }}
{{- if .ports }}
- ports:
    {{- range .ports }}
    - {port: {{ int . }}, protocol: TCP}
    {{- if eq $name "dns" }}
    - {port: {{ int . }}, protocol: UDP}
    {{- end }}
    {{- end }}
  {{- with .to }}
  to: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
