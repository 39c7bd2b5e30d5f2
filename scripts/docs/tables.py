"""Pages of tables: error codes, settings, commands, and requirements."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import yaml

from cimcare.cli import main
from cimcare.codec.network_csv import TABLES
from cimcare.errors import ERRORS
from cimcare.hub.config.brokers import BROKER_KEYS
from cimcare.hub.config.keys import Setting, written
from cimcare.hub.config.partner_keys import PARTNER_KEYS, SUBSCRIPTION_KEYS
from cimcare.hub.config.settings import SETTINGS
from docs.markdown import code, fence, page, table

__all__ = ["ROOT", "pages", "read_requirements"]

ROOT = Path(__file__).resolve().parents[2]

_GROUPS = {
    "XML": "input as bytes",
    "ENV": "envelope",
    "COD": "values that the model cannot hold",
    "SCH": "schema",
    "LEN": "forgiven in lenient reading",
    "CNV": "which verb, noun and parts go together",
    "REF": "references",
    "LIF": "lifecycle",
    "BUS": "business rules of the profiles",
    "EXC": "exchange",
    "SIM": "simulated partners and storms",
    "DRL": "drills",
    "NET": "transport",
    "SET": "settings and files",
}
_ORIGINS = {
    "standard": "the standard says so",
    "reading": "our reading where the standard, or what of it could be seen, leaves it open",
    "profile": "our own profile or choice beyond the standard",
}


def pages() -> dict[str, str]:
    """Pages by path below docs/."""
    return {
        "reference/errors.md": _errors_page(),
        "reference/settings.md": _settings_page(),
        "reference/cli.md": _cli_page(),
        "reference/network-tables.md": _network_page(),
        "conformance/requirements.md": _requirements_page(),
    }


def _errors_page() -> str:
    sections = []
    for prefix, title in _GROUPS.items():
        rows = [
            [code(row.code), row.title, code(row.reply_code), row.level.value, row.soap, str(row.http), row.acts]
            for row in ERRORS.values()
            if row.code.startswith(prefix)
        ]
        heads = ["Code", "Meaning", "Reply code", "Level", "SOAP fault", "HTTP", "Who acts"]
        sections.append(f"## {prefix}: {title}\n\n{table(heads, rows)}")
    return page(
        "Error codes",
        "the error table",
        """\
A finding says where, what was found, what would pass, and which clause asks for it. Its code is **ours**. On the wire
it becomes an `Error` of the reply: `code` is the reply code, `level` the level, `reason` the meaning, `details` the
whole finding.

- *Reply code*: the list of IEC 61968-9:2013, on which IEC 61968-100:2013 leaves the choice open.
- *SOAP fault*: side at fault (`Client` and `Server` of SOAP 1.1, `Sender` and `Receiver` of SOAP 1.2), where the
  answer is a fault because not even the header could be read.
- *HTTP*: status where the transport speaks for itself (REST interface, refused methods, overload). Over SOAP a `FAILED`
  reply travels with 200 and a fault with 500, or with the status that HTTP has a word for (413, 415, 503).
- A code is never used again for something else.""",
        *sections,
    )


def _settings_page() -> str:
    rows = [
        [code(each.name), each.kind, code(written(each.default)), each.unit, code(each.variable), each.text]
        for each in SETTINGS
    ]
    return page(
        "Settings",
        "`cimcare.hub.config.settings` and `cimcare.hub.config.partner_keys`",
        """\
Settings stand in a TOML file: the one that `--config` names, else the one that the variable `CIMCARE_CONFIG` names,
else `cimcare.toml` in the working directory, which may be missing. Variables of the environment win over the file,
options of a command over both; a list is given there as one text, parted by commas or blanks. What is unknown, of the
wrong type, out of range or does not go together is refused, with file, line and what would pass; `cimcare config check`
shows all of it at once.""",
        table(["Setting", "Value", "Default", "Unit", "Variable", "Meaning"], rows),
        "## Example",
        fence('port = 8080\n\n[hub]\ncontext = "TESTING"\n\n[limits]\nmax_bytes = 16777216', "toml"),
        "## Brokers",
        """\
`[brokers.<name>]` is a message broker that JMS clients use. What is between braces in a destination stands for the
context of the broker, and for noun and verb of the message. A hub that runs takes over changes at its next start.
`cimcare brokers` shows how it is with them.""",
        _keys_table(BROKER_KEYS),
        "## Partners",
        """\
`[systems.<role>]` with a `url` is the remote system that plays the role `cis`, `oms`, `wms` or `third-party`; without
it the role is built in. `[partners.<name>]` is any other partner. A partner that plays no role and owns no noun only
listens. Behind a broker (`kind = "jms"`) it has `broker` in place of `url`. Keys of a role may also come from the
environment, such as `CIMCARE_SYSTEMS_OMS_URL` or `CIMCARE_SYSTEMS_THIRD_PARTY_KIND`. Files are looked for from the
working directory. How to:
[Connect a system](../guides/connect-a-system.md).""",
        _keys_table(PARTNER_KEYS),
        "## Subscriptions",
        """\
