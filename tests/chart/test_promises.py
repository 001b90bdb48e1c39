"""The chart's promises to those who run it, one test for each."""

from pathlib import Path
from typing import Any

import pytest

from tests.chart.helm import NAME, NAMESPACE, Rendered, container, environment, render
from tests.chart.matrix import CASES
from worker.broker import redis_visibility
from worker.broker.topology import Lane
from worker.settings import Settings, load
from worker.settings.environment import variable
from worker.settings.tenants import FILES
from worker.telemetry import catalogue

SECRET_SETTINGS = {"client_secret", "broker_url", "redis_url", "encryption_keys"}
OURS = (f"Deployment/{NAME}", f"Deployment/{NAME}-door", f"ScaledJob/{NAME}")
every_case = pytest.mark.parametrize("case", CASES)


@pytest.fixture
def rendered(case: str) -> Rendered:
    return render(CASES[case])


@every_case
def test_the_worker_ends_by_itself_before_kubernetes_kills_it(rendered: Rendered) -> None:
    pod = rendered.worker()
    grace = float(environment(rendered, pod)["CORTI_WORKER_GRACE"])
    assert pod["terminationGracePeriodSeconds"] >= grace + 2


@every_case
def test_no_secret_lies_in_a_configmap_or_a_variable(rendered: Rendered) -> None:
    forbidden = {variable(field) for field in SECRET_SETTINGS}
    for item in rendered:
        if item["kind"] == "ConfigMap":
            assert not forbidden & item["data"].keys()
    for pod in rendered.pods().values():
        for spec in pod["containers"]:
            assert not forbidden & {entry["name"] for entry in spec.get("env", [])}


def test_the_chart_makes_no_secret_except_the_demos() -> None:
    assert [case for case in CASES if render(CASES[case]).has("Secret")] == ["demo", "demo on redis"]


@every_case
def test_liveness_and_startup_ask_no_dependency(rendered: Rendered) -> None:
    for where in OURS:
        if where in rendered.pods():
            spec = rendered.pods()[where]["containers"][0]
            assert spec["livenessProbe"]["httpGet"]["path"] == "/livez"
            assert spec["startupProbe"]["httpGet"]["path"] == "/startupz"
            assert spec["readinessProbe"]["httpGet"]["path"] == "/readyz"


@every_case
def test_the_worker_accepts_its_environment(rendered: Rendered, case: str, tmp_path: Path) -> None:
    """Each variable of our containers is a setting of the worker, with a valid value."""
    values = {
        "broker-url": "rediss://broker.example" if "redis" in case else "amqps://broker.example",
        "redis-url": "rediss://redis.example",
        "encryption-keys": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
    }
    for where in OURS:
        if where not in rendered.pods():
            continue
        pod = rendered.pods()[where]
        variables = environment(rendered, pod, pod["containers"][0]["name"])
        paths = {
            item["path"]
            for source in pod["volumes"][0]["projected"]["sources"]
            for item in source["secret"]["items"]
        }
        for name, value in variables.items():
            if name.endswith("_FILE") and value.startswith("/run/secrets/corti-worker/"):
                key = value.rpartition("/")[2]
                assert key in paths, f"{name} names a file that no Secret is mounted as"
                file = tmp_path / key
                file.write_text(values.get(key, "some text"))
                variables[name] = str(file)
        if "CORTI_WORKER_TENANTS_DIR" in variables:
            variables["CORTI_WORKER_TENANTS_DIR"] = str(tenants_volume(rendered, pod, tmp_path / where))
        if "CORTI_CA_FILE" in variables:
            (tmp_path / "ca").write_text("")
            variables["CORTI_CA_FILE"] = str(tmp_path / "ca")
        assert isinstance(load(variables), Settings)


#: A file of each form, in the place of a Secret's.
_CREDENTIALS = {
    "s3-credentials": "aws_access_key_id = a\naws_secret_access_key = b",
    "gs-credentials": '{"type": "service_account", "private_key": "c"}',
    "az-credentials": "account_name = d\naccount_key = ZQ==",
}


