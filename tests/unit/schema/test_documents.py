"""WSDLs and bundles as a foreign SOAP client sees them, exported and served."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest
import zeep
from lxml import etree

from cimcare.model.envelope import MESSAGE_NAMESPACE
from cimcare.model.nouns import ENTRIES, NOUNS, Noun, NounEntry
from cimcare.model.verbs import Verb
from cimcare.schema import Catalog, check_message
from cimcare.schema.documents import (
    DEFAULT_ADDRESS,
    bundle,
    export,
    list_documents,
    render_schema,
    render_wsdl,
    schema_files,
)
from cimcare.schema.wsdl import GENERIC, SERVICES, ServiceRole

SOAP = {
    "SOAP": "http://schemas.xmlsoap.org/soap/envelope/",
    "SOAP12": "http://www.w3.org/2003/05/soap-envelope",
}
TICKETS = NOUNS[Noun.TROUBLE_TICKETS]


class _Served(zeep.Transport):
    """Answers like a hub: `<address>?wsdl` and `<address>?xsd=<file>`, and nothing else."""

    def load(self, url: str) -> bytes:
        parts = urlsplit(url)
        service = parts.path.removeprefix("/soap").strip("/") or GENERIC
        address = f"{parts.scheme}://{parts.netloc}{parts.path}"
        if parts.query == "wsdl":
            return render_wsdl(service, address)
        assert parts.query.startswith("xsd="), url
        return render_schema(service, parts.query.removeprefix("xsd="), address)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("export")
    export(directory)
    return directory


def _clients(service: str, folder: Path) -> list[zeep.Client]:
    served = "http://hub.example:8968/soap" + ("" if service == GENERIC else f"/{service}")
    return [
        zeep.Client(str(folder / "wsdl" / f"{service}.wsdl")),
        zeep.Client(f"{served}?wsdl", transport=_Served()),
    ]


def _body(client: zeep.Client, service: str, port: str, operation: str, **parts: object) -> etree._Element:
    envelope = client.create_message(client.bind(service, port), operation, **parts)
    return envelope[-1][0]


@pytest.mark.parametrize("service", SERVICES)
def test_a_client_is_built_for_every_typed_service(service: str, folder: Path) -> None:
    """The template's names are what generated code and configuration of partners hang on."""
    described = SERVICES[service]
    noun = described.entry.noun
    for client in _clients(service, folder):
        definition = client.wsdl.services[service]
        assert str(definition.name) == f"{{{described.namespace}}}{service}" or definition.name == service
        assert list(definition.ports) == [f"{noun}_Port", f"{noun}_Port12"]
        for port in definition.ports.values():
            operations = port.binding._operations
            assert set(operations) == {f"{verb.capitalize()}{noun}" for verb in described.verbs}
            actions = {f"{verb.capitalize()}{noun}": described.action(verb) for verb in described.verbs}
            for name, operation in operations.items():
                assert operation.soapaction == actions[name]
                assert operation.input.body.qname == f"{{{described.message_namespace}}}{name}"
                assert operation.output.body.qname == f"{{{described.message_namespace}}}{noun}ResponseMessage"
                assert list(operation.faults) == ["FaultMessage"]


def test_actions_and_namespaces_are_those_of_the_templates() -> None:
    """Written out once, so that a mistake in the rule that makes them is seen."""
    execute, get = SERVICES["ExecuteTroubleTickets"], SERVICES["GetTroubleTickets"]

    assert execute.namespace == "http://iec.ch/TC57/2014/ExecuteTroubleTickets"
    assert execute.message_namespace == "http://iec.ch/TC57/2014/TroubleTicketsMessage"
    assert execute.action(Verb.CREATE) == "http://iec.ch/TC57/2014/TroubleTickets/CreateTroubleTickets"
    assert get.message_namespace == "http://iec.ch/TC57/2014/GetTroubleTicketsMessage"
    assert get.action(Verb.GET) == "http://iec.ch/TC57/2014/GetTroubleTickets/GetTroubleTickets"
    events = ["canceled", "changed", "closed", "created", "deleted"]
    transactions = ["create", "change", "close", "cancel", "delete"]
    verbs = {role: [str(verb) for verb in SERVICES[f"{role}Incidents"].verbs] for role in ServiceRole}
    assert verbs[ServiceRole.REQUEST] == ["get", *transactions]
    assert verbs[ServiceRole.EXECUTE] == transactions
    assert verbs[ServiceRole.GET] == ["get"]
    assert [sorted(verbs[role]) for role in (ServiceRole.SEND, ServiceRole.RECEIVE, ServiceRole.REPLY)] == [events] * 3
    assert len(SERVICES) == 6 * len(ENTRIES)


