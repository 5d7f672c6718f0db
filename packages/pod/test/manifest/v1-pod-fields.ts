// SPDX-License-Identifier: Apache-2.0

/**
 * The fields of `v1.Pod` as the API of Kubernetes 1.36 has them (k8s.io/api 0.36.1, `core/v1/types.go`, and `meta/v1/types.go`), object by object; `[]` is a list.
 * The parts of what Holdfast refuses or warns about as a whole are left out, and those of init containers, which are the containers'.
 */
export const V1_POD_FIELDS: Readonly<Record<string, string>> = {
  "": "apiVersion kind metadata spec status",
  metadata:
    "name generateName namespace selfLink uid resourceVersion generation creationTimestamp deletionTimestamp deletionGracePeriodSeconds labels annotations ownerReferences[] finalizers[] managedFields[]",
  spec: "volumes[] initContainers[] containers[] ephemeralContainers[] restartPolicy terminationGracePeriodSeconds activeDeadlineSeconds dnsPolicy nodeSelector serviceAccountName serviceAccount automountServiceAccountToken nodeName hostNetwork hostPID hostIPC shareProcessNamespace securityContext imagePullSecrets[] hostname subdomain affinity schedulerName tolerations[] hostAliases[] priorityClassName priority dnsConfig readinessGates[] runtimeClassName enableServiceLinks preemptionPolicy overhead topologySpreadConstraints[] setHostnameAsFQDN os hostUsers schedulingGates[] resourceClaims[] resources hostnameOverride schedulingGroup",
  "spec.volumes[]":
    "name hostPath emptyDir gcePersistentDisk awsElasticBlockStore gitRepo secret nfs iscsi glusterfs persistentVolumeClaim rbd flexVolume cinder cephfs flocker downwardAPI fc azureFile configMap vsphereVolume quobyte azureDisk photonPersistentDisk projected portworxVolume scaleIO storageos csi ephemeral image",
  "spec.volumes[].hostPath": "path type",
  "spec.volumes[].emptyDir": "medium sizeLimit",
  "spec.containers[]":
    "name image command[] args[] workingDir ports[] envFrom[] env[] resources resizePolicy[] restartPolicy restartPolicyRules[] volumeMounts[] volumeDevices[] livenessProbe readinessProbe startupProbe lifecycle terminationMessagePath terminationMessagePolicy imagePullPolicy securityContext stdin stdinOnce tty",
  "spec.containers[].ports[]": "name hostPort containerPort protocol hostIP",
  "spec.containers[].env[]": "name value valueFrom",
  "spec.containers[].env[].valueFrom": "fieldRef resourceFieldRef configMapKeyRef secretKeyRef fileKeyRef",
  "spec.containers[].env[].valueFrom.fieldRef": "apiVersion fieldPath",
  "spec.containers[].env[].valueFrom.resourceFieldRef": "containerName resource divisor",
  "spec.containers[].resources": "limits requests claims[]",
  "spec.containers[].volumeMounts[]":
    "name readOnly recursiveReadOnly mountPath subPath mountPropagation subPathExpr",
  "spec.containers[].livenessProbe":
    "exec httpGet tcpSocket grpc initialDelaySeconds timeoutSeconds periodSeconds successThreshold failureThreshold terminationGracePeriodSeconds",
  "spec.containers[].livenessProbe.exec": "command[]",
  "spec.containers[].livenessProbe.httpGet": "path port host scheme httpHeaders[]",
  "spec.containers[].livenessProbe.httpGet.httpHeaders[]": "name value",
  "spec.containers[].livenessProbe.tcpSocket": "port host",
  "spec.containers[].livenessProbe.grpc": "port service",
  "spec.containers[].readinessProbe":
    "exec httpGet tcpSocket grpc initialDelaySeconds timeoutSeconds periodSeconds successThreshold failureThreshold terminationGracePeriodSeconds",
  "spec.containers[].readinessProbe.exec": "command[]",
  "spec.containers[].readinessProbe.httpGet": "path port host scheme httpHeaders[]",
  "spec.containers[].readinessProbe.httpGet.httpHeaders[]": "name value",
  "spec.containers[].readinessProbe.tcpSocket": "port host",
  "spec.containers[].readinessProbe.grpc": "port service",
  "spec.containers[].startupProbe":
    "exec httpGet tcpSocket grpc initialDelaySeconds timeoutSeconds periodSeconds successThreshold failureThreshold terminationGracePeriodSeconds",
  "spec.containers[].startupProbe.exec": "command[]",
  "spec.containers[].startupProbe.httpGet": "path port host scheme httpHeaders[]",
  "spec.containers[].startupProbe.httpGet.httpHeaders[]": "name value",
  "spec.containers[].startupProbe.tcpSocket": "port host",
  "spec.containers[].startupProbe.grpc": "port service",
  "spec.containers[].lifecycle": "postStart preStop stopSignal",
  "spec.containers[].lifecycle.postStart": "exec httpGet tcpSocket sleep",
  "spec.containers[].lifecycle.postStart.exec": "command[]",
  "spec.containers[].lifecycle.postStart.sleep": "seconds",
  "spec.containers[].lifecycle.preStop": "exec httpGet tcpSocket sleep",
  "spec.containers[].lifecycle.preStop.exec": "command[]",
  "spec.containers[].lifecycle.preStop.sleep": "seconds",
  "spec.containers[].securityContext":
    "capabilities privileged seLinuxOptions windowsOptions runAsUser runAsGroup runAsNonRoot readOnlyRootFilesystem allowPrivilegeEscalation procMount seccompProfile appArmorProfile",
  "spec.containers[].securityContext.capabilities": "add[] drop[]",
  "spec.securityContext":
    "seLinuxOptions windowsOptions runAsUser runAsGroup runAsNonRoot supplementalGroups[] supplementalGroupsPolicy fsGroup sysctls[] fsGroupChangePolicy seccompProfile appArmorProfile seLinuxChangePolicy",
  "spec.hostAliases[]": "ip hostnames[]",
  "spec.dnsConfig": "nameservers[] searches[] options[]",
  "spec.dnsConfig.options[]": "name value",
};
