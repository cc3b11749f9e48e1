{{/* Annotations of a hook's object. Call: (list "pre-delete" -5). */}}
{{- define "shoal.hook" -}}
helm.sh/hook: {{ index . 0 }}
helm.sh/hook-weight: {{ index . 1 | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}

{{/* A right that is there as long as the hook runs. Call: (list . (dict "name" "event" "rules")). */}}
{{- define "shoal.hookRole" -}}
{{- $top := index . 0 -}}
{{- $role := index . 1 -}}
{{- $name := printf "%s-%s" (include "shoal.fullname" $top) $role.name -}}
{{- if $top.Values.rbac.create }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ $name }}
  namespace: {{ $top.Release.Namespace }}
  labels:
    {{- include "shoal.labels" (list $top "hook") | nindent 4 }}
  annotations:
    {{- include "shoal.hook" (list $role.event -5) | nindent 4 }}
rules:
  {{- toYaml $role.rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ $name }}
  namespace: {{ $top.Release.Namespace }}
  labels:
    {{- include "shoal.labels" (list $top "hook") | nindent 4 }}
  annotations:
    {{- include "shoal.hook" (list $role.event -5) | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ $name }}
subjects:
  - kind: ServiceAccount
    name: {{ $top.Values.serviceAccount.jobName }}
    namespace: {{ $top.Release.Namespace }}
{{- end }}
{{- end }}

{{/* A Job's pod, up to the command. */}}
{{- define "shoal.hookPod" -}}
metadata:
  labels:
    {{- include "shoal.selectorLabels" (list . "hook") | nindent 4 }}
spec:
  serviceAccountName: {{ .Values.serviceAccount.jobName }}
  enableServiceLinks: false
  restartPolicy: Never
  {{- include "shoal.pullSecrets" . | nindent 2 }}
  nodeSelector:
    {{- merge (deepCopy .Values.hooks.nodeSelector) (dict "kubernetes.io/os" "linux") | toYaml | nindent 4 }}
  {{- with .Values.hooks.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: hook
      {{- include "shoal.container" . | nindent 6 }}
      securityContext:
        {{- include "shoal.restricted" 65532 | nindent 8 }}
      resources:
        {{- toYaml .Values.hooks.resources | nindent 8 }}
{{- end }}
