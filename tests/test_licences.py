"""What licences ask, as sources write them, and what of it may be released."""

import pytest

from octomed_jax import manifests
from octomed_jax.cli.main import main
from octomed_jax.errors import UserError
from octomed_jax.licences import check_release, notes, refusal, terms
from octomed_jax.questions.packages.registry import SOURCES
from octomed_jax.questions.registry import ADAPTERS
from octomed_jax.schema import Question, Record
from octomed_jax.traces import stage
from tests.traces.corpus import questions, row_of, write_records, write_rows

FREE = (
    "MIT", "Apache-2.0", "BSD-3-Clause", "CC0-1.0", "CC-BY-4.0", "CC-BY-3.0", "cc-by-4.0", "CC BY", "CC BY 2.5",
    "MIT; US public domain (ICD-10-CM)", "CC0-1.0; no known restrictions (stained colon)", "MIT OR CC-BY-ND-4.0",
    "LicenseRef-no-known-restrictions", "https://creativecommons.org/licenses/by/4.0/", "Unlicense", "ODC-By",
    "Creative Commons Attribution 4.0 International", "CC-BY-3.0-IGO", "CC BY 4.0 (images)",
)  # fmt: skip
ASKED = {
    "CC-BY-SA-4.0": "share-alike", "CC BY-SA": "share-alike", "GPL-3.0-or-later (GNU Health)": "share-alike",
    "CC-BY-4.0 (UniProt); GPL-3.0-or-later (GNU Health)": "share-alike", "ODbL-1.0": "share-alike",
    "LGPL-2.1": "share-alike", "Attribution-ShareAlike": "share-alike", "GPLv3": "share-alike",
    "CC-BY-NC-4.0": "non-commercial", "cc_by_nc": "non-commercial", "Free for research use only": "non-commercial",
    "CC BY-NC-SA 4.0": "non-commercial share-alike", "CC BY-ND": "no-derivatives", "cc-by-nd-4.0": "no-derivatives",
    "CC BY-NC-ND": "no-derivatives non-commercial", "CC-BY-NC-ND-3.0-IGO": "no-derivatives non-commercial",
    "https://creativecommons.org/licenses/by-nc-nd/4.0/": "no-derivatives non-commercial",
    "Creative Commons Attribution-NonCommercial-NoDerivatives 4.0": "no-derivatives non-commercial",
    "CC-BY-SA-4.0 AND CC-BY-ND-4.0": "no-derivatives share-alike", "CC-BY-SA-4.0 OR CC-BY-NC-SA-4.0": "share-alike",
    "PhysioNet Credentialed Health Data License 1.5.0": "agreement",
    "Stanford University Dataset Research Use Agreement": "agreement",
    "ReXGradient-160K Non-Commercial Data Access and Use Agreement": "agreement non-commercial",
    "CC-BY-NCND": "no-derivatives non-commercial", "CC BY NCSA 4.0": "non-commercial share-alike",
    "CC-BY-4.0-ND": "no-derivatives", "CC-BY-X": "own-terms", "CC-BY for members": "own-terms",
    "Creative Commons Attribution for members": "own-terms", "Creative Commons": "own-terms",
    "All rights reserved": "all-rights-reserved", "© 2020, some rights are reserved": "all-rights-reserved",
    "Proprietary": "all-rights-reserved", "UNLICENSED": "all-rights-reserved",
    "MIT Press, all rights reserved": "all-rights-reserved", "Not for redistribution": "all-rights-reserved",
    "LicenseRef-HPO": "own-terms", "LicenseRef-HPO; CC-BY-4.0 (Orphanet)": "own-terms", "See the journal": "own-terms",
    "": "unknown", " ; ": "unknown", "unknown": "unknown", "NO-CC CODE": "unknown", "MIT; unknown": "unknown",
    "as each of its original data sets has it": "unknown",
    "as its original data set has it (restricted access)": "agreement unknown",
}  # fmt: skip


@pytest.mark.parametrize(("licence", "asked"), [*((licence, "") for licence in FREE), *ASKED.items()])
def test_what_a_licence_asks(licence, asked):
    assert sorted(terms(licence)) == asked.split()


def test_every_licence_of_our_sources_is_looked_at():
    """One that is new here belongs into the table above, read by a person."""
    known = {*FREE, *ASKED, "MIT (evals, MedMCQA)", "MIT (lm-eval, MMLU)", "MIT (medplexity, MedMCQA, PubMedQA)"} | {
        "MIT (pydicom, pydicom-data)", "LicenseRef-WordNet-3.0",
        "BSD-3-Clause (mricron-data, nilearn); LicenseRef-MNI-ICBM152 (template)",
    }  # fmt: skip
    assert {source.licence for source in (*ADAPTERS.values(), *SOURCES.values())} <= known


def test_a_card_names_licences_with_their_sources():
    licences = {"slake": ["CC-BY-4.0"], "pmc_vqa": {"CC-BY-SA-4.0": 9}, "x": ("CC-BY-SA-4.0", "", "<b>odd</b>")}
    lines = notes(licences, {"slake": "open", "mimic_cxr": "credentialed"})
    assert [line.split(".")[0] for line in lines] == [
        "Credentialed: mimic_cxr",
        "Share-alike: CC-BY-SA-4",
        "Terms of their own: b odd /b (x)",
        "Licence unknown: none stated (x)",
    ]
    assert "CC-BY-SA-4.0 (pmc_vqa, x)" in lines[1]
    assert notes({"slake": ["CC-BY-4.0"]}) == []
    assert notes({"a": ["MIT"]}, "credentialed")[0].startswith("Credentialed: a.")


