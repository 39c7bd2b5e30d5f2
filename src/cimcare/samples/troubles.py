"""Content of sample trouble tickets and incidents."""

from datetime import datetime

from cimcare.model.enumerations import CustomerKind, NotificationTriggerKind, TroubleReportingKind, WorkStatusKind
from cimcare.model.incident import (
    CustomerIdentity,
    Incident,
    IncidentCustomerNotification,
    IncidentHazard,
    IncidentIdentity,
    IncidentLocation,
    IncidentOutage,
    Incidents,
    IncidentWork,
    Operator,
    ServicePointOutageSummary,
    TroubleTicketIdentity,
    UsagePointIdentity,
)
from cimcare.model.nouns import Noun
from cimcare.model.trouble_ticket import (
    CustomerAgreementPlace,
    CustomerNotification,
    ServiceLocationIdentity,
    TroubleTicket,
    TroubleTicketCustomer,
    TroubleTickets,
)
from cimcare.model.values import (
    CoordinateSystem,
    DateTimeInterval,
    PositionPoint,
    Priority,
    Status,
    StreetAddress,
    StreetDetail,
    TownDetail,
)
from cimcare.samples.draw import mrid_for
from cimcare.samples.northlake import COUNTRY, CRS_URN, PREMISES_COUNT, STATE, TOWN, find_premises, name_of
from cimcare.samples.scene import Form, Scene, sample_mrid

__all__ = ["build_incidents", "build_trouble_tickets"]

_TROUBLES = (
    ("LIGHTS-OUT", "No light in the whole house since a few minutes."),
    ("PART-LIGHTS", "Kitchen and cellar without supply, the other rooms are fine."),
    ("FLICKER", "Lights flicker whenever the wind picks up."),
    ("LOW-VOLTAGE", "Lamps burn very dim, the heat pump has stopped."),
    ("WIRE-DOWN", "A wire hangs over the pavement & sparks."),
    ("NOISE", "Loud hum from the transformer <in front of the house>."),
)
_CAUSES = ("fallen tree", "blown fuse", "lightning", "vehicle against pole", "failed cable joint", "ice load")


def build_trouble_tickets(scene: Scene, form: Form) -> TroubleTickets:
    """Payload with the one ticket of the scene."""
    names = name_of(scene.number("TT"), "TroubleTicketNumber")
    if form is Form.FULL:
        return TroubleTickets(trouble_ticket=(_ticket(scene),))
    if form is Form.CHANGE:
        ticket = TroubleTicket(
            mrid=scene.mrid,
            comment="Caller rang again: smell of burning at the meter box, wishes a call back.",
            hazards=(_hazard("burning smell", scene),),
            names=names,
            notification=_notification(scene, NotificationTriggerKind.etrChange),
        )
    elif form is Form.CHANGED:
        ticket = TroubleTicket(
            mrid=scene.mrid,
            first_responder=scene.draw("responder").pick(("Northlake Fire Brigade", "Northlake Police")),
            last_modified_date_time=scene.at(minutes=-1),
            incident=_incident_of(scene),
            names=names,
        )
    elif form is Form.CANCELED:
        ticket = TroubleTicket(
            mrid=scene.mrid,
            last_modified_date_time=scene.at(minutes=-1),
            names=names,
            status=Status(
                date_time=scene.at(minutes=-1), reason="fault in the customer's own wiring", value="cancelled"
            ),
        )
    elif form is Form.CLOSED:
        ticket = TroubleTicket(
            mrid=scene.mrid,
            date_time_of_report=_reported_at(scene),
            last_modified_date_time=scene.at(minutes=-1),
            resolved_date_time=scene.at(minutes=-2),
            names=names,
            status=Status(date_time=scene.at(minutes=-1), reason="supply back, confirmed by meter", value="resolved"),
        )
    else:
        ticket = TroubleTicket(mrid=scene.mrid, names=names)
    return TroubleTickets(trouble_ticket=(ticket,))


