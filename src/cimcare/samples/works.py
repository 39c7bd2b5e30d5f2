"""Content of sample service requests, service orders and work requests."""

from cimcare.model import service_order as order
from cimcare.model import service_request as request
from cimcare.model import work as part
from cimcare.model import work_request as wish
from cimcare.model.customer_agreement import Organisation, ServiceCategory
from cimcare.model.enumerations import (
    MeterMultiplierKind,
    PhaseCode,
    ReadingReasonKind,
    ServiceKind,
    ServiceMultiplierKind,
    SupplierKind,
    UsagePointConnectedKind,
    WorkKind,
    WorkStatusKind,
    WorkTaskKind,
    WorkTimeScheduleKind,
)
from cimcare.model.identity import MRID
from cimcare.model.nouns import Noun
from cimcare.model.values import (
    CoordinateSystem,
    CurrentFlow,
    DateTimeInterval,
    PositionPoint,
    Priority,
    Status,
    StreetAddress,
    StreetDetail,
    TelephoneNumber,
    TownDetail,
    Voltage,
)
from cimcare.samples.draw import mrid_for
from cimcare.samples.northlake import AREA_CODE, COUNTRY, CREWS, CRS_URN, STATE, TOWN, Premises, name_of
from cimcare.samples.scene import Form, Scene

__all__ = ["build_service_orders", "build_service_requests", "build_work_requests"]

_JOBS = (
    (WorkKind.connect, WorkTaskKind.install, "Connect supply and install meter"),
    (WorkKind.disconnect, WorkTaskKind.remove, "Disconnect supply at the wish of the customer"),
    (WorkKind.reconnect, WorkTaskKind.install, "Reconnect supply after payment"),
    (WorkKind.service, WorkTaskKind.exchange, "Exchange meter at the end of its verification period"),
    (WorkKind.inspection, WorkTaskKind.investigate, "Inspect meter box, seal found open"),
    (WorkKind.test, WorkTaskKind.investigate, "Test meter, customer doubts the bill"),
)
_NETWORK_JOBS = (
    (WorkKind.construction, WorkTaskKind.install, "New supply for a house under construction"),
    (WorkKind.maintenance, WorkTaskKind.remove, "Trim tree that touches the service line"),
    (WorkKind.repair, WorkTaskKind.exchange, "Repair street light, lamp dark"),
    (WorkKind.other, WorkTaskKind.remove, "Move pole for the widening of the road"),
)
_WISHERS = ("Northlake Public Works", "Falk & Sons Builders", "Lakeshore Housing Trust")


def build_service_requests(scene: Scene, form: Form) -> request.ServiceRequests:
    """Payload with the one service request of the scene."""
    names = name_of(scene.number("SR"), "ServiceRequestNumber")
    modified_at = scene.at(minutes=-1)
    if form is Form.FULL:
        work = _service_request(scene)
    elif form is Form.CHANGE:
        work = request.Work(
            mrid=scene.mrid,
            comment="Customer asks for an afternoon; key is with the neighbour.",
            appointments=(_appointment(scene, 5, 13),),
            names=names,
        )
    elif form is Form.CHANGED:
        work = request.Work(
            mrid=scene.mrid,
            last_modified_date_time=modified_at,
            status_kind=WorkStatusKind.scheduled,
            appointments=(_appointment(scene, 4, 8),),
            names=names,
            time_schedules=(_schedule(scene, 4, 8),),
        )
    elif form is Form.CANCELED:
        work = request.Work(
            mrid=scene.mrid, last_modified_date_time=modified_at, status_kind=WorkStatusKind.cancelled, names=names
        )
    elif form is Form.CLOSED:
        work = request.Work(
            mrid=scene.mrid,
            last_modified_date_time=modified_at,
            status_kind=WorkStatusKind.closed,
            names=names,
            time_schedules=(_done(scene),),
            work_tasks=(
                request.WorkTask(
                    mrid=_task_mrid(scene),
                    status_kind=WorkStatusKind.closed,
                    assets=(
                        request.Asset(
                            mrid=scene.premises.mrid("meter"),
                            meter_readings=(_reading(scene),),
                            names=name_of(scene.premises.meter, "MeterBadgeNumber"),
                        ),
                    ),
                ),
            ),
        )
    else:
        work = request.Work(mrid=scene.mrid, names=names)
    return request.ServiceRequests(work=(work,))