def test_only_what_may_be_released_is():
    assert refusal("slake", "CC-BY-4.0", "open") == ""
    assert refusal("pmc_vqa", "CC-BY-SA-4.0", "open") == ""
    for licence in ("unknown", "", "CC-BY-X", "All rights reserved", "Research Use Agreement"):
        assert refusal("mine", licence, "open").startswith("mine is under ")
        assert refusal("mine", licence, "open", ["mine"]) == ""
    assert "allows no derivatives" in refusal("mine", "CC-BY-NCND; unknown", "open", ["mine"])
    assert "is credentialed" in refusal("mine", "MIT", "credentialed", ["mine"])
    rows = [
        {"source": "slake", "licence": "CC-BY-4.0", "access": "open"},
        {"source": "atlas", "licence": "CC BY-NC-ND", "access": "open"},
        {"source": "mimic_cxr", "licence": "PhysioNet", "access": "credentialed"},
    ]
    check_release(rows[:1], "traces")
    with pytest.raises(UserError) as refused:
        check_release(rows * 3, "traces")
    line = str(refused.value)
    assert "atlas is under CC BY-NC-ND, which allows no derivatives; mimic_cxr (PhysioNet) is credentialed" in line
    assert line.count("atlas") == 2
    assert "leave it out (config.traces.leave_out=atlas,mimic_cxr), or set" in line
    with pytest.raises(UserError, match=r"have read and that allow it \(config.traces.permitted=mine\), or set"):
        check_release([*rows, {"source": "mine", "licence": "", "access": "open"}], "traces")


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"source": "atlas", "licence": "CC BY-NC-ND 4.0"}, "atlas is under CC BY-NC-ND 4.0"),
        ({"source": "wards", "access": "credentialed"}, "wards (CC0-1.0) is credentialed"),
        ({"source": "mine", "licence": ""}, "mine is under no licence that is stated"),
    ],
)
def test_shards_for_release_refuse_what_may_not_be_released(tmp_path, root, capsys, fields, named):
    made = questions(4)
    bad = Question(**vars(made[3]) | fields)
    records = [*(Record(one, (f"\\boxed{{{one.answer}}}",)) for one in made[:3]), Record(bad, ("\\boxed{4}",))]
    write_records(tmp_path / "traces", records)
    words = ["shard", f"--config={root}/configs/demo.py:tiny", f"--config.run={tmp_path}"]
    assert main([*words, "--config.traces.release=true"]) == 2
    assert named in capsys.readouterr().err
    assert not (tmp_path / "shards").exists()
    assert main(words) == 0
    # Finished shards are no way around it.
    assert main([*words, "--config.traces.release=true"]) == 2
    assert "traces.release: False -> True" in capsys.readouterr().err


def test_what_was_not_accepted_stands_in_nobodys_way(tmp_path, root, monkeypatch):
    made = questions(2)
    bad = row_of(Record(Question(**vars(made[1]) | {"licence": "CC BY-ND"}), ("\\boxed{x}",)))
    bad["verdicts"][0]["verdict"] = "wrong"
    write_rows(tmp_path / "traces", [row_of(Record(made[0], ("\\boxed{1}",))), bad])
    words = ["shard", f"--config={root}/configs/demo.py:tiny", f"--config.run={tmp_path}"]
    assert main([*words, "--config.traces.release=true"]) == 0
    assert manifests.read_manifest(tmp_path / "shards", "shard").config["traces"]["release"] is True
    monkeypatch.setattr(stage, "trained_on", lambda *_: pytest.fail("the lake of finished shards was read again"))
    assert main([*words, "--config.traces.release=true"]) == 0


def test_what_may_not_be_released_can_be_left_out(tmp_path, root, capsys):
    made = questions(6)
    bad = [{"source": "wards", "access": "credentialed", "licence": "PhysioNet"}, {"source": "mine", "licence": "ours"}]
    rows = [Question(**vars(one) | fields) for one, fields in zip(made, [*bad, {}, {}, {}, {}], strict=True)]
    write_rows(tmp_path / "traces", (row_of(Record(one, (f"\\boxed{{{one.answer}}}",))) for one in rows))
    words = [
        "shard",
        f"--config={root}/configs/demo.py:tiny",
        f"--config.run={tmp_path}",
        "--config.traces.release=true",
    ]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "config.traces.leave_out=mine,wards" in said
    assert "config.traces.permitted=mine)" in said
    assert main([*words, "--config.traces.leave_out=ward"]) == 2
    assert "names a source 'ward' (did you mean 'wards'?)" in capsys.readouterr().err
    assert main([*words, "--config.traces.leave_out=wards", "--config.traces.permitted=mine"]) == 0
    shards = manifests.read_manifest(tmp_path / "shards", "shard")
    assert (shards.access, set(shards.licences)) == ("open", {made[2].licence, "ours"})
    assert "wards" not in shards.extra["sources"]
    assert shards.counts["records"] == 5
    assert shards.config["traces"]["permitted"] == ["mine"]
