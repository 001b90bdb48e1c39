"""The sets of values with which the tests render the chart: each option on and off, both brokers."""

from typing import Any

from tests.chart.helm import merged

_KEDA: dict[str, Any] = {"autoscaling": {"kind": "keda"}}
_ASK_BROKER: dict[str, Any] = {
    "autoscaling": {
        "kind": "keda",
        "keda": {
            "trigger": "broker",
            "rabbitmq": {"existingSecret": "management"},
            "redis": {"address": "redis.example:6379", "existingSecret": "redis-password"},
        },
    }
}
_JOBS: dict[str, Any] = {
    "mode": "scaledJob",
    "slots": 1,
    "door": {"separate": True},
    "autoscaling": {"minReplicas": 0},
}
_REDIS: dict[str, Any] = {"broker": {"kind": "redis"}}
_TLS = {"caKey": "ca.crt", "certKey": "tls.crt", "privateKeyKey": "tls.key"}
_METRICS = {name: {"enabled": True} for name in ("podMonitor", "serviceMonitor", "rules", "dashboards")}

CASES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "redis": _REDIS,
    "redis alone": merged(_REDIS, {"redis": {"existingSecret": ""}}),
    "a lane": {"lane": "urgent"},
    "own authorities and certificates": {"broker": _TLS, "redis": _TLS},
    "door apart": {"door": {"separate": True}},
    "encrypted": {"encryption": {"existingSecret": "corti-keys"}},
    "keda asks prometheus": _KEDA,
    "keda asks rabbitmq": _ASK_BROKER,
    "keda asks redis": merged(_ASK_BROKER, _REDIS),
    "keda asks redis without password": merged(
        _ASK_BROKER, _REDIS, {"autoscaling": {"keda": {"redis": {"existingSecret": ""}}}}
    ),
    "hpa": {"autoscaling": {"kind": "hpa"}},
    "hpa by own metrics": {
        "autoscaling": {
            "kind": "hpa",
            "hpa": {
                "metrics": [
                    {
                        "type": "External",
                        "external": {
                            "metric": {"name": "corti_load"},
                            "target": {"type": "AverageValue", "averageValue": "75"},
                        },
                    }
                ]
            },
        }
    },
    "jobs by prometheus": merged(_KEDA, _JOBS),
    "jobs by rabbitmq": merged(_ASK_BROKER, _JOBS),
    "jobs by redis": merged(_ASK_BROKER, _JOBS, _REDIS),
    "deletion cost": {"podDeletionCost": {"enabled": True}},
    "watched": {"metrics": _METRICS},
    "watched, with a runbook elsewhere": {
        "metrics": merged(_METRICS, {"rules": {"runbookUrl": "https://wiki.example/corti?page=runbook"}})
    },
    "unwatched": {"metrics": {"service": {"enabled": False}}},
    "bare": {
        "networkPolicy": {"enabled": False},
        "podDisruptionBudget": {"enabled": False},
        "serviceAccount": {"create": False},
    },
    "own addresses": {
        "corti": {
            "authUrl": "https://auth.example",
            "apiUrl": "https://api.example/v2",
            "streamUrl": "wss://api.example/audio-bridge/v2",
            "ca": {"secret": "corti-ca", "key": "bundle.pem"},
        },
        "networkPolicy": {
            "broker": {"to": [{"ipBlock": {"cidr": "10.1.2.0/24"}}], "ports": [5671]},
            "metrics": {"from": [{"namespaceSelector": {"matchLabels": {"team": "monitoring"}}}]},
            "extraEgress": [{"to": [{"ipBlock": {"cidr": "10.9.0.7/32"}}], "ports": [{"port": 9000}]}],
        },
    },
    "tenants": {
        "tenants": {
            "clinic-a": {"existingSecret": "corti-clinic-a"},
            "clinic.b": {
                "existingSecret": "corti-clinic-b",
                "clientIdKey": "id",
                "clientSecretKey": "secret",
                "caKey": "ca.pem",
                "tenant": "realm-b",
                "environment": "us",
                "authUrl": "https://auth.example",
                "apiUrl": "https://api.example/v2",
                "streamUrl": "wss://api.example/audio-bridge/v2",
                "maxStreams": 2000000,
                "retention": "none",
                "audioBuckets": "s3://visits/b/,gs://visits-b",
                "s3CredentialsKey": "s3",
                "gsCredentialsKey": "gs",
                "azCredentialsKey": "az",
            },
        },
        "door": {"separate": True},
    },
    "only tenants": {
        "corti": {"existingSecret": ""},
        "tenants": {"base": {"existingSecret": "corti-clinic-a", "maxStreams": 0}},
    },
    "everything else": {
        "image": {"digest": "sha256:" + "0" * 64},
        "imagePullSecrets": [{"name": "registry"}],
        "commonLabels": {"team": "speech"},
        "settings": {"log_level": "DEBUG", "keep": 2000000, "chunk_seconds": 0.5, "on_repeat": "republish"},
        "corti": {"ca": {"configMap": "corti-ca"}},
        "podAnnotations": {"a": "b"},
        "podLabels": {"c": "d"},
        "topologySpreadConstraints": [
            {"maxSkew": 2, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule"}
        ],
        "nodeSelector": {"pool": "speech"},
        "tolerations": [{"key": "speech", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
        "priorityClassName": "clinical",
        "serviceAccount": {"annotations": {"role": "x"}},
        "metrics": {"service": {"annotations": {"x": "y"}}},
        "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy.example:3128"}],
        "extraVolumes": [{"name": "recordings", "persistentVolumeClaim": {"claimName": "recordings"}}],
        "extraVolumeMounts": [{"name": "recordings", "mountPath": "/recordings", "readOnly": True}],
    },
    "demo": {"demo": {"enabled": True}},
    "demo on redis": merged(_REDIS, {"demo": {"enabled": True}}),
}

#: Versions of Kubernetes: the oldest that the chart supports, a common one, the newest with known schemas.
KUBERNETES = ("1.25.0", "1.32.0", "1.37.0")