def build_service_orders(scene: Scene, form: Form) -> order.ServiceOrders:
    """Payload with the one service order of the scene. The place stands in the task, as in IEC 61968-6."""
    names = name_of(scene.number("SO"), "ServiceOrderNumber", "Northlake WMS")
    modified_at = scene.at(minutes=-1)
    if form is Form.FULL:
        work = _service_order(scene)
    elif form is Form.CHANGE:
        work = order.Work(
            mrid=scene.mrid,
            appointments=(_appointment(scene, 6, 13),),
            names=names,
            priority=Priority(justification="customer without heating", rank=2, type="service"),
        )
    elif form is Form.CHANGED:
        work = order.Work(
            mrid=scene.mrid,
            last_modified_date_time=modified_at,
            status_kind=WorkStatusKind.dispatched,
            names=names,
            work_tasks=(
                order.WorkTask(
                    mrid=_task_mrid(scene),
                    crew_eta=scene.at(minutes=40),
                    status_kind=WorkStatusKind.dispatched,
                    crews=(_crew(scene),),
                ),
            ),
        )
    elif form is Form.CANCELED:
        work = order.Work(
            mrid=scene.mrid, last_modified_date_time=modified_at, status_kind=WorkStatusKind.cancelled, names=names
        )
    elif form in {Form.CLOSE, Form.CLOSED}:
        work = order.Work(
            mrid=scene.mrid,
            last_modified_date_time=modified_at,
            status_kind=WorkStatusKind.closed,
            names=names,
            time_schedules=(_done(scene),),
            work_tasks=(_closed_task(scene),),
        )
    else:
        work = order.Work(mrid=scene.mrid, names=names)
    return order.ServiceOrders(work=(work,))


def _closed_task(scene: Scene) -> order.WorkTask:
    """The task as it was done: the meter with its reading; of an exchange both meters, as found and as left."""
    _, task_kind, _ = scene.draw("work").pick(_JOBS)
    exchange = task_kind is WorkTaskKind.exchange

    def meter(*, new: bool) -> order.Asset:
        named = _order_asset(scene, new=new)
        return order.Asset(mrid=named.mrid, meter_readings=(_reading(scene),), names=named.names)

    return order.WorkTask(
        mrid=_task_mrid(scene),
        status_kind=WorkStatusKind.closed,
        assets=(meter(new=exchange),),
        old_asset=meter(new=False) if exchange else None,
    )


def build_work_requests(scene: Scene, form: Form) -> wish.WorkRequests:
    """Payload with the one work request of the scene and, where it is shown in full, who wishes it."""
    names = name_of(scene.number("WR"), "WorkRequestNumber")
    modified_at = scene.at(minutes=-1)
    if form is Form.FULL:
        return wish.WorkRequests(organisation=(_wisher(scene),), work=(_work_request(scene),))
    if form is Form.CHANGE:
        work = wish.Work(
            mrid=scene.mrid,
            names=names,
            priority=Priority(justification="road opens on Monday", rank=2, type="network"),
        )
    elif form is Form.CHANGED:
        work = wish.Work(
            mrid=scene.mrid,
            last_modified_date_time=modified_at,
            status_kind=WorkStatusKind.scheduled,
            names=names,
            time_schedules=(_network_schedule(scene, WorkTimeScheduleKind.estimate, 12),),
        )
    elif form is Form.CANCELED:
        work = wish.Work(
            mrid=scene.mrid, last_modified_date_time=modified_at, status_kind=WorkStatusKind.cancelled, names=names
        )
    elif form is Form.CLOSED:
        work = wish.Work(
            mrid=scene.mrid,
            last_modified_date_time=modified_at,
            status_kind=WorkStatusKind.closed,
            names=names,
            time_schedules=(_network_schedule(scene, WorkTimeScheduleKind.actual, -1),),
        )
    else:
        work = wish.Work(mrid=scene.mrid, names=names)
    return wish.WorkRequests(work=(work,))


