"""Imports run one way: the rooms of both packages, and what each may know of the outside."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.conftest import LONGEST
from tests.support.imports import Import, all_imports, circles, imports, modules, room

PACKAGES = ("kalshi_sim", "kalshi_train")
EDGES = all_imports(*PACKAGES)

# Bottom to top: a room imports rooms above its own place in this list, never below it.
ROOMS = (
    "entry arrival",
    "units errors extras text files sealed file_sets validated interrupts",
    "config features actions frames",
    "events market_info quality_report session gaps",
    "origins",
    "exclusive",
    "threads parallel spilling mapped",
    "kernels",
    "grid",
    "fees quality gate tape_gate",
    "market_state",
    "views",
    "ingest",
    "synthetic",
    "store",
    "cluster",
    "tape_rows",
    "tape",
    "tape_files",
    "tape_join shared_tapes",
    "tape_build",
    "tape_cache schedule analysis likeness",
    "session_tapes",
    "fills own own_compiled own_step settings simulator episodes",
    "cuda",
    "registration spaces infos env_spec gym_single_env gym_env vec_env",
    "live",
    "reference",
    "validation",
    "calibration",
    "cli",
)
TRAIN_ROOMS = (
    "safe_pickle",
    "defaults flag_types",
    "learner",
    "config_file config",
    "models",
    "data",
    "environments",
    "evaluation",
    "training",
    "tune",
    "trading",
    "report",
    "warm_up",
    "cli",
    "entry",
)
FLOORS = {
    f"{package}.{name}": i
    for package, rooms in (("kalshi_sim", ROOMS), ("kalshi_train", TRAIN_ROOMS))
    for i, names in enumerate(rooms)
    for name in names.split()
}

# Former import paths that people's code may still name; each only hands on its new place.
FORMER = {
    "kalshi_sim.ingest.synthetic",
    "kalshi_sim.ingest.synthetic_edge",
    "kalshi_train.algorithms",
    "kalshi_train.checkpoints",
    "kalshi_train.command_line",
}

# Imports inside functions that close a circle, and why each may.
KNOWN_CIRCLES: dict[frozenset[str], str] = {
    frozenset({"kalshi_sim.tape", "kalshi_sim.tape_files"}): (
        "a mapped tape is pickled as the folder it lies in, and opened from it again"
    ),
}


def unknown(found: list[list[str]]) -> list[list[str]]:
    """The circles for which no reason is given."""
    return [circle for circle in found if frozenset(circle) not in KNOWN_CIRCLES]


def graph(
    edges: Iterable[Import], names: Iterable[str], of: Callable[[str], str] = str
) -> dict[str, set[str]]:
    known = set(names)
    found: dict[str, set[str]] = {of(name): set() for name in known}
    for edge in edges:
        if {edge.importer, edge.imported} <= known and of(edge.importer) != of(edge.imported):
            found[of(edge.importer)].add(of(edge.imported))
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_no_modules_import_each_other_in_a_circle(package: str) -> None:
    edges = [e for e in EDGES if e.level == "module"]
    assert circles(graph(edges, modules(package))) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_no_functions_close_a_circle_of_modules(package: str) -> None:
    edges = [e for e in EDGES if e.level != "typing"]
    assert unknown(circles(graph(edges, modules(package)))) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_no_rooms_import_each_other_in_a_circle(package: str) -> None:
    edges = [e for e in EDGES if e.level != "typing" and e.importer not in FORMER]
    names = [m for m in modules(package) if m != package and m not in FORMER]
    assert unknown(circles(graph(edges, names, room))) == []


@pytest.mark.parametrize("module", sorted(FORMER))
def test_a_former_place_only_hands_on_names(module: str) -> None:
    tree = ast.parse(modules(*PACKAGES)[module].read_text("utf-8"))
    kinds = {type(node).__name__ for node in tree.body}
    assert kinds - {"Import"} == {"Expr", "ImportFrom", "Assign"}  # docstring, imports, __all__


def test_every_room_has_its_floor() -> None:
    known = {room(m) for m in modules(*PACKAGES) if m not in FORMER}
    assert known - set(PACKAGES) == set(FLOORS)


def test_rooms_import_downwards_only() -> None:
    upwards = [
        str(e)
        for e in EDGES
        if e.importer not in FORMER | set(PACKAGES)
        and e.level != "typing"
        and e.importer.partition(".")[0] == e.imported.partition(".")[0]
        and room(e.imported) in FLOORS
        and FLOORS[room(e.imported)] > FLOORS[room(e.importer)]
        and not any({room(e.importer), room(e.imported)} <= circle for circle in KNOWN_CIRCLES)
    ]
    assert upwards == []


def test_nothing_inside_goes_through_the_front_door() -> None:
    """`from kalshi_sim import Tape` inside it would run through every room's lazy import."""
    through = [
        str(e)
        for e in EDGES
        if e.imported == "kalshi_sim"
        and e.importer.startswith("kalshi_sim.")
        # __version__
        and e.importer.removeprefix("kalshi_sim.")
        not in ("cluster.node", "cluster.tasks", "tape_cache", "cli.shell")
    ]
    assert through == []


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("kalshi_sim", ("kalshi_train", "tests", "benchmarks", "support")),
        ("kalshi_train", ("tests", "benchmarks", "support")),
        ("tests", ("benchmarks",)),
        ("benchmarks", ("tests",)),
        ("support", ("tests", "benchmarks")),
    ],
)
def test_packages_do_not_know_of_each_other(package: str, forbidden: tuple[str, ...]) -> None:
    edges = [e for e in all_imports(package) if e.imported.split(".")[0] in forbidden]
    assert [str(e) for e in edges] == []