@pytest.mark.parametrize("port", SOAP)
def test_a_client_of_the_generic_service_sends_a_valid_typed_payload(port: str, folder: Path) -> None:
    """The wildcard of Payload takes any element; the client must find ours in the WSDL."""
    for client in _clients(GENERIC, folder):
        element = client.get_element(f"{{{TICKETS.namespace}}}TroubleTickets")
        tickets = element(TroubleTicket=[{"reportingKind": "call", "Names": [{"name": "T-1"}]}])
        query = client.get_element(f"{{{TICKETS.query_namespace}}}GetTroubleTickets")
        filters = query(TroubleTicket=[{"state": "open"}])

        create = _body(
            client,
            GENERIC,
            port,
            "Request",
            Header={"Verb": "create", "Noun": "TroubleTickets"},
            Payload={"_value_1": [zeep.xsd.AnyObject(element, tickets)]},
        )
        get = _body(
            client,
            GENERIC,
            port,
            "Request",
            Header={"Verb": "get", "Noun": "TroubleTickets"},
            Request={"_value_1": [zeep.xsd.AnyObject(query, filters)]},
        )
        event = _body(client, GENERIC, port, "PublishEvent", Header={"Verb": "created", "Noun": "TroubleTickets"})

        assert create.getroottree().getroot().tag == f"{{{SOAP[port]}}}Envelope"
        assert [etree.QName(body).localname for body in (create, get, event)] == [
            "RequestMessage",
            "RequestMessage",
            "EventMessage",
        ]
        for body in (create, get, event):
            assert check_message(body, Catalog()) == ()


def test_the_generic_service_has_the_names_of_the_standard(folder: Path) -> None:
    """Operations, actions and ports that partners have configured already."""
    for client in _clients(GENERIC, folder):
        assert client.wsdl.location
        ports = client.wsdl.services["Service"].ports
        assert list(ports) == ["SOAP", "SOAP12"]
        for port in ports.values():
            actions = {name: operation.soapaction for name, operation in port.binding._operations.items()}
            assert actions == {name: f"http://iec.ch/61968/{name}" for name in ("Request", "PublishEvent", "Response")}
            assert all(not operation.faults for operation in port.binding._operations.values())
    root = etree.fromstring(render_wsdl(GENERIC, DEFAULT_ADDRESS))
    assert root.get("targetNamespace") == "http://iec.ch/TC57/2011/abstract"
    assert root.find("{*}portType").get("name") == "Operations"


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.noun)
def test_typed_messages_of_a_client_are_valid(entry: NounEntry, folder: Path) -> None:
    """What the WSDL makes a client send, validation must take."""
    noun = entry.noun
    header = {"Verb": "get", "Noun": noun}
    element_name = f"{{{entry.namespace}}}{noun}"
    for client in _clients(f"Request{noun}", folder):
        content = client.get_element(element_name)(**{entry.item_name: [{}]})
        payload = {str(noun): content, "Format": "XML"}
        bodies = [
            _body(client, f"Request{noun}", f"{noun}_Port", f"Get{noun}", Header=header, Request={"ID": ["1"]}),
            _body(
                client,
                f"Request{noun}",
                f"{noun}_Port12",
                f"Create{noun}",
                Header=header | {"Verb": "create"},
                Payload=payload,
            ),
            _body(
                client,
                f"Request{noun}",
                f"{noun}_Port",
                f"Cancel{noun}",
                Header=header | {"Verb": "cancel"},
                Request={"ID": ["1"]},
            ),
        ]
        for body in bodies:
            assert etree.QName(body).namespace == entry.message_namespace
            assert etree.QName(body[0][0]).namespace == MESSAGE_NAMESPACE
            assert check_message(body, Catalog()) == ()


def test_a_typed_client_reads_answers_and_faults() -> None:
    """An answer that does not fit the WSDL breaks generated clients, even if a person could read it."""
    client = zeep.Client("http://hub.example/soap/ExecuteTroubleTickets?wsdl", transport=_Served())
    port = client.wsdl.services["ExecuteTroubleTickets"].ports["TroubleTickets_Port"]
    operation = port.binding.get("CreateTroubleTickets")
    answer = (
        f"<e:Envelope xmlns:e='{SOAP['SOAP']}' xmlns:t='{TICKETS.message_namespace}' xmlns='{MESSAGE_NAMESPACE}'>"
        "<e:Body><t:TroubleTicketsResponseMessage>"
        "<t:Header><Verb>reply</Verb><Noun>TroubleTickets</Noun></t:Header>"
        "<t:Reply><Result>OK</Result><ID kind='uuid'>1</ID></t:Reply>"
        "</t:TroubleTicketsResponseMessage></e:Body></e:Envelope>"
    )

    value = operation.process_reply(etree.fromstring(answer))

    assert value["Reply"]["Result"] == "OK"
    assert value["Reply"]["ID"][0]["_value_1"] == "1"