def _service_request(scene: Scene) -> request.Work:
    premises, draw = scene.premises, scene.draw("work")
    kind, task_kind, subject = draw.pick(_JOBS)
    place = request.ServiceLocation(
        mrid=premises.mrid("location"),
        access_method="Ring twice; the meter is in the hall.",
        direction=f"Between {premises.section} chapel and the corner shop.",
        needs_inspection=kind is WorkKind.inspection,
        site_access_problem="dog" if premises.index % 9 == 0 else None,
        coordinate_system=CoordinateSystem(crs_urn=CRS_URN),
        main_address=_plain_address(premises),
        names=name_of(premises.location, "ServiceLocationNumber"),
        phone1=_telephone(premises),
        position_points=(
            PositionPoint(sequence_number=1, x_position=premises.x_position, y_position=premises.y_position),
        ),
        status=Status(date_time=scene.at(days=-200), value="in service"),
        usage_points=(_usage_point(scene),),
    )
    return request.Work(
        mrid=scene.mrid,
        comment=subject + ".",
        created_date_time=scene.at(minutes=-2),
        kind=kind,
        last_modified_date_time=scene.at(minutes=-1),
        request_date_time=scene.at(minutes=-4),
        status_kind=WorkStatusKind.waitingOnApproval,
        subject=subject,
        type="customer wish",
        appointments=(_appointment(scene, draw.between(2, 9), draw.pick((8, 10, 13, 15))),),
        customers=(
            request.Customer(
                mrid=premises.mrid("customer"),
                kind=premises.kind,
                puc_number=f"PUC-{600 + premises.index}",
                special_need=premises.special_need,
                vip=False,
                customer_agreements=(_agreement(premises),),
                names=name_of(premises.customer, "CustomerNumber"),
                organisation=Organisation(
                    mrid=premises.mrid("organisation"),
                    names=name_of(premises.organisation, "LegalName"),
                    phone1=_telephone(premises),
                    street_address=_plain_address(premises),
                ),
                status=Status(date_time=scene.at(days=-200), value="active"),
            ),
        ),
        names=name_of(scene.number("SR"), "ServiceRequestNumber"),
        priority=Priority(justification="customer wish", rank=draw.between(2, 6), type="service"),
        time_schedules=(_schedule(scene, 9, 16, WorkTimeScheduleKind.latest),),
        work_location=place,
        work_tasks=(
            request.WorkTask(
                mrid=_task_mrid(scene),
                instruction="Read the meter before and after.",
                status_kind=WorkStatusKind.waitingOnApproval,
                subject=subject,
                task_kind=task_kind,
                assets=(
                    request.Asset(
                        mrid=premises.mrid("meter"),
                        amr_system="Northlake radio mesh",
                        critical=False,
                        form_number="2S",
                        serial_number=premises.serial_number,
                        utc_number="NL-METER-2S",
                        meter_multipliers=(
                            request.MeterMultiplier(
                                mrid=premises.mrid("meter multiplier"),
                                kind=MeterMultiplierKind.kH,
                                value=7.2,
                                names=name_of("KH", "MultiplierCode"),
                            ),
                        ),
                        meter_readings=(_reading(scene),) if kind is WorkKind.test else (),
                        names=name_of(premises.meter, "MeterBadgeNumber"),
                    ),
                ),
                names=name_of(f"{scene.number('SR')}-1", "TaskNumber"),
                time_schedules=(_schedule(scene, 9, 16),),
            ),
        ),
    )


