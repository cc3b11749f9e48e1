{{/* The configuration files (docs/configuration.md). Its files are in /etc/shoal, on nodes as in pods, but for the certificates in pods. */}}

{{/* acrInstances and p2p.registryInstances, whichever form they have, as one list. */}}
{{- define "shoal.instances" -}}
{{- $ids := list -}}
{{- range list .Values.acrInstances .Values.p2p.registryInstances -}}
{{- $given := . -}}
{{- if kindIs "string" $given }}{{ $given = splitList "," $given }}{{ end -}}
{{- range $given }}{{ $ids = append $ids (trim .) }}{{ end -}}
{{- end -}}
{{- $ids | compact | uniq | toJson -}}
{{- end }}

{{- define "shoal.config.process" -}}
log:
  level: {{ .Values.log.level }}
telemetry:
  port: {{ int .Values.telemetry.port }}
  {{- with .Values.telemetry.traces }}
  {{- if .endpoint }}
  traces:
    endpoint: {{ .endpoint }}
    registries: {{ toJson .registries }}
  {{- end }}
  {{- end }}
{{- end }}

{{/* What nodes and mirrors have in common: whose images, from where, in whose name. Call: (list . (dict of logins)). */}}
{{- define "shoal.config.images" -}}
{{- $logins := index . 1 -}}
{{- with index . 0 -}}
registries:
  {{- omit .Values.registries "caSecret" | toYaml | nindent 2 }}
  {{- with $logins }}
  logins:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- with include "shoal.instances" . | fromJsonArray }}
acrInstances: {{ toJson . }}
{{- end }}
{{- with .Values.region }}
region: {{ . }}
{{- end }}
{{- with .Values.vpcId }}
vpcId: {{ . }}
{{- end }}
pullImageInternet: {{ .Values.pullImageInternet }}
{{- if include "shoal.accessKeySecret" . }}
accessKeyFile: /etc/shoal/accessKey
accessKeySecretFile: /etc/shoal/accessKeySecret
{{- end }}
{{- if .Values.rrsa.enable }}
rrsa:
  {{- toYaml .Values.rrsa | nindent 2 }}
  tokenFile: /etc/shoal/rrsa-token
{{- end }}
{{- end }}
{{- end }}

{{/* What all members have in common. Call: (list . "/folder of the certificates"). */}}
{{- define "shoal.config.swarm" -}}
{{- $top := index . 0 -}}
{{- $folder := index . 1 -}}
{{- with $top.Values.p2p -}}
port: {{ int .port }}
tls: {{ .tls | quote }}
{{- if include "shoal.hasTLS" $top }}
certificates:
  caFile: {{ $folder }}/swarm-ca.crt
  certFile: {{ $folder }}/swarm.crt
  keyFile: {{ $folder }}/swarm.key
{{- end }}
connectTimeout: {{ .connectTimeout }}
transferTimeout: {{ .transferTimeout }}
proxyFsParallels: {{ int .proxyFsParallels }}
ratelimit:
  upload: {{ int64 .ratelimit.upload }}
  download: {{ int64 .ratelimit.download }}
authorizationTTL: {{ toJson .authorizationTTL }}
membership:
  source: kubernetes
  kubernetes:
    namespace: {{ $top.Release.Namespace }}
    selector: {{ include "shoal.selector" $top }}
{{- end }}
{{- end }}

{{- define "shoal.config.agent" -}}
accelerate: {{ .Values.accelerate }}
{{ include "shoal.config.process" . }}
  # Prometheus comes to the nodes' own addresses.
  host: {{ .Values.telemetry.host | default (ternary "0.0.0.0" "127.0.0.1" .Values.serviceMonitor.enable) | quote }}
{{- if .Values.events.enable }}
kubernetes:
  events: true
{{- end }}
mirror:
  port: {{ int .Values.mirror.port }}
{{ include "shoal.config.images" (list . dict) }}
p2p:
  # node.sh puts the node's name here: agents are known by it.
  id: NODE-NAME
  {{- include "shoal.config.swarm" (list . "/etc/shoal") | nindent 2 }}
      kubeconfig: /etc/shoal/kubeconfig
  plusMode:
    downloadPattern: {{ .Values.p2p.plusMode.downloadPattern }}
    ossInternetAccelerate: {{ .Values.p2p.plusMode.ossInternetAccelerate }}
  v2:
    cache:
      {{- range $key, $value := .Values.p2p.v2.cache }}
      {{- if ne $value nil }}
      {{ $key }}: {{ toJson $value }}
      {{- end }}
      {{- end }}
{{- end }}

{{- define "shoal.config.mirror" -}}
{{- $logins := dict }}
{{- if and .Values.registryMirror.logins.acr (include "shoal.instances" . | fromJsonArray) }}{{ $_ := set $logins "acr" true }}{{ end }}
{{- if .Values.registryMirror.logins.secretName }}{{ $_ := set $logins "dockerConfigFile" "/etc/shoal/docker-config.json" }}{{ end -}}
{{ include "shoal.config.process" . }}
{{ include "shoal.config.images" (list . $logins) }}
p2p:
  {{- include "shoal.config.swarm" (list . "/certificates") | nindent 2 }}
  plusMode:
    downloadPattern: {{ .Values.p2p.plusMode.downloadPattern }}
    ossInternetAccelerate: {{ .Values.p2p.plusMode.ossInternetAccelerate }}
    # Its cache is below stateDir, which is a volume.
    cacheTTL: {{ toJson .Values.p2p.plusMode.cacheTTL }}
  v2:
    cache:
      mode: disk
      blocksize: {{ int .Values.p2p.v2.cache.blocksize }}
      capacity: {{ int64 .Values.registryMirror.capacity }}
      optionBlockSize: {{ int64 .Values.registryMirror.optionBlockSize }}
      memoryCacheCapacityGB: {{ divf .Values.registryMirror.optionBlockSize 1073741824 | ceil | int }}
      aio: {{ int .Values.p2p.v2.cache.aio }}
{{- end }}

{{- define "shoal.config.scheduler" -}}
{{ include "shoal.config.process" . }}
p2p:
  {{- include "shoal.config.swarm" (list . "/certificates") | nindent 2 }}
{{- end }}
