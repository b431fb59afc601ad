"""The rules of the house, held over the syntax trees: who imports whom, sizes, names, documents."""

from __future__ import annotations

import ast
import importlib
import json
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

from artrec import archive, picture
from artrec.commands.settings import reference
from artrec.config import documented
from artrec.failpoints import POINTS
from artrec.stages import JOBS, NAMES, RESULT_VERSIONS, rejects
from tests.commands.small_store import publish_paintings

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "artrec"

CORE = {
    *("artrec", "errors", "schemas", "digests", "config", "log", "failpoints"),
    *("storage", "tables", "releases", "planning"),
}
SECOND = {"vectors", "picture"}
CRAFTS = {
    *("archive", "labels", "encoders", "sample"),
    *("index", "evaluation", "load", "report", "users"),
}
DOORS = {"stages", "commands", "cli", "__main__"}

CORE_PACKAGES = {
    *("pyarrow", "numpy", "pydantic", "pydantic_settings", "pydantic_core", "yaml", "structlog"),
}
SECOND_PACKAGES = {"numpy", "PIL"}
ONLY_IN = {
    "boto3": "artrec.storage.s3",
    "botocore": "artrec.storage.s3",
    "google": "artrec.storage.cloud.gcs",
    "requests": "artrec.storage.cloud.gcs",
    "azure": "artrec.storage.cloud.azure",
}

LONGEST_FUNCTION, LONGEST_MODULE, LONG_MODULE = 90, 400, 300


@dataclass(frozen=True)
class Module:
    """One file of the package and its syntax tree."""

    path: Path

    @property
    def name(self) -> str:
        parts = self.path.relative_to(REPOSITORY).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @property
    def room(self) -> str:
        """The top-level module or folder; the package's own ``__init__`` is ``artrec``."""
        return (*self.name.split("."), "artrec")[1] if self.name != "artrec" else "artrec"

    @cached_property
    def source(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source, str(self.path))

    @cached_property
    def imports(self) -> list[tuple[str, int]]:
        """(dotted name, line) of every import, wherever it stands."""
        return list(_imports(self.tree))


def _imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            # what stands behind "from artrec import" may be a module or a name
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)
        elif _imports_by_text(node):
            assert isinstance(node, ast.Call)
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant):
                yield str(first.value), node.lineno


