{{/* Pieces of the pods. */}}

{{/* What a container without rights has. Call with the user's id. */}}
{{- define "shoal.restricted" -}}
runAsUser: {{ . }}
runAsNonRoot: {{ ne (int .) 0 }}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "shoal.container" -}}
image: {{ include "shoal.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end }}

{{/*
The container that makes the member's certificate, into the volume "certificates". Call: (list . "issue" "once" "metadata.name" uid);
"once" is an init container's way, "keep" renews.
*/}}
{{- define "shoal.certificatesContainer" -}}
{{- $top := index . 0 -}}
- name: {{ index . 1 }}
  {{- include "shoal.container" $top | nindent 2 }}
  command: [/bin/sh, /scripts/certificates.sh, {{ index . 2 }}]
  env:
    - name: MEMBER
      valueFrom:
        fieldRef:
          fieldPath: {{ index . 3 }}
    - name: ADDRESSES
      valueFrom:
        fieldRef:
          fieldPath: status.podIPs
    - name: DAYS
      value: {{ int $top.Values.certificates.days | quote }}
    - name: RENEW_BEFORE
      value: {{ int $top.Values.certificates.renewBefore | quote }}
  securityContext:
    {{- include "shoal.restricted" (index . 4) | nindent 4 }}
  resources:
    requests: {cpu: 5m, memory: 16Mi}
    limits: {memory: 256Mi}
  volumeMounts:
    - name: scripts
      mountPath: /scripts
      readOnly: true
    - name: authority
      mountPath: /authority
      readOnly: true
    - name: certificates
      mountPath: /certificates
{{- end }}

{{- define "shoal.certificatesVolumes" -}}
- name: authority
  secret:
    secretName: {{ include "shoal.authoritySecret" . }}
    # 0440
    defaultMode: 288
    items:
      {{- $isCertManager := eq .Values.certificates.source "certManager" }}
      - key: {{ ternary "tls.crt" "ca.crt" $isCertManager }}
        path: ca.crt
      - key: {{ ternary "tls.key" "ca.key" $isCertManager }}
        path: ca.key
- name: certificates
  emptyDir:
    medium: Memory
    sizeLimit: 1Mi
{{- end }}

{{- define "shoal.scriptsVolume" -}}
- name: scripts
  configMap:
    name: {{ include "shoal.fullname" . }}-scripts
{{- end }}

{{/*
Sources of a projected volume: the AccessKey, the RRSA token, registries' authorities, a docker configuration. Call: (list . "name
of the docker configuration's Secret").
*/}}
{{- define "shoal.credentials" -}}
{{- $top := index . 0 -}}
{{- with include "shoal.accessKeySecret" $top }}
- secret:
    name: {{ . }}
    items:
      - key: accessKey
        path: accessKey
      - key: accessKeySecret
        path: accessKeySecret
{{- end }}
{{- if $top.Values.rrsa.enable }}
- serviceAccountToken:
    audience: sts.aliyuncs.com
    expirationSeconds: 3600
    path: rrsa-token
{{- end }}
{{- with $top.Values.registries.caSecret }}
- secret:
    name: {{ . }}
{{- end }}
{{- with index . 1 }}
- secret:
    name: {{ . }}
    items:
      - key: .dockerconfigjson
        path: docker-config.json
{{- end }}
{{- end }}

{{/* A long-running role's ports, probes and end. */}}
{{- define "shoal.rolePorts" -}}
ports:
  - name: p2p
    containerPort: {{ int .Values.p2p.port }}
  - name: telemetry
    containerPort: {{ int .Values.telemetry.port }}
startupProbe:
  httpGet: {path: /livez, port: telemetry}
  periodSeconds: 2
  failureThreshold: 90
livenessProbe:
  httpGet: {path: /livez, port: telemetry}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: telemetry}
  periodSeconds: 5
  timeoutSeconds: 3
{{- end }}

{{/* One member on a node, where there are nodes enough. Call: (list . "mirror"). */}}
{{- define "shoal.spread" -}}
podAntiAffinity:
  preferredDuringSchedulingIgnoredDuringExecution:
    - weight: 100
      podAffinityTerm:
        topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels:
            {{- include "shoal.selectorLabels" . | nindent 12 }}
    - weight: 50
      podAffinityTerm:
        topologyKey: topology.kubernetes.io/zone
        labelSelector:
          matchLabels:
            {{- include "shoal.selectorLabels" . | nindent 12 }}
{{- end }}

{{/* Where schedulers and mirrors run. Call: (list . "mirror" .Values.registryMirror). */}}
{{- define "shoal.placement" -}}
{{- $top := index . 0 -}}
{{- $values := index . 2 -}}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- $nodeSelector := dict "kubernetes.io/os" "linux" -}}
{{- if $top.Values.p2p.plusMode.nodeSelectorEnable }}{{ $_ := set $nodeSelector "k8s.aliyun.com/p2p-plus-node" "true" }}{{ end }}
nodeSelector:
  {{- merge (deepCopy $values.nodeSelector) $nodeSelector | toYaml | nindent 2 }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
affinity:
  {{- if $values.affinity }}
  {{- toYaml $values.affinity | nindent 2 }}
  {{- else }}
  {{- include "shoal.spread" . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* A role's configuration and its headless Service, whose component label is the role of its endpoints. Call: (list . "mirror" "registry-mirror"). */}}
{{- define "shoal.configAndService" -}}
{{- $top := index . 0 -}}
{{- $role := index . 1 -}}
{{- $name := printf "%s-%s" (include "shoal.fullname" $top) (index . 2) -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ $name }}
  namespace: {{ $top.Release.Namespace }}
  labels:
    {{- include "shoal.labels" . | nindent 4 }}
data:
  config.yaml: |
    {{- include (printf "shoal.config.%s" $role) $top | nindent 4 }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ $name }}
  namespace: {{ $top.Release.Namespace }}
  labels:
    {{- include "shoal.labels" . | nindent 4 }}
spec:
  clusterIP: None
  selector:
    {{- include "shoal.selectorLabels" . | nindent 4 }}
    {{- if eq $role "agent" }}
    # Not those that the pre-delete hook is taking back.
    shoal-node: installed
    {{- end }}
  ports:
    - name: p2p
      port: {{ int $top.Values.p2p.port }}
    - name: telemetry
      port: {{ int $top.Values.telemetry.port }}
{{- end }}

{{/* A pod template's metadata: what changes it restarts the pods. Call: (list . "mirror" .Values.registryMirror). */}}
{{- define "shoal.podMetadata" -}}
{{- $top := index . 0 -}}
{{- $values := index . 2 -}}
labels:
  {{- include "shoal.selectorLabels" . | nindent 2 }}
  {{- if eq (index . 1) "agent" }}
  shoal-node: installed
  {{- end }}
  {{- with $values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  checksum/config: {{ include (printf "shoal.config.%s" (index . 1)) $top | sha256sum }}
  {{- if include "shoal.hasTLS" $top }}
  checksum/certificates: {{ $top.Files.Get "files/certificates.sh" | sha256sum }}
  {{- end }}
  {{- with $values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* What schedulers and mirrors have in common. A replica's state has a folder of its own: two may be on one node. */}}
{{- define "shoal.roleEnvironment" -}}
env:
  - name: POD_NAME
    valueFrom:
      fieldRef:
        fieldPath: metadata.name
  - name: SHOAL_P2P_ID
    value: $(POD_NAME)
  - name: POD_IP
    valueFrom:
      fieldRef:
        fieldPath: status.podIP
  # The kubelet's probes and Prometheus come to it.
  - name: SHOAL_TELEMETRY_HOST
    value: $(POD_IP)
{{- end }}

{{- define "shoal.roleMounts" -}}
- name: config
  mountPath: /etc/shoal
  readOnly: true
- name: run
  mountPath: /run/shoal
- name: state
  mountPath: /var/lib/shoal
  subPathExpr: $(POD_NAME)
{{- if include "shoal.hasTLS" . }}
- name: certificates
  mountPath: /certificates
  readOnly: true
{{- end }}
{{- end }}

{{/* Call: (list . "registry-mirror" "sources of credentials"). */}}
{{- define "shoal.roleVolumes" -}}
{{- $top := index . 0 -}}
- name: config
  projected:
    # 0440
    defaultMode: 288
    sources:
      - configMap:
          name: {{ include "shoal.fullname" $top }}-{{ index . 1 }}
      {{- with index . 2 }}
      {{- . | trim | nindent 6 }}
      {{- end }}
- name: run
  emptyDir:
    medium: Memory
    sizeLimit: 16Mi
{{- if include "shoal.hasTLS" $top }}
{{ include "shoal.scriptsVolume" $top }}
{{ include "shoal.certificatesVolumes" $top }}
{{- end }}
{{- end }}