def _usage_point(scene: Scene) -> request.UsagePoint:
    premises = scene.premises
    return request.UsagePoint(
        mrid=premises.mrid("usage_point"),
        check_billing=False,
        connection_state=UsagePointConnectedKind.connected,
        grounded=True,
        is_sdp=True,
        is_virtual=False,
        nominal_service_voltage=Voltage(240.0),
        phase_code=PhaseCode.s12N,
        rated_current=CurrentFlow(200.0),
        service_delivery_remark=f"Feeder {premises.feeder}, transformer {premises.device}",
        service_priority="1" if premises.special_need else "5",
        names=name_of(premises.usage_point, "UsagePointNumber"),
        service_category=ServiceCategory(
            mrid=mrid_for(TOWN, "category", "electricity"),
            kind=ServiceKind.electricity,
            names=name_of("ELEC", "ServiceCategoryCode"),
        ),
        service_multipliers=(
            request.ServiceMultiplier(
                mrid=premises.mrid("multiplier"),
                kind=ServiceMultiplierKind.ctRatio,
                value=1.0,
                names=name_of("CT", "MultiplierCode"),
            ),
        ),
        service_supplier=request.ServiceSupplier(
            mrid=mrid_for(TOWN, "supplier", "SUP-1"),
            kind=SupplierKind.utility,
            names=name_of("SUP-1", "SupplierNumber"),
        ),
        usage_point_location=request.UsagePointLocation(
            access_method="Key safe beside the door.",
            remark="Meter box on the north wall.",
            hazards=(part.AssetLocationHazard(type="steep cellar stairs"),),
            main_address=_plain_address(premises),
        ),
    )


def _service_order(scene: Scene) -> order.Work:
    premises, draw = scene.premises, scene.draw("work")
    kind, task_kind, subject = draw.pick(_JOBS)
    exchange = task_kind is WorkTaskKind.exchange
    return order.Work(
        mrid=scene.mrid,
        kind=kind,
        last_modified_date_time=scene.at(minutes=-1),
        request_date_time=scene.at(minutes=-4),
        status_kind=WorkStatusKind.waitingOnApproval,
        type="field service",
        appointments=(_appointment(scene, draw.between(2, 9), draw.pick((8, 10, 13, 15))),),
        customers=(
            order.Customer(
                mrid=premises.mrid("customer"),
                kind=premises.kind,
                puc_number=f"PUC-{600 + premises.index}",
                special_need=premises.special_need,
                vip=False,
                customer_agreements=(_agreement(premises),),
                names=name_of(premises.customer, "CustomerNumber"),
                status=order.Status(date_time=scene.at(days=-200), value="active"),
            ),
        ),
        # The order can be found by the number of the request that led to it, too.
        names=(
            *name_of(scene.number("SO"), "ServiceOrderNumber", "Northlake WMS"),
            *name_of(scene.number("SR", Noun.SERVICE_REQUESTS), "ServiceRequestNumber"),
        ),
        priority=Priority(justification="customer wish", rank=draw.between(2, 6), type="service"),
        time_schedules=(_schedule(scene, 9, 16, WorkTimeScheduleKind.latest),),
        work_tasks=(
            order.WorkTask(
                mrid=_task_mrid(scene),
                crew_eta=scene.day(3, 9),
                instruction="Read the meter before and after.",
                status_kind=WorkStatusKind.waitingOnApproval,
                subject=subject,
                task_kind=task_kind,
                assets=(_order_asset(scene, new=exchange),),
                crews=(_crew(scene),),
                names=name_of(f"{scene.number('SO')}-1", "TaskNumber", "Northlake WMS"),
                old_asset=_order_asset(scene, new=False) if exchange else None,
                time_schedules=_schedule(scene, 3, 9),
                work_location=_order_place(scene),
            ),
        ),
    )


def _order_asset(scene: Scene, *, new: bool) -> order.Asset:
    premises = scene.premises
    return order.Asset(
        mrid=mrid_for("new meter", scene.seed) if new else premises.mrid("meter"),
        amr_system="Northlake radio mesh",
        critical=False,
        form_number="2S",
        serial_number=f"NLK9{scene.draw('new meter').between(1_000_000, 9_999_999)}" if new else premises.serial_number,
        utc_number="NL-METER-2S",
        meter_multipliers=(
            order.MeterMultiplier(kind=MeterMultiplierKind.kH, value=7.2, names=name_of("KH", "MultiplierCode")),
        ),
        names=name_of(
            f"M-{scene.draw('badge').between(700_000, 799_999)}" if new else premises.meter, "MeterBadgeNumber"
        ),
    )


