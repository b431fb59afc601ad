"""Settings: layers and their origins, refusals that name the key, and what counts as a result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artrec.config import Settings, documented, flat, load, ranges
from artrec.errors import ConfigError

Environment = dict[str, str]
NOTHING: Environment = {}


def file_of(folder: Path, text: str) -> str:
    file = folder / "settings.yaml"
    file.write_text(text, encoding="utf-8")
    return str(file)


def refusal(
    file: str | None = None,
    assignments: tuple[str, ...] = (),
    environment: Environment | None = None,
) -> str:
    with pytest.raises(ConfigError) as caught:
        load(file, assignments, environment or {})
    assert caught.value.exit_code == 3
    return str(caught.value)


# -- layers ---------------------------------------------------------------------------------


def test_without_anything_all_keys_have_their_defaults() -> None:
    found, origins = load(None, (), NOTHING)
    assert (found.neighbors.k, found.encoder.id, found.store.root) == (
        50,
        "",
        "./artrec-out",
    )
    assert (found.ingest.max_side, found.sources) == (0, {})
    assert set(origins.values()) == {"default"}


def test_each_layer_wins_over_those_before_and_is_named_as_the_origin(tmp_path: Path) -> None:
    file = file_of(
        tmp_path, "neighbors: {k: 10, slack: 1}\nstore: {root: /file}\nembed: {batch: 2}"
    )
    environment = {"ARTREC_NEIGHBORS__K": "20", "ARTREC_STORE__ROOT": "/environment"}
    found, origins = load(file, ["neighbors.k=30"], environment)
    assert (found.neighbors.k, found.store.root) == (30, "/environment")
    assert (found.neighbors.slack, found.embed.batch) == (1, 2)
    picked = ("neighbors.k", "store.root", "neighbors.slack", "embed.batch", "ingest.max_side")
    assert [origins[key] for key in picked] == [
        "--set neighbors.k=30", "environment", file, file, "default",
    ]  # fmt: skip


def test_of_two_assignments_the_later_wins() -> None:
    found, origins = load(None, ["neighbors.k=3", "neighbors.k=4"], NOTHING)
    assert (found.neighbors.k, origins["neighbors.k"]) == (4, "--set neighbors.k=4")


def test_layers_add_to_one_source(tmp_path: Path) -> None:
    file = file_of(tmp_path, "sources:\n  main: {template: '{artist}', id_prefix: m/}")
    environment = {"ARTREC_SOURCES__OTHER__URL": "/environment.zip"}
    found, origins = load(file, ["sources.main.url=/set.zip"], environment)
    assert sorted(found.sources) == ["main", "other"]
    assert found.sources["main"].model_dump() == {
        "url": "/set.zip", "kind": "auto", "id_prefix": "m/", "template": "{artist}", "labels": "",
    }  # fmt: skip
    assert found.sources["other"].url == "/environment.zip"
    assert origins["sources.main.url"] == "--set sources.main.url=/set.zip"
    assert origins["sources.main.template"] == file
    assert origins["sources.other.template"] == "default"


def test_every_key_has_an_origin() -> None:
    found, origins = load(None, ["sources.main.url=a.zip"], NOTHING)
    assert set(origins) == set(flat(found.model_dump()))


def test_labels_of_extra_are_columns_however_they_are_written(tmp_path: Path) -> None:
    text = "neighbors: {tables: {shop: {only: {extra.public: 'yes', year: 1890}, k: 5}}}"
    set_ = ["neighbors.tables.shop.only.extra.size=3", "neighbors.tables.two.at_most.extra.a=2"]
    found = load(file_of(tmp_path, text), set_, NOTHING)[0].neighbors.tables
    assert found["shop"].only == {"extra.public": "yes", "year": "1890", "extra.size": "3"}
    assert found["shop"].k == 5
    assert found["two"].at_most == {"extra.a": 2}


def test_the_examples_of_tables_under_rules_are_settings() -> None:
    file = Path(__file__).parents[1] / "conf/rules.yaml"
    tables = load(str(file), (), NOTHING)[0].neighbors.tables
    assert list(tables) == ["in_style", "other_artists", "in_shop", "mixed"]
    assert tables["other_artists"].at_most == {"artist": 2}
    assert tables["in_shop"].only == {"extra.for_sale": "yes"}


def test_the_environment_is_read_where_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTREC_NEIGHBORS__K", "7")
    assert load()[0].neighbors.k == 7


@pytest.mark.parametrize(
    ("environment", "key", "value"),
    [
        ({"ARTREC_INGEST__FORMATS": '["PNG", "JPEG"]'}, "ingest.formats", ["PNG", "JPEG"]),
        ({"ARTREC_CATALOG__EMBEDDINGS": "false"}, "catalog.embeddings", False),
        ({"ARTREC_NEIGHBORS": '{"k": 3}'}, "neighbors.k", 3),
        ({"artrec_neighbors__k": "9"}, "neighbors.k", 9),
        ({"ARTREC_STORE__ROOT": "010"}, "store.root", "010"),
        ({"ARTREC_SOURCES__MAIN__URL": "1e5"}, "sources.main.url", "1e5"),
        ({"ARTREC_FAILPOINT": "x", "ARTREC_VENV": "y", "PATH": "z"}, "neighbors.k", 50),
    ],
)
def test_the_environment_s_values_are_text_and_json(
    environment: Environment, key: str, value: Any
) -> None:
    assert flat(load(None, (), environment)[0].model_dump(mode="json"))[key] == value


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("neighbors.k=20", "neighbors.k", 20),
        ("catalog.embeddings=false", "catalog.embeddings", False),
        ("ingest.formats=[PNG, TIFF]", "ingest.formats", ["PNG", "TIFF"]),
        ("ingest.background=[0, 127, 255]", "ingest.background", [0, 127, 255]),
        ("neighbors={k: 3, slack: 0}", "neighbors.slack", 0),
        ("store.root=", "store.root", ""),
    ],
)
def test_an_assignment_s_value_is_of_its_key_s_type(text: str, key: str, value: Any) -> None:
    assert flat(load(None, [text], NOTHING)[0].model_dump(mode="json"))[key] == value


SPECIAL = [
    "a=b", "a: b", "#1", "/data/all pictures #1.zip", "[2020].zip", "[x]", "{x}", "{a: b}", "*.zip",
    "&x", "!x", "!!python", "%x", "@x", "`x`", "'x'", '"x', "- x", "-", "? x", "|", ">", "~",
    "null", "yes", "off", "true", "010", "0x10", "1_000", "12:30", "1e3", ".5", "2024-01-01",
    " x ", "x\ny", "C:\\x\\y", "s3://bucket/key:1", "日本 é.zip",
]  # fmt: skip


@pytest.mark.parametrize("key", ["store.root", "sources.main.url", "sources.main.template"])
@pytest.mark.parametrize("value", SPECIAL)
def test_text_is_taken_as_it_stands_whatever_yaml_makes_of_it(key: str, value: str) -> None:
    found, _ = load(None, [f"{key}={value}"], NOTHING)
    assert flat(found.model_dump())[key] == value


@settings(max_examples=100, deadline=None)
@given(st.text())
def test_any_text_is_a_path(value: str) -> None:
    assert load(None, [f"store.root={value}"], NOTHING)[0].store.root == value


# -- refusals -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("neighbors.kk=3", ["neighbors.kk (--set neighbors.kk=3): unknown key", "found 3"]),
        ("neighbours.k=3", ["neighbours (--set neighbours.k=3): unknown key"]),
        ("sources.main.urll=x", ["sources.main.urll (--set ", "unknown key, found 'x'"]),
        ("neighbours.k=3", ["found {'k': 3} (did you mean neighbors?)"]),
        ("neighbors.slak=3", ["found 3 (did you mean neighbors.slack?)"]),
        ("sources.main.urll=x", ["found 'x' (did you mean sources.main.url?)"]),
        ("store.s3.second=5", ["found 5 (did you mean store.s3.seconds?)"]),
        ("zzz.k=3", ["unknown key, found {'k': 3}. All keys"]),
        ("neighbors.k=many", ["neighbors.k (--set ", "expected a whole number", "found 'many'"]),
        ("neighbors.k=0", ["neighbors.k (--set ", "greater than 0", "found 0"]),
        ("neighbors.k=1001", ["neighbors.k (--set ", "less than or equal to 1000"]),
        ("neighbors.k=1.5", ["neighbors.k (--set ", "found 1.5"]),
        ("neighbors.slack=-1", ["neighbors.slack (--set ", "greater than or equal to 0"]),
        (
            "train={recipe: convolutional, side: 60}",
            ["train (--set ", "side 60 is no multiple of 16, 2 for each of the 4"],
        ),
        ("train.channels=[0]", ["train (--set ", "channels (0,) must be at least 1 each"]),
        ("train.channels=[]", ["train.channels (--set ", "at least 1 item"]),
        ("train.held_out=1", ["train.held_out (--set ", "less than 1"]),
        ("train.learning_rate=0", ["train.learning_rate (--set ", "greater than 0"]),
        ("neighbors.k=", ["neighbors.k (--set ", "found ''"]),
        ("catalog.embeddings=perhaps", ["catalog.embeddings (--set ", "found 'perhaps'"]),
        ("ingest.background=[0, 0]", ["ingest.background.2 (--set "]),
        ("ingest.formats=PNG", ["ingest.formats (--set ", "found 'PNG'"]),
        ("neighbors=3", ["neighbors (--set neighbors=3)", "found 3"]),
        ("sources.a b.url=x", ["sources (--set ", "'a b' is not a name"]),
        ("sources.main=x.zip", ["sources.main (--set ", "found 'x.zip'"]),
        (
            "neighbors.tables.x.withn=[style]",
            ["found ['style'] (did you mean neighbors.tables.x.within"],
        ),
        ("neighbors.tables.x.within=[stile]", ["neighbors.tables.x.within.0 (--set ", "'stile'"]),
        ("neighbors.tables.x.never=[extra.]", ["no column of labels is called 'extra.'"]),
        ("neighbors.tables.x.never=[style, style]", ["neighbors.tables.x.never (", "stands twice"]),
        ("neighbors.tables.x.k=3", ["neighbors.tables.x (--set ", "an empty rule: name at least"]),
        (
            "neighbors.tables.x.at_most={artist: 2, style: 3}",
            ["one column can be counted in, not 2"],
        ),
        ("neighbors.tables.x.at_most.artist=0", ["neighbors.tables.x.at_most.artist (", "found 0"]),
        ("neighbors.tables.x.at_most.shape=1", ["no column of labels is called 'shape'"]),
        ("neighbors.tables.x.only.shape=1", ["no column of labels is called 'shape'"]),
        ("neighbors.tables.x.diversity=.5", ["diversity below 1 and candidates go together"]),
        (
            "neighbors.tables.x={diversity: .5, candidates: 49}",
            ["neighbors.tables.x.candidates is 49, fewer than the 50 neighbors"],
        ),
        (
            "neighbors.tables.x={within: [artist, style], never: [style]}",
            ["neighbors.tables.x (--set ", "within and never both name style: no image"],
        ),
        (
            "neighbors.tables.x={within: [style], at_most: {style: 7}}",
            ["within and at_most both name style", "would end after 7; set k to that"],
        ),
        (
            "neighbors.tables.x.at_most.artist=50",
            ["neighbors.tables.x.at_most.artist is 50, which does nothing in a list of 50"],
        ),
        (
            "neighbors.tables.x={at_most: {artist: 9}, k: 3, diversity: .5, candidates: 9}",
            ["neighbors.tables.x.at_most.artist is 9, which does nothing in a list of 9"],
        ),
        ("neighbors.tables.X.collapse=true", ["neighbors.tables (--set ", "'X' is not a name"]),
        ("neighbors.tables.pool.collapse=true", ["neighbors_pool would be taken for another"]),
        ("neighbors.tables.my_short.collapse=true", ["neighbors_my_short would be taken"]),
        ("neighbors.K=3", ["unknown key, found 3 (did you mean neighbors.k?)"]),
        ("neighbors.tables.x.never=[artst]", ["called 'artst' (did you mean artist?): there are"]),
        ("neighbors.tables.x.never=artist", ["expected a list: write [artist], found 'artist'"]),
        ("ingest.background=3", ["expected a list, such as [a, b], found 3"]),
        (
            "neighbors.tables.x.only={extra.foo: yes}",
            [".only.extra.foo (", 'text: quote yes, on and true where they are words, as in "yes"'],
        ),
        ("gates.override={drift: no}", ["quote no, off and false where they", 'as in "no"']),
        ("neighbors.tables.x=3", ["neighbors.tables.x (--set ", "expected a section, with keys"]),
        ("neighbors.tables.x.at_most=artist", ["expected a mapping, such as {a: b}"]),
        ("neighbors.method=near", ["expected 'auto', 'exact' or 'approximate', found 'near'"]),
        ("neighbors.recall=1.5", ["it has to be less than or equal to 0.999, found 1.5"]),
        ("catalog.embeddings=perhaps", ["expected true or false, found 'perhaps'"]),
        ("gates.drift=far", ["expected a number, found 'far'"]),
        ("neighbors.k", ["--set neighbors.k: write it as key=value"]),
        ("=3", ["--set =3: write it as key=value"]),
    ],
)
def test_a_wrong_assignment_is_refused_with_its_key_and_origin(text: str, parts: list[str]) -> None:
    message = refusal(assignments=(text,))
    assert [part for part in parts if part not in message] == []


def test_no_library_speaks_of_its_own_errors() -> None:
    for text in ("train.channels=[0]", "neighbors.tables.x.k=3", "gates.override={drift: ''}"):
        assert "Value error" not in refusal(assignments=(text,))


def test_the_origin_is_that_of_the_key_concerned_and_not_of_its_section(tmp_path: Path) -> None:
    file = file_of(tmp_path, "neighbors: {k: 50, tables: {x: {within: [style]}}}")
    set_ = "neighbors.tables.a.at_most={artist: 50}"
    assert refusal(file, (set_,)).startswith(
        f"neighbors.tables.a.at_most.artist (--set {set_}): neighbors.tables.a.at_most.artist is "
        "50, which does nothing in a list of 50 (k, or candidates)"
    )
    both = refusal(file, ("neighbors.tables.x.never=[style]",))
    assert both.startswith(
        f"neighbors.tables.x ({file}, --set neighbors.tables.x.never=[style]): within and never"
    )


def test_a_cap_one_below_the_length_of_lists_is_taken() -> None:
    binding = (
        "neighbors.tables.x.at_most.artist=49",
        "neighbors.tables.y={at_most: {artist: 8}, k: 3, diversity: .5, candidates: 9}",
    )
    tables = load(None, binding, NOTHING)[0].neighbors.tables
    assert [table.at_most for table in tables.values()] == [{"artist": 49}, {"artist": 8}]


def test_all_wrong_keys_are_named_at_once_each_with_its_origin(tmp_path: Path) -> None:
    file = file_of(tmp_path, "neighbors: {kk: 1}\nembed: {batch: none}")
    message = refusal(file, ("store.rot=x",), {"ARTREC_INGEST__MAX_SIDE": "-1"})
    for part in (
        f"neighbors.kk ({file}): unknown key",
        f"embed.batch ({file}): ",
        "store.rot (--set store.rot=x): unknown key",
        "ingest.max_side (environment): ",
        "All keys: artrec config show",
    ):
        assert part in message


@pytest.mark.parametrize(
    ("environment", "part"),
    [
        ({"ARTREC_NEIGHBORS__K": "x"}, "neighbors.k (environment): "),
        ({"ARTREC_NEIGHBORS__KK": "1"}, "neighbors.kk (environment): unknown key"),
        ({"ARTREC_NEIGHBOURS__K": "1"}, "ARTREC_NEIGHBOURS__K: the environment names an unknown"),
        ({"ARTREC_NEIGHBOURS__K": "1"}, "'neighbours' (did you mean neighbors?)"),
        ({"ARTREC_K": "1"}, "ARTREC_K: the environment names an unknown section 'k'"),
        ({"ARTREC_INGEST__FORMATS": "PNG"}, "write lists and sections as JSON"),
        ({"ARTREC_NEIGHBORS": "{"}, 'field "neighbors"'),
    ],
)
def test_a_wrong_variable_is_refused_by_name(environment: Environment, part: str) -> None:
    assert part in refusal(environment=environment)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("neighbors: [k", "not a YAML file"),
        ("- neighbors", "expected sections of settings, found list"),
        ("just text", "expected sections of settings, found str"),
        ("neighbors:", "neighbors ("),
        ("neighbors: {k: 3}\nneighbours: {k: 3}", "neighbours ("),
        ("sources: {main: {url: [1]}}", "sources.main.url ("),
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path: Path, text: str, part: str) -> None:
    file = file_of(tmp_path, text)
    message = refusal(file)
    assert part in message
    assert file in message


def test_the_settings_file_may_be_an_object_of_a_store(tmp_path: Path) -> None:
    url = f"file://{file_of(tmp_path, 'neighbors: {k: 7}')}"
    found, origins = load(url, (), NOTHING)
    assert (found.neighbors.k, origins["neighbors.k"]) == (7, url)
    missing = f"file://{tmp_path}/no.yaml"
    assert f"{missing}: cannot read the settings file: no such object" in refusal(missing)
    assert "no store for gopher://" in refusal("gopher://host/settings.yaml")


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    assert "no.yaml: cannot read the settings file: No such file" in refusal(
        str(tmp_path / "no.yaml")
    )
    assert "cannot read the settings file: Is a directory" in refusal(str(tmp_path))


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"store: {root: caf\xe9}")
    assert "not a YAML file" in refusal(str(tmp_path / "latin.yaml"))


def test_an_empty_file_holds_no_settings(tmp_path: Path) -> None:
    assert load(file_of(tmp_path, "# nothing yet\n"), (), NOTHING)[0] == load(None, (), NOTHING)[0]


def test_settings_are_frozen() -> None:
    found, _ = load(None, ["sources.main.url=a"], NOTHING)
    with pytest.raises(ValueError, match="frozen"):
        found.neighbors.k = 3


# -- results --------------------------------------------------------------------------------

CHANGED: dict[str, str] = {
    "sources.main.url": "elsewhere.zip",
    "sources.main.kind": "zip",
    "sources.main.id_prefix": "other/",
    "sources.main.template": "{title}",
    "sources.main.labels": "lists",
    "store.root": "/elsewhere",
    "store.s3.checksums": "false",
    "store.s3.retries": "adaptive",
    "store.s3.seconds": "60",
    "store.s3.listers": "2",
    "store.lease_seconds": "1.5",
    "store.keep_releases": "3",
    "store.sweep_seconds": "0",
    "store.compact_share": "0.1",
    "store.compact_segments": "7",
    "ingest.max_side": "64",
    "ingest.formats": "[PNG]",
    "ingest.max_bytes": "1000",
    "ingest.max_pixels": "1000",
    "ingest.max_picture_side": "1000",
    "ingest.background": "[0, 0, 0]",
    "ingest.decode_seconds": "1",
    "ingest.decode_memory": "1000000",
    "ingest.retry_rejects": "true",
    "ingest.slice_bytes": "1000",
    "ingest.segment_bytes": "1000",
    "train.recipe": "other",
    "train.side": "32",
    "train.latent": "3",
    "train.center": "false",
    "train.channels": "[8, 16]",
    "train.epochs": "1",
    "train.steps": "5",
    "train.batch": "1",
    "train.loss": "bce",
    "train.learning_rate": "0.5",
    "train.schedule": "cosine",
    "train.precision": "bfloat16",
    "train.processes": "2",
    "train.license": "MIT",
    "train.where": "beside",
    "train.patience": "1",
    "train.seed": "1",
    "train.max_pictures": "10",
    "train.held_out": "0.5",
    "train.reader": "petastorm",
    "encoder.id": "other",
    "embed.batch": "1",
    "embed.device": "cuda",
    "embed.gpu_batch": "1",
    "embed.precision": "bfloat16",
    "embed.slice_bytes": "1000",
    "embed.segment_bytes": "1000",
    "catalog.embeddings": "false",
    "index.shard_rows": "1000",
    "index.shards": "8",
    "index.recall": "0.8",
    "index.memory": "1000000000",
    "index.trees": "5",
    "index.search_k": "100",
    "index.seed": "2",
    "index.rebuild_share": "0.1",
    "index.side_rows": "7",
    "neighbors.k": "3",
    "neighbors.method": "exact",
    "neighbors.exact_rows": "7",
    "neighbors.recall": "0.9",
    "neighbors.slack": "0",
    "neighbors.block_rows": "7",
    "neighbors.pairs_from": "7",
    "neighbors.rebuild_share": "0.2",
    "neighbors.tables": "{other: {never: [artist]}}",
    "evaluate.queries": "7",
    "evaluate.sample": "7",
    "evaluate.map_points": "7",
    "evaluate.clusters": "7",
    "evaluate.tsne": "true",
    "evaluate.near_bits": "7",
    "evaluate.near_distance": "0.5",
    "evaluate.block_rows": "7",
    "gates.reject_rate": "0.5",
    "gates.reject_rates": "{empty: 0.5}",
    "gates.index_recall": "0.5",
    "gates.table_recall": "0.5",
    "gates.shrinkage": "0.5",
    "gates.source_shrinkage": "0.5",
    "gates.drift": "0.7",
    "gates.memory": "5",
    "gates.deviations": "9",
    "gates.usual_rejects": "0.5",
    "gates.usual_churn": "0.5",
    "gates.usual_drift": "0.5",
    "gates.usual_index_recall": "0.5",
    "gates.usual_table_recall": "0.5",
    "gates.override": "{drift: new scans}",
    "report.queries": "3",
    "report.neighbors": "4",
    "report.fresh": "7",
    "report.turned": "8",
    "report.thumbnails": "5",
    "report.side": "64",
    "plan.cores": "64",
    "plan.sample_seconds": "0",
    "plan.price_hour": "0.05",
    "plan.price_request": "0.4",
    "plan.price_gb": "0.02",
    "log.every": "5",
    "log.prometheus": "a.prom",
}
"""Another value for each key."""

HOW_NOT_WHAT = {
    "sources.main.url", "sources.main.kind", "sources.main.labels",
    "store.root", "store.lease_seconds",
    "store.keep_releases", "store.sweep_seconds", "store.compact_share", "store.compact_segments",
    "store.s3.checksums", "store.s3.retries", "store.s3.seconds",
    "store.s3.listers",
    "ingest.retry_rejects", "ingest.slice_bytes", "ingest.segment_bytes",
    "train.reader", "train.where", "embed.batch", "embed.device", "embed.gpu_batch",
    "embed.slice_bytes", "embed.segment_bytes",
    "neighbors.block_rows", "neighbors.pairs_from", "neighbors.rebuild_share",
    "evaluate.block_rows", "gates.reject_rate", "gates.reject_rates", "gates.index_recall",
    "gates.table_recall", "gates.shrinkage", "gates.source_shrinkage", "gates.drift",
    "gates.override", "gates.memory", "gates.deviations",
    "gates.usual_rejects", "gates.usual_churn", "gates.usual_drift", "gates.usual_index_recall",
    "gates.usual_table_recall",
    "plan.cores", "plan.sample_seconds", "plan.price_hour", "plan.price_request", "plan.price_gb",
    "log.every", "log.prometheus",
}  # fmt: skip
"""The keys that say how or where, and never change a row."""


OF_A_TABLE = ["within", "never", "at_most", "collapse", "only", "k", "diversity", "candidates"]


def settings_with(*assignments: str) -> Settings:
    return load(None, ["sources.main.url=a.zip", *assignments], NOTHING)[0]


def test_each_key_either_changes_results_or_only_how_they_are_made() -> None:
    before = settings_with()
    assert set(CHANGED) == set(flat(before.model_dump()))
    for key, value in CHANGED.items():
        after = settings_with(f"{key}={value}")
        assert flat(after.model_dump()) != flat(before.model_dump()), key
        same = after.results() == before.results()
        assert same == (key in HOW_NOT_WHAT), key
        assert (key in before.results()) == (key not in HOW_NOT_WHAT), key


def test_the_entries_of_a_mapping_are_keys_of_their_own() -> None:
    settings, origins = load(
        None, ["gates.reject_rates.empty=0.5", "gates.reject_rates.bad_crc=0"], NOTHING
    )
    assert settings.gates.reject_rates == {"empty": 0.5, "bad_crc": 0.0}
    assert origins["gates.reject_rates.empty"] == "--set gates.reject_rates.empty=0.5"
    assert "gates.reject_rates" not in origins


def test_a_source_more_changes_results_whatever_its_place() -> None:
    one = settings_with()
    two = settings_with("sources.other.url=b.zip")
    again = load(None, ["sources.other.url=b", "sources.main.url=c"], NOTHING)[0]
    assert one.results() != two.results() == again.results()


# -- the reference --------------------------------------------------------------------------


def test_every_section_and_key_is_documented() -> None:
    keys = [key for section in documented().values() for key, _, _, _ in section]
    expected = [key.replace(".main.", ".NAME.") for key in CHANGED if key != "neighbors.tables"]
    expected += [f"neighbors.tables.NAME.{key}" for key in OF_A_TABLE]
    assert sorted(keys) == sorted(expected)
    assert [kind for _, kind, _, _ in documented()["report"]] == ["int"] * 6
    kinds = {key: kind for keys in documented().values() for key, kind, _, _ in keys}
    assert kinds["ingest.formats"] == "list of str"
    assert kinds["ingest.background"] == kinds["train.channels"] == "list of int"
    assert kinds["gates.override"] == "mapping of str to str"
    assert kinds["neighbors.tables.NAME.within"] == "list of str"
    assert kinds["neighbors.tables.NAME.at_most"] == "mapping of str to int"


def test_ranges_are_those_that_the_settings_hold_to() -> None:
    found = ranges()
    assert {
        key: found.get(key)
        for key in (
            *("neighbors.k", "neighbors.recall", "neighbors.slack", "train.held_out"),
            *("train.learning_rate", "index.seed", "index.recall", "ingest.max_bytes"),
            *("neighbors.tables.NAME.never", "neighbors.tables.NAME.diversity", "store.root"),
        )
    } == {
        "neighbors.k": "1 to 1,000",
        "neighbors.recall": "0.5 to 0.999",
        "neighbors.slack": "from 0",
        "train.held_out": "above 0 and below 1",
        "train.learning_rate": "above 0",
        "index.seed": "0 to 2,147,483,647",
        "index.recall": "above 0 to 1",
        "ingest.max_bytes": "from 1",
        "neighbors.tables.NAME.never": "at most 4",
        "neighbors.tables.NAME.diversity": "0 to 1",
        "store.root": None,
    }
    least, most = "neighbors.recall=0.5", "neighbors.recall=0.999"
    assert [settings_with(each).neighbors.recall for each in (least, most)] == [0.5, 0.999]


def test_nested_values_become_dotted_keys() -> None:
    assert flat({"a": {"b": 1, "c": {"d": [2]}}, "e": {}, "f": None}) == {
        "a.b": 1, "a.c.d": [2], "e": {}, "f": None,
    }  # fmt: skip