def _imports_by_text(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    called = node.func
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
    return name in ("import_module", "__import__")


MODULES = [Module(path) for path in sorted(PACKAGE.rglob("*.py"))]
BY_NAME = {module.name: module for module in MODULES}


def room_of(imported: str) -> str | None:
    """The room of the package that an import reaches; None for other packages."""
    parts = imported.split(".")
    if parts[0] != "artrec":
        return None
    known = len(parts) > 1 and f"artrec.{parts[1]}" in BY_NAME
    return parts[1] if known else "artrec"


def wrong_imports(rooms: set[str], may_import: dict[str, set[str]]) -> list[str]:
    return [
        f"{module.name}:{line} imports {imported}"
        for module in MODULES
        if module.room in rooms
        for imported, line in module.imports
        if (room := room_of(imported)) is not None
        and room != module.room
        and room not in may_import[module.room]
    ]


def foreign(module: Module) -> list[tuple[str, int]]:
    """Imports of what belongs neither to Python nor to artrec."""
    return [
        (imported.split(".")[0], line)
        for imported, line in module.imports
        if imported.split(".")[0] not in sys.stdlib_module_names
        and imported.split(".")[0] != "artrec"
    ]


def is_at_home(package: str, module: Module) -> bool:
    """Whether the package may be used here, and almost nowhere else."""
    home = ONLY_IN.get(package)
    return home is not None and f"{module.name}.".startswith(f"{home}.")


# -- floors ---------------------------------------------------------------------------------


def test_every_room_has_its_floor() -> None:
    rooms = {module.room for module in MODULES}
    assert rooms - (CORE | SECOND | CRAFTS | DOORS) == set()


def test_the_trees_are_read_right() -> None:
    assert len(MODULES) > 30
    assert ("pyspark.sql.SparkSession", "stages") in {
        (imported, module.room) for module in MODULES for imported, _ in module.imports
    }
    assert (room_of("artrec.log.get"), room_of("artrec.log")) == ("log", "log")
    assert (room_of("artrec.__version__"), room_of("numpy.typing")) == ("artrec", None)
    found = list(_imports(ast.parse("def f():\n    from a.b import c\n    import_module('d.e')")))
    assert found == [("a.b.c", 2), ("d.e", 3)]


def test_the_core_stands_on_the_core_alone() -> None:
    assert wrong_imports(CORE, dict.fromkeys(CORE, CORE)) == []


def test_the_second_floor_stands_on_the_core_alone() -> None:
    assert wrong_imports(SECOND, dict.fromkeys(SECOND, CORE)) == []


def test_no_craft_knows_another() -> None:
    assert wrong_imports(CRAFTS, dict.fromkeys(CRAFTS, CORE | SECOND)) == []


def test_nobody_below_the_doors_imports_a_door() -> None:
    wrong = [
        f"{module.name}:{line} imports {imported}"
        for module in MODULES
        if module.room not in DOORS
        for imported, line in module.imports
        if room_of(imported) in DOORS
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("rooms", "packages"),
    [(CORE, CORE_PACKAGES), (SECOND, SECOND_PACKAGES)],
    ids=["core", "second"],
)
def test_a_floor_uses_its_own_packages_alone(rooms: set[str], packages: set[str]) -> None:
    wrong = [
        f"{module.name}:{line} imports {package}"
        for module in MODULES
        if module.room in rooms
        for package, line in foreign(module)
        if package not in packages and not is_at_home(package, module)
    ]
    assert wrong == []


def test_clients_of_object_stores_are_used_behind_the_store_alone() -> None:
    wrong = [
        f"{module.name}:{line} imports {package}"
        for module in MODULES
        for package, line in foreign(module)
        if package in ONLY_IN and not is_at_home(package, module)
    ]
    assert wrong == []


# -- Spark ----------------------------------------------------------------------------------

SPARK_PACKAGES = {"pyspark", "py4j"}


def test_only_the_stages_know_spark() -> None:
    wrong = [
        f"{module.name}:{line}"
        for module in MODULES
        if module.room != "stages"
        for package, line in foreign(module)
        if package in SPARK_PACKAGES
    ]
    assert wrong == []


def test_the_stages_use_dataframes_alone() -> None:
    wrong = [
        f"{module.name}:{node.lineno} uses .{node.attr}"
        for module in MODULES
        if module.room == "stages"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute)
        and (
            node.attr in ("rdd", "broadcast", "accumulator", "parallelize", "_jvm", "_jsc", "_jdf")
            or (node.attr == "sparkContext" and module.name != "artrec.stages.session.spark")
        )
    ]
    assert wrong == []


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )


IMPORTED = (
    "import sys, json; {}; print(json.dumps(sorted({{m.split('.')[0] for m in sys.modules}})))"
)


@pytest.mark.parametrize("code", ["import artrec", "import artrec.cli"])
def test_neither_spark_nor_torch_is_imported_with_artrec(code: str) -> None:
    loaded = set(json.loads(python(IMPORTED.format(code)).stdout))
    assert "artrec" in loaded
    assert loaded & {"pyspark", "py4j", "torch", "pandas", "annoy"} == set()


def test_a_lookup_needs_neither_spark_nor_torch(tmp_path: Path) -> None:
    publish_paintings(tmp_path, "mine")
    code = (
        "import sys, json\nfrom artrec.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    )
    said = python(code, "lookup", "loose.jpg", "-k", "1", "--root", str(tmp_path)).stdout
    assert "joaquín sorolla" in said
    loaded = set(json.loads(said.splitlines()[-1]))
    assert "pyarrow" in loaded
    assert loaded & {"pyspark", "py4j", "torch", "pandas", "annoy"} == set()


# -- modules and functions ------------------------------------------------------------------

NAMED = [m for m in MODULES if m.path.name != "__main__.py"]
every_module = pytest.mark.parametrize("module", NAMED, ids=[m.name for m in NAMED])


def exported(module: Module) -> list[str] | None:
    for node in module.tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            names = ast.literal_eval(node.value)
            assert isinstance(names, list)
            return names
    return None


def top_level(module: Module) -> dict[str, ast.AST]:
    """Names that a module binds at its top, each with the node that does."""
    found: dict[str, ast.AST] = {}
    for node in module.tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            bound = (each for target in targets for each in ast.walk(target))
            found |= {each.id: node for each in bound if isinstance(each, ast.Name)}
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(a.asname or a.name).split(".")[0]: node for a in node.names}
    return found