`[subscriptions.<name>]` says which events a partner wants. Values of one key are alternatives, keys add up. In place of
`partner` it may have a `url` and the other keys of a partner but `owns`, `forward`, `replies` and `reply_seconds`; that
makes a partner of the subscription's name which only listens.""",
        _keys_table(SUBSCRIPTION_KEYS),
        "## Example with partners",
        fence(_EXAMPLE, "toml"),
    )


_EXAMPLE = """\
[systems.oms]
source = "OMS"
url = "https://oms.example/soap"

[partners.billing]
kind = "rest"
url = "https://billing.example/messages"
owns = ["CustomerAgreements"]

[subscriptions.field-app]
kind = "webhook"
url = "https://field.example/events"
secret_file = "/etc/cimcare/field-app.key"
nouns = ["ServiceOrders", "WorkRequests"]
areas = ["Northlake"]"""


def _keys_table(keys: tuple[Setting, ...]) -> str:
    rows = [
        [code(each.name), each.kind, "" if each.default == "" else code(written(each.default)), each.unit, each.text]
        for each in keys
    ]
    return table(["Key", "Value", "Default", "Unit", "Meaning"], rows)


def _network_page() -> str:
    parts = []
    for name, columns in TABLES.items():
        rows = [[code(column.name), "yes" if column.is_required else "", column.text] for column in columns]
        parts += [f"## {name.capitalize()}", table(["Column", "Needed", "Meaning"], rows)]
    return page(
        "Tables of a network",
        "cimcare.codec.network_csv",
        """\
A network as CSV: comma, semicolon or tab, UTF-8, the first row names the columns, in any order. Capitals, blanks and
hyphens in their names do not count. Which table it is is seen from its columns; each may come in several files. A
column that is not listed is told and not read. Truths are `yes` or `no`, `true` or `false`, `1` or `0`. How to:
[Give it your network](../guides/network.md). The form is ours.""",
        *parts,
    )


def _cli_page() -> str:
    parts = [fence(_help(main, "cimcare", None), "text")]
    for name, command in _commands(main, "cimcare", click.Context(main, info_name="cimcare")):
        parts.append(f"## {name}\n\n{fence(_help(command[0], name, command[1]), 'text')}")
    return page(
        "Commands",
        "the help of every command",
        """\
Data is printed to stdout, everything else to stderr. Exit code 0: fine; 1: the answer is no; 2: wrong use.""",
        *parts,
    )


def _commands(
    group: click.Group, prefix: str, context: click.Context
) -> Iterator[tuple[str, tuple[click.Command, click.Context]]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, name
        title = f"{prefix} {name}"
        yield title, (command, context)
        if isinstance(command, click.Group):
            yield from _commands(command, title, click.Context(command, info_name=name, parent=context))


def _help(command: click.Command, name: str, parent: click.Context | None) -> str:
    # The width is fixed, so that the page does not depend on the terminal that made it.
    context = click.Context(
        command,
        info_name=name.rpartition(" ")[2],
        parent=parent,
        terminal_width=100,
        help_option_names=["-h", "--help"],
    )
    return "\n".join(line.rstrip() for line in command.get_help(context).splitlines())


# ----------------------------------------------------------------------------------------------- requirements


def read_requirements() -> list[dict[str, object]]:
    """The statements of docs/conformance/requirements.yaml."""
    read = yaml.safe_load((ROOT / "docs/conformance/requirements.yaml").read_text("utf-8"))
    assert isinstance(read, list)
    return read


def _requirements_page() -> str:
    requirements = read_requirements()
    counts = {origin: sum(each["origin"] == origin for each in requirements) for origin in _ORIGINS}
    summary = table(
        ["Origin", "Meaning", "Statements"],
        [[f"**{origin}**", text, str(counts[origin])] for origin, text in _ORIGINS.items()],
    )
    sections = []
    for group in dict.fromkeys(str(each["group"]) for each in requirements):
        rows = [
            [
                f'<a id="{each["id"]}"></a>{each["id"]}',
                str(each["clause"]),
                str(each["text"]),
                str(each["origin"]),
                "<br>".join(_test_link(str(test)) for test in _list(each["tests"])),
            ]
            for each in requirements
            if each["group"] == group
        ]
        sections.append(f"## {group}\n\n{table(['Id', 'Clause', 'Statement', 'Origin', 'Shown by'], rows)}")
    return page(
        "Requirements",
        "docs/conformance/requirements.yaml",
        f"""\
Every normative statement that this release implements, in our own words, with the tests that show it. A test checks
that each statement names tests and that these exist. What is not listed is not claimed; what is known to be missing
stands in [the overview](README.md). {len(requirements)} statements:""",
        summary,
        *sections,
    )


def _list(value: object) -> list[object]:
    assert isinstance(value, list), value
    return value


def _test_link(test: str) -> str:
    file, _, name = test.partition("::")
    return f"[{re.sub('^test_', '', name)}](../../{file})"