def tenants_volume(rendered: Rendered, pod: dict[str, Any], root: Path) -> Path:
    """Write the tenants' files as the kubelet would mount them."""
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == "tenants"]
    for source in volume["projected"]["sources"]:
        (kind,) = source
        data = rendered.one("ConfigMap", source[kind]["name"])["data"] if kind == "configMap" else {}
        for item in source[kind]["items"]:
            file = root / item["path"]
            file.parent.mkdir(parents=True, exist_ok=True)
            assert not file.exists()
            if kind == "secret":
                data = {item["key"]: _CREDENTIALS.get(file.name, f"{source[kind]['name']} {item['key']}")}
            file.write_text(data[item["key"]])
    return root


def test_each_tenant_of_the_values_is_one_of_the_worker(tmp_path: Path) -> None:
    rendered = render(CASES["tenants"])
    root = tenants_volume(rendered, rendered.worker(), tmp_path)
    first, second = load({"CORTI_WORKER_TENANTS_DIR": str(root)}).tenants
    assert (first.name, first.realm, first.client_id) == ("clinic-a", "clinic-a", "corti-clinic-a client-id")
    files = {"ca_file", "s3_credentials", "gs_credentials", "az_credentials"}
    assert second.model_dump(exclude={"client_secret", "secret_file", *files}) == {
        "name": "clinic.b",
        "realm": "realm-b",
        "client_id": "corti-clinic-b id",
        "environment": "us",
        "auth_url": "https://auth.example",
        "api_url": "https://api.example/v2",
        "stream_url": "wss://api.example/audio-bridge/v2",
        "max_streams": 2000000,
        "retention": "none",
        "audio_buckets": "s3://visits/b/,gs://visits-b",
    }
    assert first.audio_buckets is None
    assert all(second.store_credentials(kind) for kind in ("s3", "gs", "az"))
    assert second.client_secret.get_secret_value() == "corti-clinic-b secret"
    assert second.ca_file == root / "clinic.b/ca.crt"


def test_tenants_secrets_are_referred_to_and_never_copied() -> None:
    data = render(CASES["tenants"]).one("ConfigMap", f"{NAME}-tenants")["data"]
    assert {key.rpartition(".")[2] for key in data} <= FILES.keys() - {
        "client-id",
        "client-secret",
        "ca.crt",
        *_CREDENTIALS,
    }


def test_where_every_job_names_a_tenant_no_other_credentials_are_mounted() -> None:
    rendered = render(CASES["only tenants"])
    variables = environment(rendered, rendered.worker())
    assert not {"CORTI_CLIENT_ID_FILE", "CORTI_CLIENT_SECRET_FILE"} & variables.keys()


def test_a_tenants_changed_limit_starts_new_pods() -> None:
    def annotations(most: int) -> dict[str, str]:
        changed = {"tenants": {"clinic-a": {"existingSecret": "corti-clinic-a", "maxStreams": most}}}
        template = render(changed).one("Deployment")["spec"]["template"]["metadata"]
        found: dict[str, str] = template["annotations"]
        return found

    assert annotations(1) != annotations(2)