def test_kernels_know_nothing_of_the_package_but_units() -> None:
    known = [
        str(e)
        for e in EDGES
        if e.importer.startswith("kalshi_sim.kernels")
        and e.imported.startswith("kalshi_")
        and not e.imported.startswith("kalshi_sim.kernels")
        and e.imported != "kalshi_sim.units"
    ]
    assert known == []


# Which modules of kalshi_sim may import a library of the extras, at which level.
LIBRARIES = {
    "torch": {("kalshi_sim.cuda.torch_env", "module")},
    "stable_baselines3": {
        ("kalshi_sim.vec_env", "module"),
        ("kalshi_sim.validation", "function"),  # runs the library's own checker
    },
    "gymnasium": {
        ("kalshi_sim.env_spec", "module"),
        ("kalshi_sim.gym_env", "module"),
        ("kalshi_sim.gym_single_env", "module"),
        ("kalshi_sim.registration", "module"),
        ("kalshi_sim.spaces", "module"),
        ("kalshi_sim.vec_env", "module"),
        ("kalshi_sim.validation", "function"),  # runs the library's own checker
    },
    "asyncpg": {("kalshi_sim.store.postgres.connection", "module")},
    "plotly": set[tuple[str, str]](),
    "tensorboard": set[tuple[str, str]](),
}


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_of_an_extra_stays_where_it_belongs(library: str) -> None:
    users = {
        (e.importer, e.level)
        for e in EDGES
        if e.imported.split(".")[0] == library and e.importer.split(".")[0] == "kalshi_sim"
    }
    assert users == LIBRARIES[library]


@pytest.mark.parametrize("library", ["aiohttp", "cryptography"])
def test_what_speaks_to_an_exchange_stays_beside_the_live_market(library: str) -> None:
    users = {e.importer for e in EDGES if e.imported.split(".")[0] == library}
    apart = {f"kalshi_sim.live.{name}" for name in ("follower", "market", "portfolio", "rows")}
    assert users
    assert {name for name in users if not name.startswith("kalshi_sim.live.")} == set()
    assert users & apart == set()


def reached(start: str) -> set[str]:
    """All modules of kalshi_sim that importing one runs."""
    targets: dict[str, set[str]] = {}
    for edge in EDGES:
        if edge.level == "module":
            targets.setdefault(edge.importer, set()).add(edge.imported)
    seen, left = set[str](), [start]
    while left:
        module = left.pop()
        if module not in seen:
            seen.add(module)
            left += targets.get(module, ())
    return seen


@pytest.mark.parametrize(
    "module",
    [
        "kalshi_sim.simulator",
        "kalshi_sim.tape_cache",
        "kalshi_sim.live.market",
        "kalshi_sim.cli.commands",
    ],
)
def test_replay_and_stepping_need_no_library_of_the_extras(module: str) -> None:
    outside = {*LIBRARIES, "aiohttp", "cryptography"}
    assert not {name.split(".")[0] for name in reached(module)} & outside


def test_the_walk_sees_every_kind_of_import() -> None:
    source = (
        "import a.b\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import t\n"
        "def f():\n    from a import b, c\n"
    )
    found = [(e.imported, e.level) for e in imports("m", ast.parse(source), {"a.b"})]
    assert found == [
        ("a.b", "module"),
        ("typing", "module"),
        ("t", "typing"),
        ("a.b", "function"),
        ("a", "function"),
    ]


def test_circles_are_found() -> None:
    assert circles({"a": ["b"], "b": ["c"], "c": ["b"], "d": ["a"]}) == [["b", "c"]]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_room_has_a_folder_of_tests(package: str) -> None:
    """A folder of modules has a folder of tests of its name."""
    tests = Path(__file__).parent
    rooms = {room(m).rpartition(".")[2] for m in modules(package) if m.count(".") > 1}
    apart = {"reference": "simulation"}  # its tests are those of agreement with the kernels
    folders = {apart.get(name, name) for name in rooms}
    assert len(folders) >= 6
    assert [f for f in sorted(folders) if not list((tests / f).rglob("test_*.py"))] == []


# Files of tests that stand outside the folder of what they test, and why.
APART = {
    "test_docs": "documents",
    "test_docstrings": "every module",
    "test_examples": "notebooks",
    "test_additions": "what CONTRIBUTING says",
    "test_extras": "what is installed",
    "test_full_disk": "every writer",
    "test_imports": "every module",
    "test_language": "every text",
    "test_notebook": "the public names of both packages",
    "test_reprs": "objects of several rooms",
}


def test_tests_of_one_module_have_its_name() -> None:
    """Beside the folders only tests of a module of that name, or of what belongs to no room."""
    tests = {path.stem for path in Path(__file__).parent.glob("test_*.py")}
    named = {f"test_{room(m).rpartition('.')[2]}" for m in modules(*PACKAGES)}
    assert sorted(tests - named - APART.keys()) == []
    assert sorted(APART.keys() - tests) == []


def test_the_files_that_begin_first_are_there() -> None:
    assert [name for name in LONGEST if not (Path(__file__).parents[1] / name).is_file()] == []
