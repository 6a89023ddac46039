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

{{/* What the schema can't refuse: values that are right alone and wrong together, and names that the chart sets itself. */}}
{{- define "fw.check" -}}
{{- $secrets := .Values.secrets }}
{{- $migrate := .Values.migrate }}
{{- if and .Values.web.tls (not .Values.web.secretName) }}
{{- fail "web.tls: without web.secretName the worker speaks HTTP; name the Secret with web.yml there, or set web.tls to false" }}
{{- end }}
{{- $scaling := .Values.autoscaling }}
{{- range $name := list "minReplicas" "fallbackReplicas" }}
{{- $replicas := get $scaling $name | int }}
{{- if and $scaling.enabled (gt $replicas (int $scaling.maxReplicas)) }}
{{- fail (printf "autoscaling.%s: %d is more than autoscaling.maxReplicas, %d; change one of them" $name $replicas (int $scaling.maxReplicas)) }}
{{- end }}
{{- end }}
{{- $seen := dict }}
{{- range $name := list "redis" "postgres" "warehouseSecret" "warehouseToken" }}
{{- $of := get $secrets $name }}
{{- $place := printf "%s/%s" $of.name $of.key }}
{{- if and $of.name (hasKey $seen $place) }}
{{- fail (printf "secrets.%s: key %s of Secret %s is secrets.%s already; name another key or Secret" $name $of.key $of.name (get $seen $place)) }}
{{- end }}
{{- $_ := set $seen $place $name }}
{{- end }}
{{- if $secrets.create.enabled }}
{{- $made := list $secrets.redis.name $secrets.postgres.name }}
{{- if $migrate.enabled }}
{{- if has $migrate.secret.name $made }}
{{- fail (printf "migrate.secret.name: secrets.create makes Secret %s for the worker, which must not see the migration's URL; name another" $migrate.secret.name) }}
{{- end }}
{{- $made = append $made $migrate.secret.name }}
{{- end }}
{{- range $place, $name := dict "secrets.warehouseSecret.name" $secrets.warehouseSecret.name "secrets.warehouseToken.name" $secrets.warehouseToken.name "web.secretName" .Values.web.secretName }}
{{- if has $name $made }}
{{- fail (printf "%s: secrets.create makes Secret %s with URLs alone; name another, and make it yourself" $place $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- $selector := include "fw.selector" . | fromYaml | keys }}
{{- $labels := include "fw.labels" . | fromYaml | keys }}
{{- $ofPod := append $selector "app.kubernetes.io/component" }}
{{- $variables := list "FULFILLMENT_CONFIG" "REDIS_URL_FILE" "DATABASE_URL_FILE" }}
{{- if $secrets.warehouseSecret.name }}{{ $variables = append $variables "FULFILLMENT_FULFILLER_SECRET_FILE" }}{{ end }}
{{- if $secrets.warehouseToken.name }}{{ $variables = append $variables "FULFILLMENT_FULFILLER_TOKEN_FILE" }}{{ end }}
{{- $volumes := list "config" "secrets" "tmp" }}
{{- $paths := list "/etc/fulfillment-worker/config" "/run/secrets/fulfillment-worker" "/tmp" }}
{{- if .Values.web.secretName }}
{{- $volumes = append $volumes "web" }}
{{- $paths = append $paths "/etc/fulfillment-worker/web" }}
{{- end }}
{{- include "fw.notOwn" (dict "place" "podLabels" "of" .Values.podLabels "own" $ofPod) }}
{{- include "fw.notOwn" (dict "place" "podAnnotations" "of" .Values.podAnnotations "own" (list "checksum/config" "checksum/secrets")) }}
{{- include "fw.notOwn" (dict "place" "migrate.podLabels" "of" $migrate.podLabels "own" $ofPod) }}
{{- include "fw.notOwn" (dict "place" "metrics.podMonitor.labels" "of" .Values.metrics.podMonitor.labels "own" $labels) }}
{{- include "fw.notOwn" (dict "place" "metrics.rules.labels" "of" .Values.metrics.rules.labels "own" $labels) }}
{{- include "fw.notOwn" (dict "place" "extraEnv" "of" .Values.extraEnv "key" "name" "own" $variables) }}
{{- include "fw.notOwn" (dict "place" "extraVolumes" "of" .Values.extraVolumes "key" "name" "own" $volumes) }}
{{- include "fw.notOwn" (dict "place" "extraVolumeMounts" "of" .Values.extraVolumeMounts "key" "mountPath" "own" $paths) }}
{{- end -}}

{{/* Fails where `of` has a name out of `own`: a key of a map, or in a list what each item has as `key`. */}}
{{- define "fw.notOwn" -}}
{{- range $name, $item := .of }}
{{- if $.key }}{{ $name = get $item $.key }}{{ end }}
{{- if has $name $.own }}
{{- fail (printf "%s: the chart sets %s itself; remove it there" $.place $name) }}
{{- end }}
{{- end }}
{{- end -}}
