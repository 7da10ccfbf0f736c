"""Chain recipes: YAML in, edits out; what is wrong is said with file, line and field."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from ip2p_cli.errors import Ip2pError, UsageError
from ip2p_cli.io.recipe_paths import Branch, Recipe, RecipeEdit, paths_of
from ip2p_cli.io.recipe_schema import recipe_schema
from ip2p_cli.io.recipes import quick_recipe, read_recipe
from ip2p_cli.io.templates import fill_in
from ip2p_cli.io.yaml_files import read_yaml
from ip2p_cli.types import EditSettings

FULL = """\
name: whole
description: all there is
variables:
  season: autumn
  strength: {default: 4, description: how much}
defaults: {cfg_text: "{{ strength }}", steps: 3}
edits:
  - make it {{ season }}
  - instruction: make it night
    name: evening
    cfg_image: 1.8
    cfg_text: 6
    repeat: 2
    save: false
  - [as a watercolour, [make it vintage, add film grain]]
"""


def recipe_of(folder: Path, text: str, name: str = "r.yaml", **said: str) -> Recipe:
    path = folder / name
    path.write_text(text, "utf-8")
    return read_recipe(path, said)


def test_all_that_a_recipe_may_say(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, FULL, season="spring")
    first, second, fork = recipe.edits
    assert isinstance(first, RecipeEdit)
    assert first.instruction == "make it spring"
    assert first.settings == EditSettings(cfg_text=4.0, steps=3)
    assert isinstance(second, RecipeEdit)
    assert (second.settings.cfg_text, second.settings.cfg_image, second.repeat, second.save) == (6.0, 1.8, 2, False)
    assert isinstance(fork, Branch)
    assert recipe.variables["strength"].description == "how much"
    paths = [[(e.label, e.edit.instruction) for e in path] for path in paths_of(recipe)]
    start = [("", "make it spring"), ("", "make it night"), ("", "make it night")]
    assert paths == [
        [*start, ("a", "as a watercolour")],
        [*start, ("b", "make it vintage"), ("b", "add film grain")],
    ]


def test_forks_multiply_and_have_letters(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, "name: x\nedits:\n  - [a, [b, [c, d]]]\n  - e\n  - [f, g]\n")
    found = ["".join(e.edit.instruction for e in path) + path[-1].label for path in paths_of(recipe)]
    assert found == ["aefaa", "aegab", "bcefbaa", "bcegbab", "bdefbba", "bdegbbb"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: x\nedits:\n  - winter\nedit: 1\n", "r.yaml:4: unknown field 'edit'. Did you mean edits?"),
        ("name: x\nedits:\n  - instruction: a\n    cfg_txt: 3\n", "r.yaml:4: unknown field 'cfg_txt'. Did you mean"),
        ("name: x\nedits:\n  - instruction: a\n    steps: many\n", "r.yaml:4: steps: "),
        ("name: x\nedits:\n  - a\n  - instruction: a\n    repeat: 0\n", "r.yaml:5: edits.2.repeat "),
        ("name: x\nedits:\n  - name: a\n", "r.yaml:3: edits.1.instruction is missing"),
        ("edits: [a]\n", "r.yaml:1: name is missing"),
        ("name: x\n", "no edits"),
        ("name: x\nedits: a\n", "edits should be a list"),
        ("name: x\nedits:\n  - 7\n", "r.yaml:3: edits.1 should be an instruction"),
        ("name: x\nedits:\n  - []\n", "r.yaml:3: edits.1: a list of 1 to 26"),
        ("name: x\nedits:\n  - [[]]\n", "without an edit"),
        ("name: x\nvariables: {season: a}\nedits:\n  - make it {{ seasn }}\n", "r.yaml:4: edits.1"),
        ("name: x\nvariables: {season: a}\nedits:\n  - make it {{ seasn }}\n", "Did you mean season?"),
        ("name: x\ndefaults: {stps: 3}\nedits: [a]\n", "r.yaml:2: unknown field 'stps'. Did you mean steps?"),
        ("name: x\nname: y\nedits: [a]\n", "r.yaml:2: 'name' is given twice"),
        ("name: &a x\nedits: [*a]\n", "references (*name) are not supported"),
        ("name: x\nedits: [a\n", "not valid YAML"),
        ("- a\n", "not a recipe"),
        ("name: x\nedits: " + "[" * 30 + "a" + "]" * 30, "nested deeper"),
        ("name: x\nhandoff: telepathy\nedits: [a]\n", "r.yaml:2: handoff "),
        ("name: x\nedits: [[a, b, c, d], [a, b, c, d], [a, b, c, d], [a, b]]\n", "more than 64 results"),
        ("name: x\nedits:\n" + "  - {instruction: a, repeat: 100}\n" * 3, "more than 200 edits"),
        ("name: x\ninclude: r.yaml\nedits: [a]\n", "r.yaml:2: include: r.yaml includes this file itself"),
        ("name: x\ninclude: gone.yaml\nedits: [a]\n", "r.yaml:2: include: "),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(Ip2pError) as caught:
        recipe_of(tmp_path, text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("no", "no"),
        ("yes", "yes"),
        ("true", "true"),
        ("12:30", "12:30"),
        ("0123", "0123"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("1.50", "1.50"),
        ("2020-01-02", "2020-01-02"),
        ("4", "4"),
        ("'no'", "no"),
        ('"0123"', "0123"),
    ],
)
@pytest.mark.parametrize("form", ["variables: {{v: {}}}", "variables:\n  v: {{default: {}, description: x}}"])
def test_a_variable_is_the_text_of_the_file(tmp_path: Path, form: str, written: str, shown: str) -> None:
    recipe = recipe_of(tmp_path, f"name: x\n{form.format(written)}\nedits: ['{{{{ v }}}}']\n")
    [edit] = recipe.edits
    assert isinstance(edit, RecipeEdit)
    assert edit.instruction == shown


def test_variables_are_texts_in_templates_too(tmp_path: Path) -> None:
    text = "name: x\nvariables: {v: 4}\nedits: [\"{{ 'four' if v == '4' else v ~ ' times' }}\"]\n"
    assert [e.instruction for e in recipe_of(tmp_path, text).edits if isinstance(e, RecipeEdit)] == ["four"]
    assert [e.instruction for e in recipe_of(tmp_path, text, v="7").edits if isinstance(e, RecipeEdit)] == ["7 times"]


def test_includes_come_first_and_their_variables_can_be_set(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    base = "name: base\nvariables: {look: winter}\ndefaults: {steps: 2}\nhandoff: pixels\nedits: ['{{ look }}']\n"
    (tmp_path / "sub/base.yaml").write_text(base)
    top = (
        "name: top\ninclude: sub/base.yaml\ndefaults: {steps: 5, cfg_text: 3}\nvariables: {look: snow}\nedits: [night]"
    )
    recipe = recipe_of(tmp_path, top)
    assert [e.instruction for e in recipe.edits if isinstance(e, RecipeEdit)] == ["snow", "night"]
    assert [e.settings.steps for e in recipe.edits if isinstance(e, RecipeEdit)] == [2, 5]
    assert [e.settings.cfg_text for e in recipe.edits if isinstance(e, RecipeEdit)] == [3.0, 3.0]
    assert (recipe.name, recipe.handoff) == ("top", "pixels")
    one = recipe_of(tmp_path, top, look="fog").edits[0]
    assert isinstance(one, RecipeEdit)
    assert one.instruction == "fog"


def test_includes_in_a_circle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("name: a\ninclude: b.yaml\nedits: [x]\n")
    (tmp_path / "b.yaml").write_text("name: b\ninclude: [a.yaml]\nedits: [x]\n")
    with pytest.raises(UsageError, match=r"b\.yaml:2: include: a\.yaml includes this file itself"):
        read_recipe(tmp_path / "a.yaml")


def test_a_file_is_read_once_and_included_a_bounded_number_of_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):
        again = f"include: [{number + 1}.yaml, {number + 1}.yaml]\n"
        (tmp_path / f"{number}.yaml").write_text(f"name: x\n{again}edits: [a]\n")
    (tmp_path / "30.yaml").write_text("name: x\nedits: [a]\n")
    opened: list[Path] = []
    monkeypatch.setattr("ip2p_cli.io.recipes.read_yaml", lambda path: opened.append(path) or read_yaml(path))
    with pytest.raises(UsageError, match="more than 50 files in all"):
        read_recipe(tmp_path / "0.yaml")
    assert len(opened) == len(set(opened)) <= 31
    assert len(read_recipe(tmp_path / "26.yaml").edits) == 31


@pytest.mark.parametrize("name", ["loop.yaml", '"a\\0b.yaml"', "x" * 300, "folder", "gone.yaml", "/dev/zero", "pipe"])
def test_an_include_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop.yaml").symlink_to("loop2.yaml")
    (tmp_path / "loop2.yaml").symlink_to("loop.yaml")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Ip2pError, match=r"r\.yaml:2: include: ") as caught:
        recipe_of(tmp_path, f"name: x\ninclude: {name}\nedits: [a]\n")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("edits", "said"),
    [
        ("[" + "[a, b], " * 7 + "c]", "more than 64 results"),
        ("[" + "a, " * 2000 + "a]", "more than 1000 edits in all"),
        ("[{instruction: a, repeat: 100}, {instruction: a, repeat: 100, best_of: 64}, [a, b]]", "more than 200 edits"),
        ("[[" + "[{instruction: a, repeat: 100, best_of: 64}], " * 5 + "b]]", "more than 20000 edits in all"),
        ("['" + "a" * 1001 + "']", "edits.1.instruction"),
        ('["a\\ud800"]', "edits.1.instruction should be a valid string"),
        (
            "[{instruction: a, seed: 0x" + "f" * 10_000 + "}]",
            "r.yaml:2: not valid YAML: a number of more than 100 digits",
        ),
        ("[a]\nvariables: {" + ", ".join(f"v{n}: 1" for n in range(101)) + "}", "more than 100 variables"),
    ],
)
def test_what_multiplies_is_bounded(tmp_path: Path, edits: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        recipe_of(tmp_path, f"name: x\nedits: {edits}\n")
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_variable_that_is_not_there_cannot_be_set(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean season"):
        recipe_of(tmp_path, FULL, seson="winter")


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ 'a' * 1000000000 }}",
        "{{ 9 ** 999999 }}",
        "{{ '%1000000000d' % 1 }}",
        "{% for a in 'abc' %}{{ a }}{% endfor %}",
        "{% set a = a ~ a %}",
        "{{ a.format(1) }}",
        "{{ a | center(1000000000) }}",
        "{% include '/etc/passwd' %}",
        "{{ a",
        "{{ 1 / 0 }}",
        "{{ a.nothing }}",
        "{{ 10|round(-999999999) }}",
        "{{ [0]*600000000 }}",
        "{{ 2 + 2 }}",
        "{{ a[0] }}",
        "{{ a is string }}",
        "{{ a | replace('e', a) }}",
        "{{ " + "not " * 300 + "a }}",
        "{{ " + "not " * 900 + "a }}",
        "{% if a %}" * 150 + "{% endif %}" * 150,
        "{{ " + "(" * 150 + "a" + ")" * 150 + " ~ a " * 250 + "}}",
        "{{ " + "(" * 1900 + "a" + ")" * 1900 + "}}",
        "{{ a }}" * 250,
        "x" * 4000 + "{{ a }}",
    ],
)
def test_templates_can_do_no_harm(text: str) -> None:
    with pytest.raises(UsageError, match=r"^here: ") as caught:
        fill_in(text, {"a": "text"}, "here")
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("make it {{ a }}", "make it text"),
        ("{% if a == 'text' and not a != a or a in ('x', 'y') %}yes{% else %}no{% endif %}", "yes"),
        ("{% if a == 'b' %}1{% elif a %}2{% endif %}", "2"),
        ("{{ a | upper | title }} {{ a ~ '!' }}", "Text text!"),
    ],
)
def test_what_a_template_can_do(text: str, filled: str) -> None:
    assert fill_in(text, {"a": "text"}, "here") == filled


WORDS = st.text(st.characters(codec="utf-8", exclude_characters="{}", exclude_categories=["C", "Z"]), min_size=1)


@given(value=WORDS, before=WORDS)
def test_what_a_variable_holds_is_text_and_nothing_else(value: str, before: str) -> None:
    assert fill_in(f"{before}{{{{ v }}}}", {"v": value}, "here") == before + value
    assert fill_in("{{ v }}", {"v": "{{ w }}"}, "here") == "{{ w }}"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(instructions=st.lists(WORDS.map(str.strip).filter(bool).filter(lambda t: len(t) < 900), min_size=1, max_size=5))
def test_any_instruction_survives(tmp_path: Path, instructions: list[str]) -> None:
    text = yaml.safe_dump({"name": "x", "edits": instructions}, allow_unicode=True)
    recipe = recipe_of(tmp_path, text)
    assert [e.instruction for e in recipe.edits if isinstance(e, RecipeEdit)] == instructions
    assert [e.edit.instruction for e in paths_of(quick_recipe(instructions))[0]] == instructions


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(
    raw=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["name", "edits", "instruction", "variables", "steps", "x"]), inner, max_size=4
            )
        ),
        max_leaves=12,
    )
)
def test_anything_else_is_refused_in_one_line(tmp_path: Path, raw: object) -> None:
    path = tmp_path / "any.yaml"
    path.write_text(yaml.safe_dump({"name": "x", "edits": raw}, allow_unicode=True), "utf-8")
    said = "fine"
    try:
        read_recipe(path)
    except Ip2pError as error:
        said = str(error)
    assert len(said.splitlines()) == 1


def test_the_schema_takes_what_the_reader_takes() -> None:
    validator = Draft202012Validator(recipe_schema())
    Draft202012Validator.check_schema(recipe_schema())
    assert not list(validator.iter_errors(yaml.safe_load(FULL)))
    for wrong in ({"name": "x", "edits": [{"steps": 3}]}, {"name": "x", "edits": [{"instruction": "a", "stps": 3}]}):
        assert list(validator.iter_errors(wrong))