def _order_place(scene: Scene) -> order.ServiceLocation:
    premises = scene.premises
    town = part.TownDetail(country=COUNTRY, name=TOWN, section=premises.section, state_or_province=STATE)
    point = order.ServiceLocationPositionPoint(
        sequence_number=1, x_position=premises.x_position, y_position=premises.y_position, z_position="0"
    )
    return order.ServiceLocation(
        mrid=premises.mrid("location"),
        access_method="Ring twice; the meter is in the hall.",
        direction=f"Between {premises.section} chapel and the corner shop.",
        needs_inspection=False,
        site_access_problem="dog" if premises.index % 9 == 0 else None,
        coordinate_system=part.WorkCoordinateSystem(crs_urn=CRS_URN),
        hazards=(part.AssetLocationHazard(type="steep cellar stairs"),),
        main_address=order.StreetAddress(
            street_detail=StreetDetail(
                address_general=premises.address,
                name=premises.street,
                number=premises.house_number,
                type=premises.street_type,
                within_town_limits=True,
            ),
            town_detail=town,
        ),
        position_points=(point,),
        status=order.Status(date_time=scene.at(days=-200), value="in service"),
        usage_points=(
            order.UsagePoint(
                mrid=premises.mrid("usage_point"),
                check_billing=False,
                grounded=True,
                is_sdp=True,
                is_virtual=False,
                nominal_service_voltage=Voltage(240.0),
                phase_code=PhaseCode.s12N,
                rated_current=CurrentFlow(200.0),
                service_delivery_remark=f"Feeder {premises.feeder}, transformer {premises.device}",
                service_priority="1" if premises.special_need else "5",
                names=name_of(premises.usage_point, "UsagePointNumber"),
                service_multipliers=(
                    order.ServiceMultiplier(
                        kind=ServiceMultiplierKind.ctRatio, value=1.0, names=name_of("CT", "MultiplierCode")
                    ),
                ),
                usage_point_location=order.UsagePointLocation(
                    access_method="Key safe beside the door.",
                    remark="Meter box on the north wall.",
                    main_address=order.UsagePointLocationStreetAddress(
                        street_detail=order.ShortStreetDetail(
                            name=premises.street, number=premises.house_number, type=premises.street_type
                        ),
                        town_detail=town,
                    ),
                    position_points=(
                        PositionPoint(
                            sequence_number=1, x_position=premises.x_position, y_position=premises.y_position
                        ),
                    ),
                ),
            ),
        ),
    )


def _work_request(scene: Scene) -> wish.Work:
    premises, draw = scene.premises, scene.draw("work")
    kind, task_kind, subject = draw.pick(_NETWORK_JOBS)
    location = wish.WorkLocation(
        mrid=premises.mrid("location"),
        direction=f"Opposite number {premises.house_number}.",
        coordinate_system=part.WorkCoordinateSystem(crs_urn=CRS_URN),
        main_address=wish.StreetAddress(
            street_detail=wish.StreetDetail(
                address_general=premises.address,
                name=premises.street,
                number=premises.house_number,
                type=premises.street_type,
                within_town_limits=True,
            ),
            town_detail=part.TownDetail(country=COUNTRY, name=TOWN, section=premises.section, state_or_province=STATE),
        ),
        position_points=(
            PositionPoint(sequence_number=1, x_position=premises.x_position, y_position=premises.y_position),
        ),
    )
    crew = draw.pick(CREWS[:2])
    return wish.Work(
        mrid=scene.mrid,
        kind=kind,
        last_modified_date_time=scene.at(minutes=-1),
        request_date_time=scene.at(minutes=-4),
        status_kind=WorkStatusKind.waitingOnApproval,
        names=name_of(scene.number("WR"), "WorkRequestNumber"),
        priority=Priority(justification=subject, rank=draw.between(3, 8), type="network"),
        time_schedules=(_network_schedule(scene, WorkTimeScheduleKind.request, draw.between(10, 40)),),
        work_location=location,
        work_tasks=(
            wish.WorkTask(
                mrid=_task_mrid(scene),
                instruction="Agree the time with the requesting party.",
                subject=subject,
                task_kind=task_kind,
                assets=(
                    wish.Asset(
                        mrid=mrid_for(TOWN, "device", premises.device),
                        critical=False,
                        utc_number="NL-POLE-TX",
                        location=location,
                        names=name_of(premises.device, "DeviceNumber", "Northlake OMS"),
                    ),
                ),
                crews=(wish.Crew(mrid=crew.mrid, names=name_of(crew.name, "CrewName", "Northlake WMS")),),
                names=name_of(f"{scene.number('WR')}-1", "TaskNumber"),
            ),
        ),
    )