@every_case
def test_every_pod_meets_the_restricted_pod_security_standard(rendered: Rendered) -> None:
    for pod in rendered.pods().values():
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        allowed = {"configMap", "emptyDir", "projected", "secret", "persistentVolumeClaim", "name"}
        assert all(volume.keys() <= allowed for volume in pod["volumes"])
        for spec in pod["containers"]:
            context = spec["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert context["readOnlyRootFilesystem"] is True
            assert spec["resources"]["requests"].keys() == {"cpu", "memory"}
            assert "memory" in spec["resources"]["limits"]


@every_case
def test_what_a_worker_copies_fits_into_its_temporary_volume(rendered: Rendered) -> None:
    pod = rendered.worker()
    (limit,) = [volume["emptyDir"]["sizeLimit"] for volume in pod["volumes"] if volume["name"] == "tmp"]
    (place,) = [mount for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == "tmp"]
    copies = int(environment(rendered, pod)["CORTI_WORKER_SPOOL_BYTES"])
    assert place["mountPath"] == "/tmp"  # noqa: S108  # where Python looks for a place
    assert int(limit.removesuffix("Mi")) << 20 == copies + (256 << 20)
    assert not place.get("readOnly", False)


def test_the_place_for_copies_is_as_large_as_one_likes() -> None:
    rendered = render({"spoolMebibytes": 20_480})
    assert environment(rendered, rendered.worker())["CORTI_WORKER_SPOOL_BYTES"] == str(20_480 << 20)
    assert {"name": "tmp", "emptyDir": {"sizeLimit": "20736Mi"}} in rendered.worker()["volumes"]


@every_case
def test_no_token_for_the_kubernetes_api_is_mounted_into_a_worker(rendered: Rendered) -> None:
    for pod in rendered.pods().values():
        assert pod["automountServiceAccountToken"] is False
        token = {v["name"] for v in pod["volumes"] if "serviceAccountToken" in str(v)}
        for spec in pod["containers"]:
            mounted = token & {mount["name"] for mount in spec["volumeMounts"]}
            assert not mounted or spec["name"] == "deletion-cost"


@every_case
def test_changed_settings_start_new_pods(rendered: Rendered, case: str) -> None:
    changed = render(CASES[case], {"settings": {"attempts": 7}})
    for item, other in zip(rendered, changed, strict=True):
        if f"{item['kind']}/{item['metadata']['name']}" in OURS:
            assert "attempts" not in str(item)
            assert item["spec"] != other["spec"]


@every_case
def test_selectors_find_the_pods_they_are_for_and_no_others(rendered: Rendered) -> None:
    labels = {
        f"{item['kind']}/{item['metadata']['name']}": item["spec"]["template"]["metadata"]["labels"]
        for item in rendered
        if item["kind"] == "Deployment"
    }
    for item in rendered:
        where = f"{item['kind']}/{item['metadata']['name']}"
        match item["kind"]:
            case "Deployment":
                wanted, found = {where}, matching(labels, item["spec"]["selector"]["matchLabels"])
            case "Service":
                server = where.replace("Service", "Deployment")
                wanted = {server} if server in labels else set(OURS) & labels.keys()
                found = matching(labels, item["spec"]["selector"])
            case "PodMonitor":
                wanted = set(OURS) & labels.keys()
                found = matching(labels, item["spec"]["selector"]["matchLabels"])
            case "NetworkPolicy":
                wanted = set(OURS) & labels.keys()
                found = matching(labels, item["spec"]["podSelector"]["matchLabels"])
            case "PodDisruptionBudget":
                wanted = {where.replace("PodDisruptionBudget", "Deployment")}
                found = matching(labels, item["spec"]["selector"]["matchLabels"])
            case _:
                continue
        assert found == wanted, where


def matching(labels: dict[str, dict[str, str]], selector: dict[str, str]) -> set[str]:
    return {where for where, given in labels.items() if selector.items() <= given.items()}


@pytest.mark.parametrize(
    ("case", "runbook"),
    [
        ("watched", "ops/runbook.md"),
        ("watched, with a runbook elsewhere", "https://wiki.example/corti?page=runbook"),
    ],
)
def test_each_alert_leads_to_its_heading_in_the_runbook(rendered: Rendered, runbook: str) -> None:
    rules = [
        rule
        for group in rendered.one("PrometheusRule")["spec"]["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]
    assert rules
    for rule in rules:
        assert rule["annotations"]["runbook_url"] == f"{runbook}#{rule['alert'].lower()}"


def test_the_service_monitor_finds_the_service() -> None:
    rendered = render(CASES["watched"])
    selector = rendered.one("ServiceMonitor")["spec"]["selector"]["matchLabels"]
    assert selector.items() <= rendered.one("Service", f"{NAME}-metrics")["metadata"]["labels"].items()


def test_egress_goes_to_named_ports_only_and_never_to_a_clouds_metadata_service() -> None:
    for case in CASES:
        rendered = render(CASES[case])
        if not rendered.has("NetworkPolicy"):
            assert case == "bare"
            continue
        policy = rendered.one("NetworkPolicy")["spec"]
        assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
        assert all(rule["ports"] for rule in policy["egress"])
        for rule in policy["egress"]:
            for peer in rule.get("to", []):
                block = peer.get("ipBlock", {})
                if block.get("cidr") == "0.0.0.0/0":
                    assert "169.254.0.0/16" in block["except"]
                if block.get("cidr") == "::/0":
                    assert {"fc00::/7", "fe80::/10"} <= set(block["except"])
        web = [rule for rule in policy["egress"] if {"port": 443, "protocol": "TCP"} in rule["ports"]]
        assert all("to" in rule for rule in web) or case == "deletion cost"


def test_scaling_down_is_slow_and_takes_one_worker_at_a_time() -> None:
    hpa = render(CASES["hpa"]).one("HorizontalPodAutoscaler")["spec"]["behavior"]
    keda = render(CASES["keda asks prometheus"]).one("ScaledObject")["spec"]
    for behavior in (hpa, keda["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]):
        down = behavior["scaleDown"]
        assert down["stabilizationWindowSeconds"] >= 600
        assert [(policy["type"], policy["value"]) for policy in down["policies"]] == [("Pods", 1)]
        assert behavior["scaleUp"]["stabilizationWindowSeconds"] == 0


def test_a_deployment_that_is_scaled_says_no_number_of_replicas() -> None:
    assert render().one("Deployment")["spec"]["replicas"] == 2
    for case in ("hpa", "keda asks prometheus", "keda asks redis"):
        assert "replicas" not in render(CASES[case]).one("Deployment")["spec"], (
            "Helm upgrades undo the scaling"
        )


def test_keda_counts_what_waits_and_what_runs_and_an_empty_answer_scales_nothing() -> None:
    metadata = render(CASES["keda asks prometheus"], {"lane": "urgent"}).one("ScaledObject")["spec"][
        "triggers"
    ][0]["metadata"]
    assert metadata["query"] == (
        f'sum(max by (queue, state) (corti_queue_depth{{namespace="{NAMESPACE}",pod=~"{NAME}-.*",'
        'queue=~"corti[.]jobs[.]urgent|corti[.]work[.]urgent",state=~"waiting|running"}))'
    )
    assert metadata["threshold"] == "75"
    assert metadata["ignoreNullValues"] == "false"


def test_the_metrics_that_keda_and_the_deletion_cost_read_are_exported() -> None:
    names = {measure.name for measure in catalogue.EVERY}
    assert {"corti_queue_depth", "corti_jobs_running"} <= names


def test_keda_adds_up_the_numbers_that_the_broker_gives() -> None:
    for case, formula in (
        ("keda asks rabbitmq", "jobs + work"),
        ("keda asks redis", "jobs + work + running"),
    ):
        spec = render(CASES[case]).one("ScaledObject")["spec"]
        assert spec["advanced"]["scalingModifiers"] == {
            "formula": formula,
            "target": "75",
            "metricType": "AverageValue",
        }
        assert {trigger["name"] for trigger in spec["triggers"]} == set(formula.split(" + "))
    for case in ("jobs by rabbitmq", "jobs by redis"):
        spec = render(CASES[case]).one("ScaledJob")["spec"]
        assert spec["scalingStrategy"] == {"strategy": "default", "multipleScalersCalculation": "sum"}


def test_rabbitmq_is_asked_over_http_because_only_so_it_counts_what_runs() -> None:
    for trigger in render(CASES["keda asks rabbitmq"]).one("ScaledObject")["spec"]["triggers"]:
        assert (trigger["metadata"]["protocol"], trigger["metadata"]["excludeUnacknowledged"]) == (
            "http",
            "false",
        )


def test_redis_is_asked_for_the_keys_that_celery_keeps_its_jobs_in() -> None:
    for name in ("", "urgent"):
        lane = Lane(name)
        spec = render(CASES["keda asks redis"], {"lane": name}).one("ScaledObject")["spec"]
        keys = {trigger["metadata"]["listName"] for trigger in spec["triggers"]}
        assert keys == {lane.jobs, lane.work, redis_visibility.unacked(lane)}


def test_a_worker_that_keda_starts_as_a_job_ends_by_itself_and_is_never_started_again() -> None:
    rendered = render(CASES["jobs by prometheus"])
    pod = rendered.worker()
    variables = environment(rendered, pod)
    assert variables["CORTI_WORKER_IDLE_EXIT"] == "60"
    assert variables["CORTI_WORKER_DOOR"] == "false"
    assert pod["restartPolicy"] == "Never"
    assert rendered.one("ScaledJob")["spec"]["jobTargetRef"]["backoffLimit"] == 0
    assert container(rendered.pods()[f"Deployment/{NAME}-door"], "door")["args"] == ["door"]


def test_a_rollout_starts_new_workers_before_it_ends_old_ones() -> None:
    update = render().one("Deployment")["spec"]["strategy"]["rollingUpdate"]
    assert update == {"maxSurge": "25%", "maxUnavailable": 0}


def test_with_a_door_apart_workers_take_in_no_messages() -> None:
    rendered = render(CASES["door apart"])
    assert environment(rendered, rendered.worker())["CORTI_WORKER_DOOR"] == "false"
    assert environment(render(), render().worker())["CORTI_WORKER_DOOR"] == "true"


def test_a_node_drain_takes_neither_all_workers_nor_all_doors() -> None:
    for case, names in (
        ("defaults", [NAME]),
        ("door apart", [NAME, f"{NAME}-door"]),
        ("jobs by prometheus", [f"{NAME}-door"]),
    ):
        budgets = [item for item in render(CASES[case]) if item["kind"] == "PodDisruptionBudget"]
        assert [budget["metadata"]["name"] for budget in budgets] == names
        assert all(budget["spec"]["maxUnavailable"] == 1 for budget in budgets)


def test_a_draining_worker_is_still_scraped() -> None:
    assert render().one("Service", f"{NAME}-metrics")["spec"]["publishNotReadyAddresses"] is True


def test_a_digest_is_used_rather_than_a_tag() -> None:
    image = container(render(CASES["everything else"], {"image": {"tag": "9"}}).worker())["image"]
    assert image.endswith("corti-worker@sha256:" + "0" * 64)


def test_large_numbers_keep_their_digits() -> None:
    rendered = render(CASES["everything else"])
    variables = environment(rendered, rendered.worker())
    assert (variables["CORTI_WORKER_KEEP"], variables["CORTI_WORKER_CHUNK_SECONDS"]) == ("2000000", "0.5")


def test_the_demo_reaches_only_servers_that_it_brings() -> None:
    for case in ("demo", "demo on redis"):
        rendered = render(CASES[case])
        services = {item["metadata"]["name"]: item for item in rendered if item["kind"] == "Service"}
        secret = rendered.one("Secret", f"{NAME}-demo")["stringData"]
        variables = environment(rendered, rendered.worker())
        for url in (
            *(v for v in secret.values() if "://" in v),
            *(v for v in variables.values() if "://" in v),
        ):
            host, _, port = url.partition("://")[2].partition("/")[0].rpartition("@")[2].partition(":")
            assert services[host]["spec"]["ports"][0]["port"] == int(port), url
        policy = rendered.one("NetworkPolicy")["spec"]["egress"]
        ports = {port["port"] for rule in policy for port in rule["ports"]}
        assert {item["spec"]["ports"][0]["port"] for item in services.values()} - {9464} <= ports