@pytest.mark.parametrize("service", [GENERIC, *SERVICES])
def test_bundles_are_complete_and_name_no_placeholder(service: str) -> None:
    """A folder given to a partner must work on its own."""
    described = SERVICES.get(service)
    files = bundle(described.entry.noun, described.role) if described else bundle(None)

    assert set(files) == {f"{service}.wsdl", *(f"xsd/{file}" for file in schema_files(service))}
    address = DEFAULT_ADDRESS if described is None else f"{DEFAULT_ADDRESS}/{service}"
    assert files[f"{service}.wsdl"].count(f'location="{address}"'.encode()) == 2
    for path, raw in files.items():
        assert b"urn:cimcare" not in raw
        for node in etree.fromstring(raw).iterfind(".//{http://www.w3.org/2001/XMLSchema}import"):
            place = node.get("schemaLocation", "")
            assert (f"xsd/{place}" if path.startswith("xsd/") else place) in files


def test_served_documents_import_from_their_own_address() -> None:
    """A client that fetched the WSDL through a proxy must find the schemas there too; the address is escaped."""
    address = "https://hub.example/a&b/soap/GetIncidents"
    wsdl = etree.fromstring(render_wsdl("GetIncidents", address))
    schema = etree.fromstring(render_schema("GetIncidents", "GetIncidentsMessage.xsd", address))

    places = [node.get("location") for node in wsdl.iterfind(".//{*}address")]
    assert places == [address, address]
    for document in (wsdl, schema):
        imports = document.findall(".//{http://www.w3.org/2001/XMLSchema}import")
        assert imports
        for node in imports:
            assert node.get("schemaLocation", "").startswith(f"{address}?xsd=")


@pytest.mark.parametrize(
    ("service", "file"),
    [("GetIncidents", "ServiceOrders.xsd"), ("GetIncidents", "../derive.py"), ("Service", "TroubleTicketsMessage.xsd")],
)
def test_only_the_files_of_a_service_are_given(service: str, file: str) -> None:
    """The name comes out of a URL."""
    with pytest.raises(KeyError):
        render_schema(service, file)
    with pytest.raises(KeyError):
        render_wsdl("../" + service, DEFAULT_ADDRESS)


def test_a_users_schema_is_served_and_exported_in_place_of_ours(tmp_path: Path) -> None:
    """Clients must be built from the schema that validation uses."""
    (tmp_path / "mine").mkdir()
    own = render_schema("GetIncidents", "Incidents.xsd").replace(b"our reading", b"the user's own")
    (tmp_path / "mine" / "official.xsd").write_bytes(own)
    catalog = Catalog(tmp_path / "mine")

    assert render_schema("GetIncidents", "Incidents.xsd", catalog=catalog) == own
    export(tmp_path / "out", catalog=catalog)
    assert (tmp_path / "out" / "official.xsd").read_bytes() == own
    assert (tmp_path / "out" / "wsdl" / "xsd" / "Incidents.xsd").read_bytes() == own


def test_an_export_can_be_used_as_schema_directory(folder: Path) -> None:
    """Whoever wants to change a schema starts from ours."""
    catalog = Catalog(folder)

    for entry in ENTRIES:
        empty = etree.fromstring(f"<{entry.noun} xmlns='{entry.namespace}'/>")
        ours = [check_message(empty, one) for one in (catalog, Catalog())]
        assert ours == [(), ()]
        full, partial = (catalog.find(entry.namespace, partial=one) for one in (False, True))
        assert full is not None and partial is not None
        assert (full[0].path, partial[0].path) == (
            str(folder / f"{entry.noun}.xsd"),
            str(folder / "partial" / f"{entry.noun}.xsd"),
        )


def test_list_names_every_schema_and_every_service() -> None:
    """One look shows what may be exported, compared or overridden."""
    listed = list_documents()

    assert [one.file for one in listed if one.kind == "service"] == [f"{name}.wsdl" for name in (GENERIC, *SERVICES)]
    assert {role.value for role in ServiceRole} == {"Send", "Receive", "Reply", "Request", "Execute", "Get"}
    assert len({(one.file, one.form, one.kind) for one in listed}) == len(listed)
