"""Templates and names: the facts of WikiArt's names, and laws that hold for any name."""

from __future__ import annotations

import pickle
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artrec.errors import ConfigError
from artrec.labels import Labels, PathTemplate, readable, repair, year_of

WIKIART = PathTemplate.parse("{style}/{artist}_{title}")
PAINTINGS = Path(__file__).parents[2].parent / "shared" / "data" / "paintings.zip"

slugs = st.text("abcxyz019-.()", min_size=1).filter(lambda s: not s.startswith("."))
cased_letters = st.sampled_from("abcz-.09àáâãäåçèéêëíîïñóôõöøúûüýþÿœšžčćłńőřşğıάλφивян")


def damaged(text: str) -> str:
    """What happened to WikiArt's names: UTF-8 read as Latin-1, then lower-cased."""
    return text.encode("utf-8").decode("latin-1").lower()


# -- templates -----------------------------------------------------------------------------


def test_style_artist_title_and_year_come_from_a_wikiart_path() -> None:
    name = "wikiart/Post_Impressionism/vincent-van-gogh_the-starry-night-1889.jpg"
    assert WIKIART.match(name) == Labels(
        "Post_Impressionism", "vincent-van-gogh", "the-starry-night-1889", 1889
    )


@pytest.mark.parametrize("folders", ["", "wikiart/", "a_b/c.d/wikiart/", "/", "./"])
def test_any_folders_may_lead_to_the_end_that_matches(folders: str) -> None:
    assert WIKIART.match(f"{folders}Baroque/x_y.jpg") == Labels("Baroque", "x", "y")


@pytest.mark.parametrize(
    ("name", "artist", "title", "year"),
    [
        ("S/m.c.-escher_day-and-night.jpg", "m.c.-escher", "day-and-night", None),
        ("S/m.c.-escher_no.12", "m.c.-escher", "no.12", None),
        ("S/a.b_opus-no.-1.25", "a.b", "opus-no.-1.25", None),
        ("S/paul-cezanne_bathers-1890(1).jpg", "paul-cezanne", "bathers-1890(1)", 1890),
        ("S/a-b_not_detected_235957.jpg", "a-b", "not_detected_235957", None),
        ("S/not_detected_7.jpg", "not", "detected_7", None),
        ("S/a_l'arlésienne-1890.JPEG", "a", "l'arlésienne-1890", 1890),
        ("S/a_two\nlines.png", "a", "two\nlines", None),
    ],
)
def test_the_first_underscore_ends_the_artist(
    name: str, artist: str, title: str, year: int | None
) -> None:
    assert WIKIART.match(name) == Labels("S", artist, title, year)


@pytest.mark.parametrize(
    "name",
    ["x_y.jpg", "Baroque/xy.jpg", "Baroque/_y.jpg", "Baroque/x_.jpg", "/x_y.jpg", "x_y/a.jpg", ""],
)
def test_a_name_outside_the_template_has_no_labels(name: str) -> None:
    assert WIKIART.match(name) is None


def test_artist_and_title_are_repaired_and_the_style_is_as_the_folder() -> None:
    name = "Art_Nouveau/joaquã\u00adn-sorolla_el-baã±o-1909.jpg"
    assert WIKIART.match(name) == Labels("Art_Nouveau", "joaquín-sorolla", "el-baño-1909", 1909)


