"""Names as WikiArt writes them: artists, titles, and what has happened to both on the way.

An artist's part and a title's part are joined by the first underscore of a file name. Accents are
damaged as in the published archive: UTF-8 was read as Latin-1 and then lower-cased, so that
``joaquín`` stands there as ``joaquã`` followed by a soft hyphen and ``n``.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np

__all__ = ["NEIGHBORS", "artist_slug", "damaged", "title_slug"]


def _words(text: str) -> list[str]:
    return text.split()


# Styles that share pictures in catalogs: the second folder of a picture that stands in two.
NEIGHBORS = {
    "Abstract_Expressionism": "Color_Field_Painting",
    "Art_Nouveau_Modern": "Ukiyo_e",
    "Baroque": "Romanticism",
    "Color_Field_Painting": "Minimalism",
    "Cubism": "Expressionism",
    "Expressionism": "Fauvism",
    "Fauvism": "Expressionism",
    "Impressionism": "Pointillism",
    "Minimalism": "Color_Field_Painting",
    "Pointillism": "Impressionism",
    "Romanticism": "Impressionism",
    "Ukiyo_e": "Art_Nouveau_Modern",
}

_FIRST = _words(
    "adela albin anselm beata bohdan casimira corentin cosima dagny dario elpida emeric faustin "
    "fiamma gaspard greta henrike hjalmar ilka jorun kaspar laszlo livia marit matthis nadja "
    "oriel orla petronela quirin rosalba runa sverre tadea tibor ulrik vesna wenzel xenia yrsa "
    "zoltan zelma"
)
_ACCENTED = _words(
    "andré anaïs béla céleste chloé désirée élodie françoise gérard héloïse íñigo jérôme joaquín "
    "josé loïc märta noémie nuño ólafur óscar rené sören théo tomás übbe zoé åsa ægir"
)
_STEMS = _words(
    "alder amber avel bell borro brand caster corva dal drago esker faber feld garo grim halver "
    "holm istra jorda kaler kester lager lavro linde marr mander morel navar norden oster palm "
    "perro quill rando rost salva selen sorel stell tarno torre ulven vallo verro walden wester "
    "yarro zeller"
)
_ENDS = _words(
    "aard anne aux berg by canto dane echt elli escu etti gaard haug heim ille ison itz juk lund "
    "mark mont ner nova ova quist rath ridge rini sen ska stad sund taal thal ur vary vik wick "
    "wood"
)
_MASTERS = _words(
    "akimori fujitane hanabira hayanami isokaze kawamori kiyomine kurosato minazuki moritani "
    "nagisawa okitsugu sakurano shiranami takamine tokihara utsugawa yamashiro yukitori"
)
_SCHOOL = _words(
    "bunrei chikasen daigetsu eishun gyokuren hakuju kanzan kosetsu masafune nobukata raizan "
    "ryusen seimon shunkaku tanrei tomokazu unpo yoshitsura zuiun"
)

_NOUNS = {
    "river": "river estuary mill-pond ferry weir backwater lock ford towpath",
    "field": "poppies haystacks wheat-field meadow harvest orchard clover ploughed-land",
    "garden": "garden terrace rose-walk park arbour avenue lilacs flower-beds",
    "harbour": "harbour regatta roadstead quay fishing-boats outer-harbour sunrise low-tide",
    "village": "village farm red-roofs church-road hamlet houses post-road washing-day",
    "summit": "wanderer summit high-pass glacier cloud-sea ravine watchman",
    "storm": "shipwreck storm gale breakers lost-ship northern-sea",
    "moonlight": "moonrise lonely-oak night-at-the-lake moonlight stillness two-oaks",
    "ruin": "abbey ruined-choir cloister gate old-monastery graveyard",
    "portrait": "portrait-of-a-lady portrait-of-a-scholar self-portrait old-man girl woman-in-blue",
    "still-life": "still-life lemons grapes jug-and-fruit breakfast-piece vanitas",
    "candle": "candle vigil night-piece fruit-by-candlelight nocturne",
    "street": "street crossing tenements passers-by night-street corner-house",
    "hills": "burning-hills red-sun valley flaming-trees road-to-the-sun evening",
    "mountain": "mountain clear-morning peak-after-snow pines-on-the-shore southern-wind",
    "wave": "wave off-the-cape breakers-at-the-strait boats-in-the-swell",
    "rain": "sudden-rain bridge-in-rain evening-shower umbrellas",
    "moon": "moon-and-plum full-moon cherry-branch night-blossom birds-and-moon",
    "bamboo": "bamboo bamboo-in-mist young-bamboo wind-in-the-grove",
    "lady": "reverie spring muse priestess laurel autumn-poster the-hours",
    "lily": "lilies iris-panel water-flowers night-lilies",
    "peacock": "peacock peacock-screen feathers vanity-of-the-garden",
    "guitar": "guitar man-with-a-guitar violin musician mandolin",
    "bottle": "bottle-and-glass table newspaper-and-bottle cafe pipe-and-bottle",
    "head": "head harlequin woman-seated actor sailor",
    "untitled": "composition untitled number-7 number-14 opus ochre-and-red blue-over-grey "
    "black-form white-painting study elegy signal north untitled-diptych threshold",
}
_TIMES = _words(
    "at-dawn at-dusk in-the-rain in-winter in-october at-noon by-moonlight in-spring under-snow "
    "in-the-morning after-the-storm first-version second-state"
)
_PLACES = _words(
    "near-vallory at-saint-orban of-kesselau on-the-lauter in-montrevel at-holmsund of-old-farra "
    "near-castelbrun at-the-three-mills of-the-north-shore in-perrona at-dragsund"
)
_INDOORS = _words(
    "by-the-window in-grey in-profile against-the-light with-a-letter first-version second-state "
    "with-a-red-cloth in-the-studio from-memory"
)
_COLORLESS = _words(
    "in-ochre in-white with-black no-2 no-3 no-9 large-version in-two-parts for-a-wall"
)
_OUTDOORS = frozenset(
    _words(
        "river field garden harbour village summit storm moonlight ruin street hills mountain "
        "wave rain moon bamboo"
    )
)
_ADJECTIVES = _words("grey little great quiet golden red last blue white forgotten")


def damaged(slug: str) -> str:
    """What an archive makes of accents: UTF-8 read as Latin-1, then lower-cased."""
    return slug.encode("utf-8").decode("latin-1").lower()


def _folded(slug: str) -> str:
    plain = unicodedata.normalize("NFD", slug.replace("æ", "ae").replace("ø", "o"))
    return "".join(c for c in plain if not unicodedata.combining(c))


def artist_slug(rng: np.random.Generator, number: int, eastern: bool) -> str:
    """The name of artist ``number`` as a file name has it.

    In each fifteen, two have damaged accents, two lost theirs, two have initials with dots.
    """
    if eastern:
        return f"{_pick(rng, _MASTERS)}-{_pick(rng, _SCHOOL)}"
    last = _pick(rng, _STEMS) + _pick(rng, _ENDS)
    turn = number % 15
    if turn in (4, 12):
        return damaged(f"{_pick(rng, _ACCENTED)}-{last}")
    if turn in (2, 9):
        return _folded(f"{_pick(rng, _ACCENTED)}-{last}")
    first = _pick(rng, _FIRST)
    if turn in (6, 14):
        return f"{first[0]}.{_pick(rng, _FIRST)[0]}.-{last}"
    return f"{first}-{last}"


def title_slug(rng: np.random.Generator, motif: str, year: int) -> str:
    """A title with its year, in one of WikiArt's ways of writing one."""
    odd = rng.random()
    if odd < 0.012:
        return f"not_detected_{int(rng.integers(200000, 299999))}"
    noun = _pick(rng, _words(_NOUNS[motif]))
    if odd < 0.035:
        return "untitled" if rng.random() < 0.3 else f"untitled-{year}"
    if odd < 0.045:
        return f"study_for_{noun}_{year}"
    if odd < 0.055:
        return f"study-for-'{noun}'-{year}"
    title = _phrase(rng, motif, noun)
    if odd < 0.085:
        return f"{title}-{year}({int(rng.integers(1, 4))})"
    return title if odd > 0.85 else f"{title}-{year}"


def _phrase(rng: np.random.Generator, motif: str, noun: str) -> str:
    shape = int(rng.integers(6))
    if motif == "untitled":
        return f"{noun}-{_pick(rng, _COLORLESS)}" if shape > 2 else noun
    if shape == 0:
        return noun
    if shape == 1:
        return f"{_pick(rng, _ADJECTIVES)}-{noun}"
    if motif not in _OUTDOORS:
        return f"{noun}-{_pick(rng, _INDOORS)}"
    if shape == 2:
        return f"{noun}-{_pick(rng, _PLACES)}"
    if shape == 3:
        return f"the-{noun}-{_pick(rng, _PLACES)}-{_pick(rng, _TIMES)}"
    return f"{noun}-{_pick(rng, _TIMES)}"


def _pick(rng: np.random.Generator, words: Sequence[str]) -> str:
    return words[int(rng.integers(len(words)))]
