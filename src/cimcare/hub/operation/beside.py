"""The readiness sheet without a running hub: by settings and database, with drills from this process."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from cimcare.exchange.ports import Clock
from cimcare.exchange.sending import Sender
from cimcare.exchange.store import Store
from cimcare.hub.config.configuration import in_force
from cimcare.hub.config.settings import Settings
from cimcare.hub.new_identifiers import fresh_id
from cimcare.hub.operation.doctor import Doctor
from cimcare.hub.operation.readiness import Check, CheckName, Sheet, State
from cimcare.hub.operation.readiness_facts import Gatherer
from cimcare.hub.outgoing.drilling import Driller
from cimcare.model.nouns import Role
from cimcare.schema import Catalog
from cimcare.schema.catalog import SchemaFileError
from cimcare.store.looking import look_at
from cimcare.store.opening import open_store
from cimcare.transport.partners import HttpSender
from cimcare.transport.soap import TypedService

__all__ = ["examine_beside"]


async def examine_beside(
    settings: Settings, *, services: Mapping[str, TypedService], drills: bool, actor: str
) -> Sheet:
    """The sheet. Partners are those that are in force in the database, as for a hub that runs on it.

    Args:
        settings: All settings.
        services: Strongly typed services by name.
        drills: Whether partners are drilled.
        actor: Who is named in the audit trail.

    Raises:
        DatabaseError: The database went away meanwhile.
    """
    look = await look_at(settings.database)
    if look.failure:
        remedy = "name the database of a hub, with --database or the setting `database`"
        return _only(CheckName.DATABASE, look.failure, "a database of this release", remedy)
    try:
        catalog = Catalog(Path(settings.schema.directory) if settings.schema.directory else None)
    except SchemaFileError as error:
        return _only(CheckName.SCHEMAS, str(error), "schemas that can be used", "mend them; setting schema.directory")
    store = await open_store(settings.database)
    sender = HttpSender(services=services, limits=settings.limits.limits, clock=_now, lenient=settings.hub.lenient)
    try:
        doctor = await _doctor(store, sender, catalog, settings, _now)
        return await (doctor.examine(actor=actor) if drills else doctor.look())
    finally:
        await store.close()
        await sender.close()


async def _doctor(store: Store, sender: Sender, catalog: Catalog, settings: Settings, clock: Clock) -> Doctor:
    partners = (await in_force(store.reader.records)).partners
    driller = Driller(
        store=store,
        sender=sender,
        catalog=catalog,
        settings=settings.doctor,
        sources={role: settings.systems.source_of(role) for role in Role},
        context=settings.hub.context,
        address=settings.hub.address,
        circuits=dict,
        is_busy=lambda: False,
        clock=clock,
        new_id=fresh_id,
    )
    gatherer = Gatherer(store=store, settings=settings, catalog=catalog, clock=clock)
    return Doctor(
        store=store, settings=settings, driller=driller, gatherer=gatherer, partners=lambda: partners, clock=clock
    )


def _only(name: CheckName, found: str, accepted: str, remedy: str) -> Sheet:
    check = Check(name=name, state=State.NO_GO, found=found, accepted=accepted, remedy=remedy)
    return Sheet(at=_now(), state=State.NO_GO, checks=(check,))


def _now() -> datetime:
    return datetime.now(UTC)