@pytest.mark.parametrize(
    ("template", "name", "labels"),
    [
        ("{genre}", "a/b/portrait.jpg", Labels(genre="portrait")),
        ("{style}/{extra.id}", "clothing/hat/12.jpg", Labels("hat", extra={"id": "12"})),
        (
            "{split}/{license}/{extra.a}-{extra.b}",
            "train/cc0/1-2-3.png",
            Labels(split="train", license="cc0", extra={"a": "1", "b": "2-3"}),
        ),
        ("by {artist} ({year})/{title}", "by m ray (20)/x", None),
        (
            "by {artist} ({year})/{title}",
            "by m ray (1920)/x-1900",
            Labels(artist="m ray", title="x-1900", year=1920),
        ),
        ("{title}-{year}", "on-1914-and-1889.jpg", Labels(title="on-1914-and", year=1889)),
        ("{year}-{title}", "1889-a-b.jpg", Labels(title="a-b", year=1889)),
        (
            "{title}_{year}_{extra.n}",
            "a_b_1900_1901_7",
            Labels(title="a_b", year=1900, extra={"n": "1901_7"}),
        ),
        ("{title}(x)", "a(x)b(x).jpg", Labels(title="a(x)b")),
        ("p[0]+{title}", "p[0]+t.jpg", Labels(title="t")),
        ("wiki/{title}", "some/wiki/t.jpg", Labels(title="t")),
    ],
)
def test_fields_and_literals_of_other_templates(
    template: str, name: str, labels: Labels | None
) -> None:
    assert PathTemplate.parse(template).match(name) == labels


@pytest.mark.parametrize("name", ["a-999.jpg", "a-2101.jpg", "a-189.jpg", "a-18890.jpg", "a-١٨٨٩"])
def test_a_year_field_takes_nothing_but_a_year(name: str) -> None:
    assert PathTemplate.parse("{title}-{year}").match(name) is None


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        ("{style}/{painter}", r"unknown field \{painter\}.*artist"),
        ("{style}/{ artist}", r"unknown field \{ artist\}"),
        ("{style}/{}", r"unknown field \{\}"),
        ("{extra.}", r"unknown field \{extra\.\}"),
        ("{style}/{title}_{style}", r"\{style\} stands there twice"),
        ("{extra.a}/{extra.a}", r"\{extra\.a\} stands there twice"),
        ("{style}/{artist", "a brace has no partner"),
        ("{style}}/{artist}", "a brace has no partner"),
        ("{{style}}", "a brace has no partner"),
        ("{style}{artist}", r"nothing separates \{style\} and \{artist\}"),
        ("wikiart", "names no field"),
        ("", "names no field"),
        ("/{style}", "a folder in it has no name"),
        ("{style}//{title}", "a folder in it has no name"),
        ("{style}/", "a folder in it has no name"),
        ("{title}.jpg", r"leave '\.jpg' out"),
    ],
)
def test_a_wrong_template_is_refused_with_its_place(template: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as error:
        PathTemplate.parse(template)
    assert repr(template) in str(error.value)


def test_a_template_and_its_labels_travel_to_workers() -> None:
    template = pickle.loads(pickle.dumps(WIKIART))
    labels = template.match("S/a_b.jpg")
    assert pickle.loads(pickle.dumps(labels)) == Labels("S", "a", "b")
    assert len({labels, Labels("S", "a", "b")}) == 1


def test_a_very_long_name_is_read_in_one_pass() -> None:
    template = PathTemplate.parse("{style}_{artist}_{genre}_{title}_{year}x")
    assert template.match("_".join("a" * 30_000) + ".jpg") is None  # hours, if it went back


@given(style=slugs, artist=slugs, title=slugs)
def test_a_name_made_from_labels_gives_them_back(style: str, artist: str, title: str) -> None:
    found = WIKIART.match(f"wikiart/{style}/{artist}_{title}.jpg")
    assert found is not None
    assert (found.style, found.artist, found.title) == (style, artist, title)


@given(st.text())
def test_no_name_whatever_raises(name: str) -> None:
    found = WIKIART.match(name)
    assert found is None or all((found.style, found.artist, found.title))


@pytest.mark.skipif(not PAINTINGS.exists(), reason="shared/data is not here")
def test_every_painting_of_the_real_archive_has_its_labels() -> None:
    with zipfile.ZipFile(PAINTINGS) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
    found = [WIKIART.match(name) for name in names]
    assert None not in found
    assert len(found) == 1144
    assert len({labels.artist for labels in found if labels}) == 15
    assert Counter(labels.style for labels in found if labels).keys() == {
        name.split("/")[1] for name in names
    }


# -- repair --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("broken", "sound"),
    [
        ("joaquã\u00adn-sorolla", "joaquín-sorolla"),
        ("joan-mirã³", "joan-miró"),
        ("edouard-cortã¨s", "edouard-cortès"),
        ("fã©lix-vallotton", "félix-vallotton"),
        ("josã© clemente orozco", "josé clemente orozco"),
        ("n.â\u00ba-7", "n.º-7"),
        ("jã¡nos-må\u0091", "jános-mő"),
        ("Ã\u0089douard", "Édouard"),
        ("ð¸ð²ð°ð½", "иван"),
        ("van-gogh\u00e2\u0080\u0099s-chair", "van-gogh\u2019s-chair"),
        ("è\u0091\u009bé£¾å\u008c\u0097æ\u0096\u008e", "葛飾北斎"),
    ],
)
def test_utf8_read_as_latin1_and_lowered_is_repaired(broken: str, sound: str) -> None:
    assert repair(broken) == sound


