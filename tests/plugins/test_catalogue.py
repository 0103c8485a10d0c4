from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from spa.errors import PluginError
from spa.plugins.catalogue import Catalogue, build_catalogue, load_catalogue
from spa.plugins.component import Component
from spa.plugins.discovery import Entry, Plugin
from spa.plugins.kinds import KINDS, kind_of_key
from spa.plugins.validation import incompatibility

Install = Callable[..., Path]


def entry(name: str, kind: str = "judge", incompatible: str | None = None) -> Entry:
    record = Component(name=name, impl="m:C", config="m:D", summary="s")
    return Entry(kind, record, incompatible)


def plugin(distribution: str, *entries: Entry, builtin: bool = False) -> Plugin:
    return Plugin(
        distribution, distribution, "1.0", "module", entries=tuple(entries), builtin=builtin
    )


BUILTIN = plugin("spa-align", entry("constitution"), entry("spa", "loss"), builtin=True)


def message(catalogue: Catalogue, kind: str, name: str) -> str:
    with pytest.raises(PluginError) as caught:
        catalogue.resolve(kind, name)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_bare_and_qualified_names_mean_the_same() -> None:
    catalogue = Catalogue([BUILTIN, plugin("spa-rubric", entry("rubric"))])
    bare = catalogue.resolve("judge", "rubric")
    assert bare is catalogue.resolve("judge", "spa-rubric/rubric")
    assert bare is catalogue.resolve("judge", "Spa_Rubric/rubric")
    assert bare.qualified == "spa-rubric/rubric"
    assert bare.label == "judge 'rubric' (spa-rubric 1.0)"
    assert catalogue.resolve("judge", "spa-align/constitution").label == (
        "judge 'constitution' (built in)"
    )


def test_builtins_own_their_bare_names() -> None:
    catalogue = Catalogue([BUILTIN, plugin("other", entry("constitution"))])
    assert catalogue.resolve("judge", "constitution").builtin
    assert catalogue.resolve("judge", "other/constitution").distribution == "other"
    assert catalogue.names("judge") == ("constitution", "other/constitution")


def test_two_third_parties_with_one_name_are_an_error_only_where_it_is_used() -> None:
    catalogue = Catalogue([BUILTIN, plugin("a", entry("rubric")), plugin("b", entry("rubric"))])
    assert message(catalogue, "judge", "rubric") == (
        "judge 'rubric' is ambiguous. Write 'a/rubric' or 'b/rubric'."
    )
    assert catalogue.resolve("judge", "b/rubric").distribution == "b"
    assert catalogue.names("judge") == ("constitution", "a/rubric", "b/rubric")


def test_an_unknown_name_comes_with_the_nearest() -> None:
    catalogue = Catalogue([BUILTIN, plugin("spa-rubric", entry("rubric"))])
    assert message(catalogue, "judge", "constitutoin") == (
        "unknown judge 'constitutoin'. Did you mean 'constitution'? "
        "Valid names: constitution, rubric."
    )
    assert message(catalogue, "judge", "x") == (
        "unknown judge 'x'. Valid names: constitution, rubric."
    )
    assert message(catalogue, "refiner", "x") == "unknown refiner 'x'. Valid names: none."


def test_a_name_of_another_kind_says_so() -> None:
    assert message(Catalogue([BUILTIN]), "judge", "spa") == (
        "unknown judge 'spa'. Valid names: constitution. 'spa' is a loss (recipe key 'loss')."
    )


def test_an_unknown_kind_comes_with_the_nearest() -> None:
    with pytest.raises(PluginError, match=r"^unknown kind 'judges'\. Did you mean 'judge'\?"):
        Catalogue([BUILTIN]).components("judges")


def test_a_broken_plugin_is_named_only_where_a_name_is_missing(install: Install) -> None:
    site = install("spa-rubric", "0.2", points={"rubric": "bad"}, bad="import no_such_package\n")
    catalogue = build_catalogue("no:none-such")
    assert catalogue.resolve("judge", "constitution").builtin
    unknown = message(catalogue, "judge", "rubrik")
    assert unknown.endswith(
        "Plugin 'rubric' (spa-rubric 0.2) failed to load: ModuleNotFoundError: "
        f"No module named 'no_such_package' (at {site / 'bad.py'}:1)."
    )
    assert "failed to load" in message(catalogue, "judge", "spa-rubric/rubric")
    assert "failed to load" not in message(catalogue, "judge", "spa-align/rubric")


def test_a_disabled_plugin_is_named_where_a_name_is_missing(install: Install) -> None:
    install("stranger", points={"odd": "whatever"})
    assert message(build_catalogue("no:odd,no:rubric"), "judge", "spa-align/x").endswith(
        "Valid names: constitution, ensemble."
    )
    assert "Plugin 'odd' (stranger 1.0) is disabled by option -P or SPA_PLUGINS." in message(
        build_catalogue("no:odd"), "judge", "odd"
    )


def test_an_incompatible_component_says_what_to_install(install_judge: Install) -> None:
    install_judge("future", "later", api=2)
    catalogue = build_catalogue()
    (found,) = [each for each in catalogue.plugins if each.distribution == "future"]
    assert found.status == "incompatible"
    for name in ("later", "future/later"):
        assert message(catalogue, "judge", name) == (
            "plugin 'later' (future 1.0): judge 'later' is written for version 2 of the "
            "judge contract, this spa supports 1. Try: pip install --upgrade spa-align."
        )
    assert "later" not in catalogue.names("judge")


def test_a_component_for_an_older_contract_wants_a_newer_plugin() -> None:
    newer = replace(KINDS["judge"], apis=(2, 3))
    assert incompatibility(entry("old").component, newer, "stranger") == (
        "judge 'old' is written for version 1 of the judge contract, this spa supports 2, 3. "
        "Try: pip install --upgrade stranger"
    )


def test_find_looks_through_all_kinds() -> None:
    catalogue = Catalogue([BUILTIN, plugin("other", entry("spa", "judge"))])
    assert [each.kind for each in catalogue.find("spa")] == ["judge", "loss"]
    assert [each.kind for each in catalogue.find("spa", "loss")] == ["loss"]
    with pytest.raises(PluginError, match=r"^unknown component 'spaa'\. Did you mean 'spa'\?"):
        catalogue.find("spaa")


def test_names_to_leave_out_that_no_plugin_has_are_a_warning(install: Install) -> None:
    install("stranger", points={"odd": "whatever"})
    assert (
        build_catalogue("no:od,no:stranger")
        .warnings[0]
        .startswith(
            "no plugin 'od' to leave out (option -P or SPA_PLUGINS). Did you mean 'odd'? Plugins: "
        )
    )


def test_the_catalogue_is_built_once_for_each_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPA_PLUGINS", "")
    first = load_catalogue()
    assert load_catalogue() is first
    monkeypatch.setenv("SPA_PLUGINS", "none")
    assert load_catalogue() is not first


def test_every_kind_has_its_hook_and_key() -> None:
    from spa.plugins import hookspecs

    hooks = {kind.hook for kind in KINDS.values()}
    assert hooks | {"spa_run_event"} == set(hookspecs.__all__)
    assert kind_of_key("pairs").name == "pair_builder"
    assert kind_of_key("model").name == "backend"
    assert [kind.key for kind in KINDS.values() if kind.many] == ["denoise", "evaluate"]


def test_every_hook_is_documented_with_its_version() -> None:
    from spa.plugins import hookspecs

    for name in hookspecs.__all__:
        assert "versionadded" in (getattr(hookspecs, name).__doc__ or ""), name