def _wisher(scene: Scene) -> wish.Organisation:
    name = scene.draw("wisher").pick(_WISHERS)
    return wish.Organisation(
        mrid=mrid_for(TOWN, "organisation", name),
        names=name_of(name, "LegalName", "Trade Register"),
        phone1=TelephoneNumber(area_code=AREA_CODE, country_code="1", local_number="555-0142"),
        street_address=wish.OrganisationStreetAddress(
            street_detail=wish.OrganisationStreetDetail(
                address_general=f"2 Harbour Street, {TOWN}", name="Harbour", number="2", type="Street"
            ),
            town_detail=part.TownDetail(country=COUNTRY, name=TOWN, section="Old Town", state_or_province=STATE),
        ),
    )


def _task_mrid(scene: Scene) -> MRID:
    return mrid_for("task", scene.noun, scene.seed)


def _agreement(premises: Premises) -> part.CustomerAgreementIdentity:
    return part.CustomerAgreementIdentity(
        mrid=premises.mrid("agreement"), names=name_of(premises.agreement, "AgreementNumber")
    )


def _crew(scene: Scene) -> part.Crew:
    crew = scene.draw("crew").pick(CREWS[2:])
    return part.Crew(
        mrid=crew.mrid,
        crew_members=tuple(
            part.CrewMember(person=part.Person(first_name=first, last_name=last)) for first, last in crew.members
        ),
        names=name_of(crew.name, "CrewName", "Northlake WMS"),
    )


def _appointment(scene: Scene, days: int, hour: int) -> part.Appointment:
    return part.Appointment(
        call_ahead=True,
        meeting_interval=DateTimeInterval(start=scene.day(days, hour), end=scene.day(days, hour + 2)),
    )


def _schedule(
    scene: Scene, days: int, hour: int, kind: WorkTimeScheduleKind = WorkTimeScheduleKind.estimate
) -> part.WorkTimeSchedule:
    return part.WorkTimeSchedule(
        kind=kind, schedule_interval=DateTimeInterval(start=scene.day(days, hour), end=scene.day(days, hour + 2))
    )


def _done(scene: Scene) -> part.WorkTimeSchedule:
    return part.WorkTimeSchedule(
        kind=WorkTimeScheduleKind.actual,
        schedule_interval=DateTimeInterval(start=scene.at(minutes=-70), end=scene.at(minutes=-20)),
    )


def _network_schedule(scene: Scene, kind: WorkTimeScheduleKind, days: int) -> wish.WorkTimeSchedule:
    return wish.WorkTimeSchedule(
        kind=kind, schedule_interval=DateTimeInterval(start=scene.day(days, 7), end=scene.day(days, 15))
    )


def _reading(scene: Scene) -> part.MeterReading:
    read_at = scene.at(minutes=-22)
    return part.MeterReading(
        readings=(
            part.Reading(
                reason=ReadingReasonKind.other,
                reported_date_time=scene.at(minutes=-20),
                source=scene.draw("crew").pick(CREWS[2:]).name,
                time_stamp=read_at,
                value=str(scene.draw("reading").between(1_000, 99_999)),
                reading_qualities=(
                    part.ReadingQuality(comment="read on site", source="crew", time_stamp=scene.at(minutes=-20)),
                ),
                reading_type=part.ReadingType(
                    accumulation="1",
                    commodity="1",
                    flow_direction="1",
                    measurement_kind="12",
                    multiplier="3",
                    unit="72",
                ),
            ),
        ),
        values_interval=DateTimeInterval(start=read_at, end=read_at),
    )


def _plain_address(premises: Premises) -> StreetAddress:
    return StreetAddress(
        postal_code=premises.postal_code,
        street_detail=StreetDetail(
            name=premises.street, number=premises.house_number, type=premises.street_type, within_town_limits=True
        ),
        town_detail=TownDetail(country=COUNTRY, name=TOWN, section=premises.section, state_or_province=STATE),
    )


def _telephone(premises: Premises) -> TelephoneNumber:
    return TelephoneNumber(area_code=AREA_CODE, country_code="1", local_number=premises.local_number)