def build_incidents(scene: Scene, form: Form) -> Incidents:
    """Payload with the one incident of the scene."""
    names = name_of(scene.number("IN"), "IncidentNumber", "Northlake OMS")
    if form is Form.FULL:
        return Incidents(incident=(_incident(scene),))
    if form is Form.CHANGE:
        incident = Incident(mrid=scene.mrid, comment="Hospital ward affected; please give it precedence.", names=names)
    elif form is Form.CHANGED:
        incident = Incident(
            mrid=scene.mrid,
            cause=scene.draw("cause").pick(_CAUSES),
            last_modified_date_time=scene.at(minutes=-1),
            names=names,
            outage=IncidentOutage(
                mrid=mrid_for("outage", scene.noun, scene.seed),
                estimated_period=DateTimeInterval(start=_reported_at(scene), end=scene.at(minutes=110)),
                summary=ServicePointOutageSummary(critical_count=0, total_count=scene.draw("left").between(1, 12)),
            ),
            works=(_repair(scene, WorkStatusKind.enroute),),
        )
    elif form is Form.CANCELED:
        incident = Incident(
            mrid=scene.mrid,
            last_modified_date_time=scene.at(minutes=-1),
            names=names,
            status=Status(date_time=scene.at(minutes=-1), reason="predicted outage proved false", value="cancelled"),
        )
    elif form is Form.CLOSE:
        incident = Incident(
            mrid=scene.mrid,
            names=names,
            outage=IncidentOutage(
                mrid=mrid_for("outage", scene.noun, scene.seed),
                actual_period=DateTimeInterval(start=_reported_at(scene), end=scene.at(minutes=-2)),
            ),
            status=Status(date_time=scene.at(minutes=-1), reason="crew", remark="by crew Lakeside 4"),
        )
    elif form is Form.CLOSED:
        incident = Incident(
            mrid=scene.mrid,
            cause=scene.draw("cause").pick(_CAUSES),
            last_modified_date_time=scene.at(minutes=-1),
            names=names,
            outage=IncidentOutage(
                mrid=mrid_for("outage", scene.noun, scene.seed),
                actual_period=DateTimeInterval(start=_reported_at(scene), end=scene.at(minutes=-2)),
            ),
            status=Status(date_time=scene.at(minutes=-1), reason="all restored, confirmed by crew", value="closed"),
        )
    else:
        incident = Incident(mrid=scene.mrid, names=names)
    return Incidents(incident=(incident,))


def _ticket(scene: Scene) -> TroubleTicket:
    premises, draw = scene.premises, scene.draw("ticket")
    code, comment = draw.pick(_TROUBLES)
    place = ServiceLocationIdentity(
        mrid=premises.mrid("location"), names=name_of(premises.location, "ServiceLocationNumber")
    )
    point = UsagePointIdentity(
        mrid=premises.mrid("usage_point"), names=name_of(premises.usage_point, "UsagePointNumber")
    )
    return TroubleTicket(
        mrid=scene.mrid,
        comment=comment,
        created_date_time=scene.at(minutes=-1),
        date_time_of_report=_reported_at(scene),
        multiple_premises=draw.chance(40),
        reporting_kind=draw.pick(tuple(TroubleReportingKind)),
        trouble_code=code,
        type="supply trouble",
        customer=TroubleTicketCustomer(
            mrid=premises.mrid("customer"),
            kind=premises.kind,
            special_need=premises.special_need,
            customer_agreements=(
                CustomerAgreementPlace(
                    mrid=premises.mrid("agreement"),
                    names=name_of(premises.agreement, "AgreementNumber"),
                    service_locations=(place,),
                    usage_points=(point,),
                ),
            ),
            names=name_of(premises.customer, "CustomerNumber"),
            priority=Priority(
                justification=premises.special_need or "no special need",
                rank=1 if premises.special_need else 5,
                type="restoration",
            ),
        ),
        hazards=(_hazard("wire down", scene),) if code == "WIRE-DOWN" else (),
        names=name_of(scene.number("TT"), "TroubleTicketNumber"),
        notification=_notification(scene, draw.pick(tuple(NotificationTriggerKind))),
        service_location=place,
        status=Status(date_time=scene.at(minutes=-1), reason="reported by customer", value="open"),
    )