@pytest.mark.parametrize(
    "name",
    [
        "",
        "claude-monet",
        "joão",
        "são-paulo",
        "gonçalo-pâris",
        "joaquín-sorolla",
        "françois-édouard-picot",
        "ångström-ß-ñandú",
        "«irmã»",
        "nº-5",
        "fé\u00advrier",
        "CAFÉ»",
        "joão-e-josã©",
        "葛飾北斎",
        "ã©-葛",
        "ã\u00ad\u00ad\u00ad",
        "â\u0085",
        "\udce3\udca9",
    ],
)
def test_a_sound_or_hopeless_name_comes_back_unchanged(name: str) -> None:
    assert repair(name) == name


@given(st.text(cased_letters))
def test_repair_undoes_the_damage(text: str) -> None:
    assert repair(damaged(text)) == text


@given(st.text(st.characters(max_codepoint=0xFF)) | st.text("aãâäðé\xa9\xad\x80\x91", max_size=6))
def test_whatever_repair_gives_back_would_be_damaged_into_what_it_was_given(text: str) -> None:
    assert repair(text) == text or damaged(repair(text)) == text.lower()


@given(st.text(st.characters(exclude_characters=[chr(c) for c in range(0x80, 0xC0)])))
def test_letters_alone_are_never_taken_for_damage(text: str) -> None:
    assert repair(text) == text


# -- years and words -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("title", "year"),
    [
        ("the-starry-night-1889", 1889),
        ("the-starry-night-1889(1)", 1889),
        ("untitled-1960-2", 1960),
        ("untitled-1960-2(13)", 1960),
        ("self-portrait-1912-1913", 1913),
        ("haystacks 1891", 1891),
        ("1948", 1948),
        ("icon-1000", 1000),
        ("icon-2100", 2100),
        ("icon-999", None),
        ("icon-0999", None),
        ("icon-2101", None),
        ("icon-18890", None),
        ("icon-1889x", None),
        ("icon1889", None),
        ("1889-in-paris", None),
        ("not_detected_1889", None),
        ("icon-1889()", None),
        ("icon-1889\n", None),
        ("", None),
    ],
)
def test_a_year_ends_the_title(title: str, year: int | None) -> None:
    assert year_of(title) == year


@given(slugs, st.integers(0, 9999))
def test_years_are_between_1000_and_2100(slug: str, number: int) -> None:
    assert year_of(f"{slug}-{number:04d}") == (number if 1000 <= number <= 2100 else None)


@pytest.mark.parametrize(
    ("slug", "words"),
    [
        ("the-starry-night-1889", "the starry night 1889"),
        ("Art_Nouveau_Modern", "Art Nouveau Modern"),
        ("m.c.-escher", "m.c. escher"),
        ("bathers-1890(1)", "bathers 1890(1)"),
        ("-a--b_", "a b"),
    ],
)
def test_a_slug_is_readable_as_words(slug: str, words: str) -> None:
    assert readable(slug) == words