def defines_names(module: Module) -> bool:
    return any(
        not isinstance(node, ast.Import | ast.ImportFrom) and not name.startswith("_")
        for name, node in top_level(module).items()
    )


@pytest.mark.parametrize("module", MODULES, ids=[m.name for m in MODULES])
def test_every_module_says_what_it_is(module: Module) -> None:
    text = ast.get_docstring(module.tree)
    assert text, f"{module.path} has no docstring"
    assert text.splitlines()[0].rstrip().endswith((".", ":", "?")) or "\n\n" not in text


@every_module
def test_every_module_lists_its_public_names_in_order(module: Module) -> None:
    names = exported(module)
    if names is None:
        assert not defines_names(module), f"{module.name} defines names and has no __all__"
        return
    assert names == sorted(names)
    assert len(names) == len(set(names))
    if module.name == "artrec":  # its names are looked up when they are first used
        return
    assert [name for name in names if name not in top_level(module)] == []


def test_the_public_names_of_artrec_lead_somewhere() -> None:
    artrec = importlib.import_module("artrec")
    homes: dict[str, str] = artrec.__dict__["_HOMES"]
    assert sorted(homes) == sorted(artrec.__all__)
    for name, home in homes.items():
        assert name in (exported(BY_NAME[home]) or []), f"{home} does not export {name}"


@every_module
def test_public_functions_and_classes_have_docstrings(module: Module) -> None:
    bound = top_level(module)
    bare = [
        name
        for name in exported(module) or []
        if isinstance(node := bound.get(name), ast.FunctionDef | ast.ClassDef)
        and not ast.get_docstring(node)
    ]
    assert bare == []


def test_parquet_is_opened_at_one_place_without_threads_that_may_abort_a_process() -> None:
    """Verify has code of its own, and says itself that it wants none."""
    callers = {module.name for module in MODULES if "pq.ParquetFile(" in module.source}
    assert callers == {"artrec.releases.verify"}


def test_no_function_is_longer_than_90_lines() -> None:
    long = [
        f"{module.name}.{node.name}: {size} lines"
        for module in MODULES
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (size := (node.end_lineno or 0) - node.lineno + 1) > LONGEST_FUNCTION
    ]
    assert long == []


def test_no_module_is_longer_than_400_lines() -> None:
    sizes = {module.name: len(module.source.splitlines()) for module in MODULES}
    for name, size in sizes.items():
        if LONG_MODULE < size <= LONGEST_MODULE:
            with warnings.catch_warnings():
                warnings.simplefilter("default")
                warnings.warn(f"{name} has {size} lines; a folder from about 300", stacklevel=1)
    assert {name: size for name, size in sizes.items() if size > LONGEST_MODULE} == {}


# -- settings -------------------------------------------------------------------------------


def test_the_reference_of_settings_is_that_of_the_code() -> None:
    found = (REPOSITORY / "conf" / "README.md").read_text(encoding="utf-8")
    assert found == reference(), "run python -m artrec.commands.settings > conf/README.md"


def test_every_setting_says_what_it_is_for() -> None:
    for keys in documented().values():
        for key, kind, _, text in keys:
            assert kind, key
            assert text.endswith("."), f"{key}: {text!r} is no sentence"
            assert "|" not in text, f"{key}: its sentence breaks the table of conf/README.md"


# -- stages, jobs, failpoints ---------------------------------------------------------------