def _incident(scene: Scene) -> Incident:
    premises, draw = scene.premises, scene.draw("incident")
    # The premises behind one transformer lose supply together.
    first = premises.index - premises.index % 5
    hit = [find_premises(index) for index in range(first, min(first + draw.between(2, 5), PREMISES_COUNT))]
    planned = draw.chance(20)
    start = scene.day(3, 8) if planned else _reported_at(scene)
    end = scene.day(3, 11) if planned else scene.at(minutes=draw.between(60, 180))
    return Incident(
        mrid=scene.mrid,
        cause="planned replacement" if planned else draw.pick(_CAUSES),
        comment=f"Transformer {premises.device} on feeder {premises.feeder}.",
        created_date_time=scene.at(minutes=-2),
        last_modified_date_time=scene.at(minutes=-1),
        subject=f"{'Planned outage' if planned else 'Outage'} in {premises.section}",
        type="planned" if planned else "unplanned",
        customer_notifications=(
            IncidentCustomerNotification(
                contact_type="phone",
                contact_value=premises.telephone,
                earliest_date_time_to_call=scene.at(minutes=0),
                latest_date_time_to_call=scene.at(hours=12),
                trigger=draw.pick(tuple(NotificationTriggerKind)),
                customer=CustomerIdentity(
                    mrid=premises.mrid("customer"), names=name_of(premises.customer, "CustomerNumber")
                ),
            ),
        ),
        hazards=() if planned else (_hazard(draw.pick(("tree on line", "open cabinet", "wire down")), scene),),
        location=IncidentLocation(
            mrid=mrid_for(TOWN, "device", premises.device),
            direction=f"Pole in front of number {premises.house_number}.",
            geo_info_reference="Northlake network map, sheet 4",
            type="transformer",
            coordinate_system=CoordinateSystem(crs_urn=CRS_URN),
            main_address=StreetAddress(
                postal_code=premises.postal_code,
                street_detail=StreetDetail(
                    name=premises.street,
                    number=premises.house_number,
                    type=premises.street_type,
                    within_town_limits=True,
                ),
                town_detail=TownDetail(country=COUNTRY, name=TOWN, section=premises.section, state_or_province=STATE),
            ),
            names=name_of(premises.device, "DeviceNumber", "Northlake OMS"),
            position_points=(
                PositionPoint(sequence_number=1, x_position=premises.x_position, y_position=premises.y_position),
            ),
        ),
        names=name_of(scene.number("IN"), "IncidentNumber", "Northlake OMS"),
        outage=IncidentOutage(
            mrid=mrid_for("outage", scene.noun, scene.seed),
            cause="planned replacement" if planned else "loss of supply",
            is_planned=planned,
            estimated_period=DateTimeInterval(start=start, end=end),
            names=name_of(scene.number("OU"), "OutageNumber", "Northlake OMS"),
            summary=ServicePointOutageSummary(
                critical_count=sum(1 for each in hit if each.special_need or each.kind is not CustomerKind.residential),
                total_count=len(hit),
            ),
            usage_points=tuple(
                UsagePointIdentity(mrid=each.mrid("usage_point"), names=name_of(each.usage_point, "UsagePointNumber"))
                for each in hit
            ),
        ),
        owner=Operator(
            mrid=mrid_for(TOWN, "operator", 3), names=name_of("operator.03", "OperatorName", "Northlake OMS")
        ),
        status=Status(date_time=scene.at(minutes=-2), value="open"),
        trouble_tickets=()
        if planned
        else (
            TroubleTicketIdentity(
                mrid=sample_mrid(Noun.TROUBLE_TICKETS, scene.seed),
                trouble_code="LIGHTS-OUT",
                names=name_of(scene.number("TT", Noun.TROUBLE_TICKETS), "TroubleTicketNumber"),
            ),
        ),
        works=(_repair(scene, WorkStatusKind.scheduled if planned else WorkStatusKind.dispatched),),
    )


def _reported_at(scene: Scene) -> datetime:
    return scene.at(minutes=-scene.draw("reported").between(3, 45))


def _hazard(sort: str, scene: Scene) -> IncidentHazard:
    return IncidentHazard(
        description=f"At {scene.premises.address}.",
        type=sort,
        status=Status(date_time=scene.at(minutes=-1), value="reported"),
    )


def _notification(scene: Scene, trigger: NotificationTriggerKind) -> CustomerNotification:
    by_mail = scene.draw("contact").chance(30)
    return CustomerNotification(
        contact_type="email" if by_mail else "phone",
        contact_value=scene.premises.email if by_mail else scene.premises.telephone,
        earliest_date_time_to_call=scene.at(minutes=0),
        latest_date_time_to_call=scene.at(hours=14),
        trigger=trigger,
    )


def _incident_of(scene: Scene) -> IncidentIdentity:
    return IncidentIdentity(
        mrid=sample_mrid(Noun.INCIDENTS, scene.seed),
        names=name_of(scene.number("IN", Noun.INCIDENTS), "IncidentNumber", "Northlake OMS"),
    )


def _repair(scene: Scene, status: WorkStatusKind) -> IncidentWork:
    return IncidentWork(
        mrid=mrid_for("repair", scene.noun, scene.seed),
        status_kind=status,
        names=name_of(scene.number("WO"), "WorkOrderNumber", "Northlake WMS"),
    )
