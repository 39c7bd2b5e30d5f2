"""schema list, export and compare."""

import json
from pathlib import Path

from lxml import etree

from cimcare.model.nouns import NOUNS, Noun
from cimcare.schema import Catalog
from tests.unit.cli.conftest import Run

XSD = "{http://www.w3.org/2001/XMLSchema}"


def ours(noun: Noun) -> bytes:
    """Our schema of a noun."""
    found = Catalog().find(NOUNS[noun].namespace, partial=False)
    assert found is not None
    return found[1]


def test_list_names_every_document(run: Run) -> None:
    """The overview of what is validated against, and where it comes from."""
    result = run("schema", "list")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    for entry in NOUNS.values():
        assert sum(f" {entry.namespace} (" in line for line in lines) >= 2  # full and partial
        assert any(f" {entry.query_namespace} (" in line for line in lines)
    assert all("(built in; " in line for line in lines if ".xsd" in line)


def test_list_for_programs(run: Run) -> None:
    """One object a line, with the same documents."""
    lines = run("schema", "list", "--json").stdout.splitlines()
    assert len(lines) == len(run("schema", "list").stdout.splitlines())
    assert {"kind", "form", "file", "namespace", "origin", "clause"} <= set(json.loads(lines[0]))


def test_list_shows_ones_own(run: Run) -> None:
    """Whether the own schema is in force is seen here and nowhere else."""
    Path("own").mkdir()
    Path("own/tickets.xsd").write_bytes(ours(Noun.TROUBLE_TICKETS))
    (line,) = [line for line in run("schema", "list", "--schema-dir", "own").stdout.splitlines() if "own/" in line]
    assert NOUNS[Noun.TROUBLE_TICKETS].namespace in line


def test_export_writes_what_it_prints(run: Run) -> None:
    """For those who generate code: every printed file is there and readable, WSDLs with the address asked for."""
    result = run("schema", "export", "out", "--address", "https://hub.example:8443/soap/")
    assert (result.exit_code, result.stderr) == (0, "")
    files = [Path(line) for line in result.stdout.splitlines()]
    assert {file.suffix for file in files} == {".xsd", ".wsdl", ".json"}
    assert sorted(files) == sorted(file for file in Path("out").rglob("*") if file.is_file())
    for file in files:
        if file.suffix == ".json":
            assert json.loads(file.read_text())
        else:
            root = etree.parse(file).getroot()
            if file.suffix == ".wsdl":
                name = "" if file.stem == "Service" else f"/{file.stem}"
                assert f'location="https://hub.example:8443/soap{name}"' in file.read_text()
            imports = [*root.iter(f"{XSD}import"), *root.iter(f"{XSD}include")]
            for location in filter(None, (element.get("schemaLocation") for element in imports)):
                assert (file.parent / location).exists(), (file, location)


def test_export_twice_is_the_same(run: Run) -> None:
    """An export goes into somebody's repository; it must not change by itself."""
    run("schema", "export", "one")
    run("schema", "export", "one")
    run("schema", "export", "two")
    for file in Path("one").rglob("*.*"):
        assert file.read_bytes() == (Path("two") / file.relative_to("one")).read_bytes()


def test_export_to_a_file_is_wrong_use(run: Run) -> None:
    """Nothing is overwritten."""
    Path("taken").write_text("x")
    assert run("schema", "export", "taken").exit_code == 2
    assert run("schema", "export", "taken/below").exit_code == 1
    assert Path("taken").read_text() == "x"


def test_compare_with_itself_finds_nothing(run: Run) -> None:
    """The base line: no difference where there is none."""
    for noun in Noun:
        Path("official.xsd").write_bytes(ours(noun))
        result = run("schema", "compare", "official.xsd")
        assert (result.exit_code, result.stdout) == (0, ""), noun
        assert result.stderr.startswith("0 differences to ")


def test_compare_shows_each_difference(run: Run) -> None:
    """What a user who owns the official schema runs first; each difference is a line."""
    text = ours(Noun.TROUBLE_TICKETS).decode()
    assert 'name="troubleCode"' in text
    Path("official.xsd").write_text(text.replace('name="troubleCode"', 'name="troubleSort"'))
    result = run("schema", "compare", "official.xsd")
    assert result.exit_code == 1
    assert result.stderr.startswith("2 differences to ")
    lines = result.stdout.splitlines()
    assert any("troubleSort" in line for line in lines)
    assert any("troubleCode" in line for line in lines)
    as_json = [json.loads(line) for line in run("schema", "compare", "--json", "official.xsd").stdout.splitlines()]
    assert len(as_json) == len(lines)
    assert all({"path", "kind"} <= set(one) for one in as_json)


def test_compare_of_another_namespace_year_finds_its_counterpart(run: Run) -> None:
    """The official namespace is not known to us; the root element is enough to tell which noun it is."""
    text = ours(Noun.INCIDENTS).decode().replace("/2014/", "/2015/")
    Path("official.xsd").write_text(text)
    result = run("schema", "compare", "official.xsd")
    assert result.exit_code == 1
    assert "/2015/" in result.stdout


def test_compare_of_nonsense_is_wrong_use(run: Run) -> None:
    """The file is named."""
    for content in ("<a/>", "text", ""):
        Path("bad.xsd").write_text(content)
        result = run("schema", "compare", "bad.xsd")
        assert (result.exit_code, result.stdout) == (2, "")
        assert "bad.xsd" in result.stderr
    Path("other.xsd").write_text('<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:x"/>')
    result = run("schema", "compare", "other.xsd")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "schema list" in result.stderr