def test_every_stage_has_a_module_and_a_job() -> None:
    jobs = {path.stem for path in (REPOSITORY / "jobs").glob("*.py")} - {
        "doctor",
        "compare",
        "query",
        "reconstruct",
    }
    assert jobs == {*NAMES, "train", "nightly"} == {*JOBS}
    assert {*NAMES} == {*RESULT_VERSIONS, "publish"} - {"train"}
    for name in jobs:
        module = BY_NAME[f"artrec.stages.{name}"]
        run = top_level(module)["run"]
        assert isinstance(run, ast.FunctionDef)
        assert [argument.arg for argument in run.args.args] == ["spark", "settings", "draft"]


@pytest.mark.parametrize("name", JOBS)
def test_a_job_is_a_docstring_two_imports_and_a_call(name: str) -> None:
    tree = ast.parse((REPOSITORY / "jobs" / f"{name}.py").read_text(encoding="utf-8"))
    assert f"jobs/{name}.py" in (ast.get_docstring(tree) or "")
    assert [ast.unparse(node) for node in tree.body[1:]] == [
        f"from artrec.stages import {name}",
        "from artrec.stages.session import submit",
        f"if __name__ == '__main__':\n    submit({name}.run)",
    ]


def reached_points() -> tuple[set[str], set[str]]:
    """Literal points, and patterns of those whose stage is filled in."""
    literals, patterns = set(), set()
    for module in MODULES:
        for node in ast.walk(module.tree):
            called = isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1]
            if called != "reached" or module.name == "artrec.failpoints":
                continue
            assert isinstance(node, ast.Call)
            point = node.args[0]
            if isinstance(point, ast.Constant):
                literals.add(str(point.value))
            else:
                assert isinstance(point, ast.JoinedStr), ast.unparse(point)
                parts = (
                    re.escape(str(p.value)) if isinstance(p, ast.Constant) else r"\w+"
                    for p in point.values
                )
                patterns.add("".join(parts))
    return literals, patterns


def test_every_failpoint_is_reached_somewhere_and_every_reached_one_is_listed() -> None:
    literals, patterns = reached_points()
    assert len(set(POINTS)) == len(POINTS)
    assert literals - set(POINTS) == set()
    unreached = [
        point
        for point in POINTS
        if point not in literals and not any(re.fullmatch(p, point) for p in patterns)
    ]
    assert unreached == []
    for pattern in patterns:
        assert any(re.fullmatch(pattern, point) for point in POINTS), pattern


# -- reasons --------------------------------------------------------------------------------


SHARED = {"truncated"}
"""Said of a member whose bytes end early, in its archive or as a picture; both are of ingest."""


def test_every_reason_belongs_to_one_stage() -> None:
    assert {*archive.REASONS} & {*picture.REASONS} == SHARED
    own = {reason: stage for reason, stage in rejects.REASONS.items() if stage != "ingest"}
    own["forgotten"] = "ingest"  # no fault of the picture's
    assert not {*own} & {*archive.REASONS, *picture.REASONS}
    assert {*rejects.REASONS} == {*archive.REASONS, *picture.REASONS, *own}
    assert {*rejects.REASONS.values()} <= {*NAMES, "query"}
    assert all(re.fullmatch(r"[a-z]+(_[a-z0-9]+)*", reason) for reason in rejects.REASONS)


def test_no_other_module_has_reasons_of_its_own() -> None:
    homes = {m.name for m in MODULES if "REASONS" in bound_here(m)}
    assert homes == {"artrec.archive", "artrec.picture.records", "artrec.stages.rejects"}


def bound_here(module: Module) -> set[str]:
    imported = ast.Import | ast.ImportFrom
    return {name for name, node in top_level(module).items() if not isinstance(node, imported)}


def test_every_reason_that_is_given_is_in_the_list() -> None:
    """Literal reasons of ``Reject("...")``, ``Rejected("...")`` and the like."""
    given = set()
    for module in MODULES:
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func).split(".")[-1]
            words = [k.value for k in node.keywords if k.arg == "reason"]
            if name in ("Reject", "Rejected", "PictureError"):
                words += node.args[:1]
            given |= {w.value for w in words if isinstance(w, ast.Constant) and w.value}
    assert len(given) > 5
    assert given - {*rejects.REASONS} == set()
