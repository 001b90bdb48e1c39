"""Renders the chart with the Helm command line, and finds objects in the output."""

import json
import subprocess
from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm/corti-worker"
NODE = Path(__file__).parent / "node"
HELM = NODE / "node_modules/.bin/helm"
RELEASE, NAMESPACE = "hospital", "speech"
NAME = f"{RELEASE}-corti-worker"
#: The values without which the chart does not render.
NEEDED: dict[str, Any] = {
    "corti": {"existingSecret": "corti-client"},
    "broker": {"existingSecret": "corti-broker"},
    "redis": {"existingSecret": "corti-redis"},
}

Object = dict[str, Any]


class Refused(Exception):
    """Helm failed; the text is its output."""


class Rendered(list[Object]):
    """The objects of one rendering."""

    def one(self, kind: str, name: str = NAME) -> Object:
        """The one object of this kind and name."""
        found = [item for item in self if (item["kind"], item["metadata"]["name"]) == (kind, name)]
        assert len(found) == 1, f"{len(found)} objects {kind}/{name}"
        return found[0]

    def has(self, kind: str) -> bool:
        """Whether there is an object of this kind."""
        return any(item["kind"] == kind for item in self)

    def pods(self) -> dict[str, Object]:
        """The specification of each pod, by `kind/name` of the object that makes it."""
        found = {}
        for item in self:
            where = f"{item['kind']}/{item['metadata']['name']}"
            match item["kind"]:
                case "Pod":
                    found[where] = item["spec"]
                case "Deployment":
                    found[where] = item["spec"]["template"]["spec"]
                case "ScaledJob":
                    found[where] = item["spec"]["jobTargetRef"]["template"]["spec"]
        return found

    def worker(self) -> Object:
        """The pod in which jobs run."""
        pods = self.pods()
        return pods.get(f"Deployment/{NAME}") or pods[f"ScaledJob/{NAME}"]


def merged(*parts: Mapping[str, Any]) -> dict[str, Any]:
    """Merge values as Helm does: maps are merged key by key, everything else is replaced."""
    result: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items():
            both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
            result[key] = merged(result[key], value) if both else value
    return result


def render(*values: Mapping[str, Any], kubernetes: str = "1.32.0") -> Rendered:
    """Render the chart with these values merged into the needed ones.

    Raises:
        Refused: Helm, the schema or the chart refused them.
    """
    return render_exactly(NEEDED, *values, kubernetes=kubernetes)


def render_exactly(*values: Mapping[str, Any], kubernetes: str = "1.32.0") -> Rendered:
    """Render the chart with these values and no others."""
    # JSON is YAML in which `y` cannot be read as a boolean.
    return deepcopy(_rendered(json.dumps(merged(*values)), kubernetes))


@cache
def _rendered(values: str, kubernetes: str) -> Rendered:
    text = run(
        *("template", RELEASE, str(CHART), "--namespace", NAMESPACE, "--kube-version", kubernetes),
        *("--values", "-"),
        given=values,
    )
    return Rendered(item for item in yaml.load_all(text, yaml.CSafeLoader) if item)


def run(*arguments: str, given: str = "") -> str:
    """Run Helm.

    Raises:
        Refused: Helm failed.
    """
    done = subprocess.run([HELM, *arguments], input=given, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Refused(done.stderr + done.stdout)
    return done.stdout


def container(pod: Object, name: str = "worker") -> Object:
    """A pod's container."""
    found: Object = next(item for item in pod["containers"] if item["name"] == name)
    return found


def environment(rendered: Rendered, pod: Object, name: str = "worker") -> dict[str, str]:
    """A container's environment variables: those of its ConfigMaps, overridden by its own."""
    spec, variables = container(pod, name), dict[str, str]()
    for source in spec.get("envFrom", []):
        variables |= rendered.one("ConfigMap", source["configMapRef"]["name"])["data"]
    return variables | {item["name"]: item["value"] for item in spec.get("env", []) if "value" in item}
