{{/* Names, labels and the image. */}}

{{- define "shoal.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 35 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-p2p" (.Release.Name | trunc 31 | trimSuffix "-") -}}
{{- end -}}
{{- end }}

{{/* The membership's selector: what all Services of the swarm have. */}}
{{- define "shoal.selector" -}}
app.kubernetes.io/name={{ .Chart.Name }},app.kubernetes.io/instance={{ .Release.Name }}
{{- end }}

{{/* Labels that select. Call: include "shoal.selectorLabels" (list . "mirror"). */}}
{{- define "shoal.selectorLabels" -}}
{{- $top := index . 0 -}}
app.kubernetes.io/name: {{ $top.Chart.Name }}
app.kubernetes.io/instance: {{ $top.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "shoal.labels" -}}
{{- $top := index . 0 -}}
{{ include "shoal.selectorLabels" . }}
app.kubernetes.io/version: {{ $top.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $top.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $top.Chart.Name $top.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "shoal.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "shoal.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Whether a part is deployed: "true" or empty. */}}
{{- define "shoal.hasScheduler" -}}
{{- if and (eq .Values.p2p.plusMode.downloadPattern "p2p") (gt (int .Values.scheduler.replicas) 0) }}true{{ end -}}
{{- end }}

{{- define "shoal.hasMirror" -}}
{{- if .Values.p2p.plusMode.enable }}true{{ end -}}
{{- end }}

{{- define "shoal.hasTLS" -}}
{{- if eq .Values.p2p.tls "auto" }}true{{ end -}}
{{- end }}

{{- define "shoal.authoritySecret" -}}
{{- if eq .Values.certificates.source "secret" -}}
{{ required "certificates.source: secret needs certificates.secretName" .Values.certificates.secretName }}
{{- else -}}
{{ include "shoal.fullname" . }}-authority
{{- end -}}
{{- end }}

{{/* The Secret with the AccessKey; empty without one. */}}
{{- define "shoal.accessKeySecret" -}}
{{- if .Values.accessKeyExistingSecret -}}
{{ .Values.accessKeyExistingSecret }}
{{- else if .Values.accessKey -}}
{{ include "shoal.fullname" . }}-access-key
{{- end -}}
{{- end }}

{{/* Of what belongs to no namespace. */}}
{{- define "shoal.clusterName" -}}
{{ include "shoal.fullname" . }}:{{ .Release.Namespace }}
{{- end }}
